"""This software, put to the proof."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from oppsync import CreateOpportunity, JobClient, UpdateOpportunity
from oppsync_ops.jobs.entries import read
from oppsync_ops.jobs.facts import look
from oppsync_ops.jobs.telling import as_dict
from oppsync_ops.processes import clean_environ
from oppsync_ops.prove.contender import Away, Claim, Command, Many, Producer
from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.ledger_claims import claims_in
from oppsync_ops.prove.plan import HANDS
from oppsync_ops.prove.planned import FUNNEL_ID, PlannedJob
from oppsync_ops.prove.poison import Poison
from oppsync_ops.prove.schedule import SPARED, jump_s, jumper
from oppsync_ops.prove.settings import instances_file
from oppsync_ops.prove.stage import Stage
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind, Lane
from oppsync_worker.contract.states import State
from oppsync_worker.contract.wire import kwargs_of
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.presence import alive
from oppsync_worker.ledger.scripts import run

BATCH: Final = 500
FLAGS: Final = ("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat")


class Ours:
    """Workers of this software, producers with `JobClient`, and a foreign Celery application beside them."""

    name = "oppsync"
    queues: Mapping[str, str] = {lane.value: lane.queue for lane in Lane}

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.quiet_s, self.patience_s = stage.plan.form.quiet_s, stage.plan.form.patience_s
        self._instances = stage.folder / "instances.toml"
        self._instances.write_text(instances_file(stage.plan), "utf-8")

    def serving(self, client: redis.Redis) -> set[str]:
        """Those that gave a sign of life."""
        return set(alive(client))

    def command(self, worker: int) -> Command:
        """Celery's own command, through a clock that can jump for one of them."""
        links, plan = self._stage.links[worker], self._stage.plan
        environ = clean_environ(
            REDIS_URL=links.redis_url,
            SPRINTHUB_BASE_URL=links.crm_url,
            SPRINTHUB_INSTANCES_FILE=str(self._instances),
            OPPSYNC_CONCURRENCY=str(HANDS),
            OPPSYNC_LEASE_SECONDS=f"{plan.form.lease_s:g}",
            OPPSYNC_SWEEP_SECONDS=f"{plan.form.quiet_s / 2:g}",
            OPPSYNC_HEALTH_DIR=str(self._stage.folder / "health"),
            OPPSYNC_LOG="json",
        )
        module = ["celery"]
        if worker == jumper(plan.options.workers):
            module = ["oppsync_ops.prove.jumping_clock", f"{jump_s(plan.options.seed):g}"]
        arguments = [sys.executable, "-m", *module, "--app", "oppsync_worker.app", "worker", *FLAGS]
        arguments += ["--hostname", f"prove-{worker}@%h"]
        if worker == SPARED and plan.killer:
            # The job that takes its workers down is interactive.
            arguments += ["--queues", Lane.BULK.queue]
        return Command(arguments, environ)

    def producer(self) -> AbstractContextManager[Producer]:
        """One application."""
        return _producing(self._stage)

    def many(self) -> Many:
        """With budgets and holds for each instance."""
        return _Many(self._stage)

    def seen(self, client: redis.Redis, job_ids: Sequence[str]) -> dict[str, Seen]:
        """What the ledger says."""
        del client
        found = {}
        with JobClient(self._stage.redis.url) as asking:
            for start in range(0, len(job_ids), BATCH):
                for one in asking.outcomes(list(job_ids[start : start + BATCH])):
                    found[one.job_id] = Seen(one.state, one.cause, one.detail, one.points_to, one.opportunity_id)
        return found

    def claims(self, client: redis.Redis) -> list[Claim]:
        """The claims that the ledger knows."""
        return claims_in(client)

    def doubtful(self, client: redis.Redis, claims: Sequence[Claim]) -> list[bool]:
        """Recorded as sending, under this very claim."""
        entries = read(client, [claim.job_id for claim in claims], ("state", "token", "kind"))
        return [
            entry == {"state": State.SENDING, "token": claim.tag, "kind": Kind.CREATE}
            for entry, claim in zip(entries, claims, strict=True)
        ]

    def sending(self, client: redis.Redis, claim: Claim) -> bool:
        """As the ledger says."""
        entry = read(client, [claim.job_id], ("state", "token"))[0]
        return entry == {"state": State.SENDING, "token": claim.tag}

    def moved_on(self, client: redis.Redis, job_ids: Sequence[str]) -> list[bool]:
        """In any state but queued and sending; a foreign message has none before it is looked at."""
        states = [entry.get("state") for entry in read(client, job_ids, ("state",))]
        return [state not in {None, State.QUEUED, State.SENDING} for state in states]

    def claimed(self, client: redis.Redis) -> object:
        """The number of claims so far."""
        return client.get(f"{keys.PREFIX}claim-seq")

    def buried(self, client: redis.Redis, poison: Sequence[Poison]) -> dict[str, str]:
        """Dead letters by their bytes; one that is no poison goes by its id."""
        names = {one.raw: one.name for one in poison}
        dead: Any = client.zrange(keys.DEAD, 0, -1)
        pipe: Any = client.pipeline(transaction=False)
        for job_id in dead:
            pipe.hmget(keys.job(job_id.decode("utf-8", "replace")), "message", "cause")
        found = {}
        for job_id, (message, cause) in zip(dead, pipe.execute(), strict=True):
            found[names.get(message, job_id.decode("utf-8", "replace"))] = (cause or b"").decode()
        return found

    def strays(self, client: redis.Redis) -> dict[str, int]:
        """What the workers' sweeps have counted."""
        found: Any = client.hgetall(keys.SWEEP)
        counts = {
            name.decode().removeprefix("found:"): int(count) for name, count in found.items() if b"found:" in name
        }
        return {word: count for word, count in counts.items() if count}

    def explain(self, client: redis.Redis, job_id: str) -> Mapping[str, Any]:
        """As `oppsync job show` does."""
        return as_dict(look(client, job_id))


