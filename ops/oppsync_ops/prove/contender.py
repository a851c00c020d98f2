"""Who is put to the proof: this software, or an ordinary Celery set-up under the same load and the same faults."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import redis

from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.planned import PlannedJob
from oppsync_ops.prove.poison import Poison


class Away(Exception):
    """The broker did not take it, or did not say so: the producer hands it over again."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a worker is started."""

    arguments: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in the hands of a worker (`host:pid`), under a tag that no other delivery of it has."""

    tag: str
    job_id: str
    worker: str


class Producer(Protocol):
    """An application that hands jobs over. Belongs to one thread."""

    def enqueue(self, job: PlannedJob, *, opportunity_id: int | None) -> None:
        """Hand over one job. Raises `Away`."""

    def opportunity_id(self, create: PlannedJob) -> int | None:
        """The CRM's id of a record, once its create has told it. Raises `Away`."""


class Many(Protocol):
    """What a run with neighbours needs beyond."""

    def enqueue(self, jobs: Sequence[PlannedJob], *, deadline: datetime | None) -> None:
        """Hand over many jobs in one call, which may be repeated as a whole. Raises `Away`."""

    def times(self, job_ids: Sequence[str]) -> dict[str, tuple[float, float | None]]:
        """Of each job that is known: when it was enqueued, and how many seconds later it succeeded."""

    def hold(self, client: redis.Redis, instance: str) -> None:
        """Keep the jobs of an instance."""

    def release(self, client: redis.Redis, instance: str) -> None:
        """Let them go."""


class Contender(Protocol):
    """What a run needs to know of a set-up."""

    name: str
    queues: Mapping[str, str]
    """Lane -> the Redis list on which its messages travel."""

    quiet_s: float
    """Nothing has moved for so long: nothing will."""
    patience_s: float
    """How long everything may take to settle."""

    def serving(self, client: redis.Redis) -> set[str]:
        """The workers that are up."""

    def command(self, worker: int) -> Command:
        """How worker number `worker` is started."""

    def producer(self) -> AbstractContextManager[Producer]:
        """A producer for one thread."""

    def seen(self, client: redis.Redis, job_ids: Sequence[str]) -> dict[str, Seen]:
        """What is known of each job."""

    def many(self) -> "Many | None":
        """How it is put beside neighbours; None for one that has neither budgets for each instance nor holds."""

    def claims(self, client: redis.Redis) -> list[Claim]:
        """Which jobs are in which worker's hands."""

    def doubtful(self, client: redis.Redis, claims: Sequence[Claim]) -> list[bool]:
        """Which of the claims are creates that are being sent: nobody may run those again."""

    def sending(self, client: redis.Redis, claim: Claim) -> bool:
        """Whether the claimed job is being sent at this moment."""

    def moved_on(self, client: redis.Redis, job_ids: Sequence[str]) -> list[bool]:
        """Which jobs are neither in hand nor in line: they have been in hand since anybody looked."""

    def claimed(self, client: redis.Redis) -> object:
        """Something that is different as soon as another job was taken in hand."""

    def buried(self, client: redis.Redis, poison: Sequence[Poison]) -> dict[str, str]:
        """Which poison is a dead letter with its raw bytes: its name -> the cause."""

    def strays(self, client: redis.Redis) -> dict[str, int]:
        """What was found in no place, or in one too many, and put right: each is a bug that was covered up."""

    def explain(self, client: redis.Redis, job_id: str) -> Mapping[str, Any]:
        """Everything that the set-up itself knows of a job, for whoever looks into a breach."""
