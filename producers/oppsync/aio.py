"""The client for applications that run on asyncio: the same verbs, awaited."""

import asyncio
import time
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from oppsync.receipts import ANSWER_TIMEOUT_S, BATCH, RETRIES, Receipt, WaitTimeout, batches, pauses
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.ledger.connect import LedgerUnavailable, connection_options, explain, redis_url
from oppsync_worker.ledger.enqueuing import enqueue, receipt
from oppsync_worker.ledger.reading import ask_outcomes, outcomes
from oppsync_worker.ledger.rights import check, judge
from oppsync_worker.ledger.scripts import run_async, run_many_async


class AsyncJobClient:
    """`JobClient` for asyncio. One per event loop."""

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

    async def enqueue(self, job: AnyJob) -> str:
        """Hand over one job in one round trip; gives its id, or that of the job with the same idempotency key.

        Raises:
            InvalidJob: the job is too large.
            RightsMissing: the Redis user of `url` may not do what a producer needs.
            LedgerUnavailable: Redis did not take it within some seconds.
        """
        return (await self.hand_over([job]))[0].job_id

    async def enqueue_many(self, jobs: Iterable[AnyJob] | AsyncIterable[AnyJob]) -> list[str]:
        """Hand over many jobs, 500 a round trip; their ids, in order. May be repeated as a whole after an error.

        Raises:
            InvalidJob: a job is too large; those before it in earlier batches were handed over.
            LedgerUnavailable: Redis did not take all of them.
        """
        ids: list[str] = []
        if isinstance(jobs, AsyncIterable):
            batch: list[AnyJob] = []
            async for job in jobs:
                batch.append(job)
                if len(batch) == BATCH:
                    ids += [receipt.job_id for receipt in await self.hand_over(batch)]
                    batch = []
            if batch:
                ids += [receipt.job_id for receipt in await self.hand_over(batch)]
            return ids
        for batch in batches(jobs):
            ids += [receipt.job_id for receipt in await self.hand_over(batch)]
        return ids

    async def hand_over(self, jobs: list[AnyJob]) -> list[Receipt]:
        """Hand over jobs in one round trip, and learn which of them were new. The first looks at the rights before."""
        calls = [enqueue(job) for job in jobs]
        try:
            if not self._may_enqueue:
                judge("producer", await run_async(self._redis, check("producer")))
                self._may_enqueue = True
            answers = (
                await run_many_async(self._redis, calls)
                if len(calls) != 1
                else [await run_async(self._redis, calls[0])]
            )
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error
        for answer in answers:
            if isinstance(answer, RedisError):
                raise LedgerUnavailable(explain(answer)) from answer
        return [Receipt(*receipt(answer)) for answer in answers]

    async def outcome(self, job_id: str) -> Outcome:
        """Where the job is and what became of it.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        return (await self.outcomes([job_id]))[0]

    async def outcomes(self, job_ids: list[str]) -> list[Outcome]:
        """`outcome` of many jobs in one round trip, in order."""
        try:
            answers = await ask_outcomes(self._redis.pipeline(transaction=False), job_ids).execute()
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error
        return outcomes(job_ids, answers)

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> Outcome:
        """Look at a job until it has ended.

        Raises:
            WaitTimeout: it has not within `timeout_s` seconds; the text says where it is.
            LedgerUnavailable: Redis does not answer.
        """
        started = time.monotonic()
        for pause in pauses():
            found = await self.outcome(job_id)
            if found.state.is_terminal:
                return found
            if timeout_s is not None and time.monotonic() - started + pause > timeout_s:
                raise WaitTimeout(f"job {job_id} is {found.state} after {timeout_s:g} s")
            await asyncio.sleep(pause)
        raise AssertionError  # pauses never end

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
