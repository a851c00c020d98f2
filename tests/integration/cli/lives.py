"""Jobs put into every state by the ledger's own calls, and the command run against them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from click.testing import Result
from redis import Redis

from oppsync import CreateOpportunity, JobClient, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Lane
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.ledger import begin, claims, ends, keys
from oppsync_worker.ledger.scripts import Call, run
from stage import claiming, told

QUEUES = [Lane.INTERACTIVE.queue, Lane.BULK.queue]
TTL_S = 3600

Command = Callable[..., Result]


def answer(result: Result) -> Any:
    """What a command printed with --json."""
    return json.loads(result.stdout)


@dataclass
class Lives:
    """Puts jobs into states, as workers would."""

    client: Redis
    url: str

    def create(self, **fields: Any) -> CreateOpportunity:
        """A job that is queued."""
        given = {"instance": "acme", "funnel_id": 7, "title": "Casa de João", "crm_column": 130, **fields}
        job = CreateOpportunity.parse(given)
        self._enqueue(job)
        return job

    def update(self, **fields: Any) -> UpdateOpportunity:
        """A queued update."""
        job = UpdateOpportunity.parse(
            {"instance": "acme", "funnel_id": 7, "opportunity_id": 12, "value": "5", **fields}
        )
        self._enqueue(job)
        return job

    def _enqueue(self, job: AnyJob) -> None:
        if not self.client.exists(keys.budget(job.instance)):
            run(self.client, told(job.instance))
        with JobClient(self.url) as producer:
            producer.enqueue(job)

    def claim(self, *, lease_ms: int = 60_000) -> list[claims.Claimed]:
        """Take everything that is queued."""
        taken, _ = claims.claimed(run(self.client, claiming(QUEUES, most=100, lease_ms=lease_ms, worker="worker-1")))
        return taken

    def hand(self, job: AnyJob) -> ends.Hand:
        """Claim the one job that is queued."""
        (taken,) = self.claim()
        return ends.Hand(taken.tag, job.job_id, TTL_S)

    def begin(self, job: AnyJob) -> ends.Hand:
        """The job is being sent."""
        run(self.client, told(job.instance))
        hand = self.hand(job)
        assert isinstance(
            begin.begun(run(self.client, begin.begin(hand, job, horizon_ms=250, number=time.monotonic_ns()))), begin.Go
        )
        return hand

    def attempt(self, **said: Any) -> ends.Attempt:
        """A failed attempt."""
        given = {"at": "2026-01-02T03:04:05+00:00", "number": 1, "duration_ms": 120, "status": 422}
        return ends.Attempt(**{**given, "error": "Rejected", "message": "crm_column is unknown", **said})

    def dead(self, job: AnyJob | None = None, *, cause: Cause = Cause.REJECTED, **fields: Any) -> str:
        """A job that was rejected by the CRM."""
        job = job or self.create(**fields)
        end = ends.bury(self.begin(job), cause=cause, detail="HTTP 422: crm_column is unknown", attempt=self.attempt())
        assert ends.ended(run(self.client, end)) is State.DEAD
        return job.job_id

    def raw(self, message: bytes = b"\x00\xffnot a job") -> str:
        """Bytes that nobody can read, buried on sight."""
        before = set(self.client.zrange("oppsync:dead", 0, -1))
        self.client.lpush(QUEUES[1], message)
        assert not self.claim()
        (letter,) = set(self.client.zrange("oppsync:dead", 0, -1)) - before
        return str(letter.decode())

    def in_doubt(self, **fields: Any) -> str:
        """A create whose answer was lost."""
        job = self.create(**fields)
        lost = self.attempt(status=None, error="AnswerLost", message="the connection was reset")
        assert ends.ended(run(self.client, ends.doubt(self.begin(job), attempt=lost))) is State.IN_DOUBT
        return job.job_id

    def succeeded(self, **fields: Any) -> str:
        """A job that the CRM has."""
        job = self.create(**fields)
        result = {"state": "succeeded", "opportunity_id": 99, "record": {"id": 99}}
        end = ends.succeed(self.begin(job), opportunity_id=99, result=result)
        assert ends.ended(run(self.client, end)) is State.SUCCEEDED
        return job.job_id

    def settled(self, job: AnyJob, end: Callable[[ends.Hand], Call]) -> str:
        """A job whose attempt ended in any other way."""
        run(self.client, end(self.begin(job)))
        return job.job_id

    def state(self, job_id: str) -> str:
        """What the ledger says."""
        return (self.client.hget(f"oppsync:job:{job_id}", "state") or b"unknown").decode()

    def buried_at(self, job_id: str, ms: int) -> None:
        """As if it had been buried at another time."""
        self.client.zadd("oppsync:dead", {job_id: ms})
        self.client.hset(f"oppsync:job:{job_id}", "since", ms)
