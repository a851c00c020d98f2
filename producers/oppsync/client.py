"""The client that producing applications use."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from oppsync.receipts import ANSWER_TIMEOUT_S, RETRIES, Receipt, WaitTimeout, batches, pauses
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.ledger.connect import LedgerUnavailable, connection_options, explain, redis_url
from oppsync_worker.ledger.enqueuing import enqueue, receipt
from oppsync_worker.ledger.reading import ask_outcomes, outcomes
from oppsync_worker.ledger.rights import check, judge
from oppsync_worker.ledger.scripts import run, run_many


class JobClient:
    """Enqueue jobs and ask what became of them. Safe to share between threads.

    A call that fails because of Redis may be repeated: the job's id, or its idempotency key, keeps it from being
    recorded twice.
    """

    def __init__(self, url: str | None = None) -> None:
        """Connects at the first call. `url` defaults to `REDIS_URL`.

        Raises:
            NoRedisUrl: there is neither.
        """
        self._redis = Redis.from_url(
            url or redis_url(),
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES),
            **connection_options(answer_timeout_s=ANSWER_TIMEOUT_S),
        )
        self._may_enqueue = False

    def enqueue(self, job: AnyJob) -> str:
        """Hand over one job in one round trip; gives its id, or that of the job with the same idempotency key.

        Raises:
            InvalidJob: the job is too large.
            RightsMissing: the Redis user of `url` may not do what a producer needs.
            LedgerUnavailable: Redis did not take it within some seconds.
        """
        return self.hand_over([job])[0].job_id

    def enqueue_many(self, jobs: Iterable[AnyJob]) -> list[str]:
        """Hand over many jobs, 500 a round trip; their ids, in order. May be repeated as a whole after an error.

        Raises:
            InvalidJob: a job is too large; those before it in earlier batches were handed over.
            LedgerUnavailable: Redis did not take all of them.
        """
        return [receipt.job_id for batch in batches(jobs) for receipt in self.hand_over(batch)]

    def hand_over(self, jobs: list[AnyJob]) -> list[Receipt]:
        """Hand over jobs in one round trip, and learn which of them were new. The first looks at the rights before."""
        calls = [enqueue(job) for job in jobs]
        try:
            if not self._may_enqueue:
                judge("producer", run(self._redis, check("producer")))
                self._may_enqueue = True
            answers = run_many(self._redis, calls) if len(calls) != 1 else [run(self._redis, calls[0])]
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error
        for answer in answers:
            if isinstance(answer, RedisError):
                raise LedgerUnavailable(explain(answer)) from answer
        return [Receipt(*receipt(answer)) for answer in answers]

    def outcome(self, job_id: str) -> Outcome:
        """Where the job is and what became of it.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        return self.outcomes([job_id])[0]

    def outcomes(self, job_ids: list[str]) -> list[Outcome]:
        """`outcome` of many jobs in one round trip, in order."""
        try:
            return outcomes(job_ids, ask_outcomes(self._redis.pipeline(transaction=False), job_ids).execute())
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Outcome:
        """Look at a job until it has ended.

        Raises:
            WaitTimeout: it has not within `timeout_s` seconds; the text says where it is.
            LedgerUnavailable: Redis does not answer.
        """
        started = time.monotonic()
        for pause in pauses():
            found = self.outcome(job_id)
            if found.state.is_terminal:
                return found
            if timeout_s is not None and time.monotonic() - started + pause > timeout_s:
                raise WaitTimeout(f"job {job_id} is {found.state} after {timeout_s:g} s")
            time.sleep(pause)
        raise AssertionError  # pauses never end

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