class _Many:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def enqueue(self, jobs: Sequence[PlannedJob], *, deadline: datetime | None) -> None:
        with JobClient(self._stage.redis.url) as client:
            try:
                client.enqueue_many([built(job, None, deadline) for job in jobs])
            except LedgerUnavailable as error:
                raise Away(str(error)) from error

    def times(self, job_ids: Sequence[str]) -> dict[str, tuple[float, float | None]]:
        # By Redis' clock, as the ledger keeps them.
        found = {}
        with JobClient(self._stage.redis.url) as asking:
            for start in range(0, len(job_ids), BATCH):
                for one in asking.outcomes(list(job_ids[start : start + BATCH])):
                    if one.enqueued_at is None:
                        continue
                    began = one.enqueued_at.timestamp()
                    ended = one.since.timestamp() if one.since and one.state is State.SUCCEEDED else None
                    found[one.job_id] = (began, None if ended is None else ended - began)
        return found

    def hold(self, client: redis.Redis, instance: str) -> None:
        run(client, operating.hold(instance, cause="operator", note="held for the proof"))

    def release(self, client: redis.Redis, instance: str) -> None:
        run(client, operating.unhold(instance))


class _Application:
    def __init__(self, client: JobClient, celery: Celery) -> None:
        self._client, self._celery = client, celery

    def enqueue(self, job: PlannedJob, *, opportunity_id: int | None) -> None:
        whole = built(job, opportunity_id)
        for _ in range(2 if job.twice else 1):
            if job.foreign:
                self._send_task(whole)
            else:
                try:
                    self._client.enqueue(whole)
                except LedgerUnavailable as error:
                    raise Away(str(error)) from error

    def opportunity_id(self, create: PlannedJob) -> int | None:
        try:
            return self._client.outcome(create.job_id).opportunity_id
        except LedgerUnavailable as error:
            raise Away(str(error)) from error

    def _send_task(self, job: AnyJob) -> None:
        # As somebody else's application does it: the task's name, keyword arguments, a queue.
        fields = json.loads(json.dumps(kwargs_of(job)))
        try:
            self._celery.send_task(job.kind.value, kwargs=fields, task_id=job.job_id, queue=job.lane.queue, retry=False)
        except (OperationalError, redis.RedisError) as error:
            raise Away(str(error)) from error


@contextmanager
def _producing(stage: Stage) -> Iterator[Producer]:
    celery = Celery("foreign", broker=stage.redis.url, set_as_current=False)
    celery.conf.broker_transport_options = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    with JobClient(stage.redis.url) as client:
        yield _Application(client, celery)
    celery.close()


def built(job: PlannedJob, opportunity_id: int | None, deadline: datetime | None = None) -> AnyJob:
    """The job as a producer hands it over."""
    whole = {"instance": job.instance, "funnel_id": FUNNEL_ID, "job_id": job.job_id, "lane": job.lane, **job.document()}
    if deadline is not None:
        whole["deadline"] = deadline
    if opportunity_id is None:
        whole["external_ref"] = job.reference
    if job.creates:
        return CreateOpportunity.parse(whole)
    return UpdateOpportunity.parse(whole | ({"opportunity_id": opportunity_id} if opportunity_id else {}))
