"""The client that producing applications use."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from oppsync.receipts import ANSWER_TIMEOUT_S, APPEAR_S, RETRIES, Patience, Receipt, batches, job_id, job_ids, pauses
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.ledger.chains import run_in_order
from oppsync_worker.ledger.connect import LedgerUnavailable, checked, connection_options, explain, redis_url
from oppsync_worker.ledger.enqueuing import enqueue_in_order, receipts
from oppsync_worker.ledger.reading import ask_outcomes, outcomes
from oppsync_worker.ledger.rights import check, judge
from oppsync_worker.ledger.scripts import run


class JobClient:
    """Enqueue jobs and ask what became of them. Safe to share between threads.

    A call that fails because of Redis may be repeated: the job's id, or its idempotency key, keeps it from being
    recorded twice.
    """

    def __init__(self, url: str | None = None) -> None:
        """Connects at the first call. `url` defaults to `REDIS_URL`.

        Raises:
            NoRedisUrl: there is neither, or it is no address of Redis.
        """
        where = checked(url, name="the address") if url else redis_url()
        self._redis = Redis.from_url(
            where,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES),
            **connection_options(where, answer_timeout_s=ANSWER_TIMEOUT_S),
        )
        self._may_enqueue = False

    def enqueue(self, job: AnyJob) -> str:
        """Hand over one job in one round trip; gives its id, or that of the job with the same idempotency key.

        Raises:
            InvalidJob: the job is too large.
            JobConflict: another job stands under its id or its idempotency key.
            RightsMissing: the Redis user of `url` may not do what a producer needs.
            LedgerUnavailable: Redis did not take it within some seconds.
        """
        return job_id(self.hand_over([job])[0])

    def enqueue_many(self, jobs: Iterable[AnyJob]) -> list[str]:
        """Hand over many jobs, 500 a round trip; their ids, in order. May be repeated as a whole after an error.

        Raises:
            InvalidJob: a job is too large; those before it in earlier batches were handed over.
            JobConflicts: other jobs stand under the ids or keys of some; all others were handed over.
            LedgerUnavailable: Redis did not take all of them.
        """
        return job_ids([receipt for batch in batches(jobs) for receipt in self.hand_over(batch)])

    def hand_over(self, jobs: list[AnyJob]) -> list[Receipt]:
        """Hand over jobs in one round trip and in order, and learn of each whether it was new, or why it was refused.

        The first call looks at the rights of the Redis user before.

        Raises:
            InvalidJob: a job is too large; none was handed over.
            RightsMissing: the Redis user may not do what a producer needs; none was handed over.
            LedgerUnavailable: Redis did not take all of them; those that it took come before those that it did not.
        """
        calls = enqueue_in_order(jobs)
        try:
            if not self._may_enqueue:
                judge("producer", run(self._redis, check("producer")))
                self._may_enqueue = True
            return receipts(jobs, run_in_order(self._redis, calls))
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error

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

    def wait(self, job_id: str, *, timeout_s: float | None = None, appear_s: float = APPEAR_S) -> Outcome:
        """Look at a job until it has ended.

        Args:
            job_id: which job.
            timeout_s: how long; None, as long as it takes.
            appear_s: how long an id is looked for that nobody knows (yet): see `APPEAR_S`.

        Raises:
            WaitTimeout: it has not ended within `timeout_s` seconds; the text says where it is.
            UnknownJob: there was no such job within `appear_s` seconds, or it was forgotten meanwhile.
            LedgerUnavailable: Redis does not answer, known after some eight seconds. The job goes on; wait again.
        """
        patience = Patience(job_id, timeout_s, appear_s, time.monotonic())
        for pause in pauses():
            found = self.outcome(job_id)
            if found.state.is_terminal:
                return found
            patience.judge(found.state, now=time.monotonic(), pause=pause)
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
