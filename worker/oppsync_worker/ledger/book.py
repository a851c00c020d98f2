"""The worker's half of the ledger, from asyncio: every call lands, or says that it could not.

While Redis is away a settled end is held in memory and tried again: the job's lease may run out meanwhile, and then the
script finds a stale claim and changes nothing that it should not.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import begin as beginning
from oppsync_worker.ledger import claims, ends, keys, recalling
from oppsync_worker.ledger.connect import LedgerRefused, LedgerUnavailable, connection_options, explain
from oppsync_worker.ledger.scripts import Call, packed, run_async, run_many_and_wait, run_many_async

FIRST_PAUSE_S: Final = 0.05
MOST_PAUSE_S: Final = 2.0

END_PATIENCE_S: Final = 3_600.0
"""How long an end is kept in memory while Redis is away: what became of an attempt is known nowhere else."""

BATCH: Final = 50
"""Scripts per round trip: together they hold Redis up for a few milliseconds at most."""

CONNECTIONS: Final = 32
"""Connections of one worker process: calls are short, so hundreds of jobs share them."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas must have taken note of a request before it leaves, and how long (ms) they may take."""

    least: int = 0
    within_ms: int = 1_000


RECALLS: Final = 5
"""How often a ledger is told what it has forgotten: it may forget again before the end is settled."""


@dataclass(frozen=True, slots=True)
class NotReplicated:
    """An answer to `begin` of which too few replicas have taken note in time."""

    answer: Any


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the end of a request that was sent.

    `state` is where the job is now, None when the end changed nothing. `recalled`: the ledger had forgotten the
    request. `surplus`: the job, or another under its idempotency key, has succeeded with the record `other`, or may
    have, or was dropped, and this request made one more, or may have.
    """

    state: State | None
    recalled: bool = False
    surplus: bool = False
    other: int | None = None


class Book:
    """The ledger as one worker process writes it. Belongs to one event loop."""

    def __init__(self, url: str, *, patience_s: float, replicas: Replicas | None = None) -> None:
        """Connects at the first call; `patience_s` is how long an end is tried while Redis is away."""
        from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415 - kept beside its only use

        self._pool: ConnectionPool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=None, retry=Retry(NoBackoff(), 1), **connection_options(url)
        )
        self.redis = Redis(connection_pool=self._pool)
        self._patience_s = patience_s
        self._replicas = replicas or Replicas()
        self._asked: list[tuple[Call, asyncio.Future[Any]]] = []
        self._tellings: set[asyncio.Task[None]] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._questions = itertools.count(1)
        self.heard = 0
        """Round trips that came to an end, errors too: who asks in vain again and again is waiting, not hanging."""

        self.not_replicated_at: float | None = None
        """When too few replicas took note the last time, if they have not done so since; of the monotonic clock."""

    async def begin(
        self, hand: ends.Hand, job: AnyJob, *, horizon_ms: int, marker_field: str | None, own: bool = False
    ) -> beginning.Go | beginning.Soon | beginning.Parked:
        """May this claim send this job now?

        Raises:
            LedgerUnavailable: Redis did not answer in time; nothing was sent, and nothing may be.
        """
        while True:
            number = next(self._questions)
            call = beginning.begin(hand, job, horizon_ms=horizon_ms, number=number, marker_field=marker_field, own=own)
            answer, asked_at = await self._surely(call, self._patience_s)
            if isinstance(answer, NotReplicated):
                if isinstance(beginning.begun(answer.answer), beginning.Go):
                    await self.surely(ends.not_replicated(hand))
                    return beginning.Parked(State.SCHEDULED, "not_replicated")
                answer = answer.answer
            begun = beginning.begun(answer)
            if not isinstance(begun, beginning.Stale):
                return replace(begun, asked_at=asked_at) if isinstance(begun, beginning.Go) else begun

    def left_late(self, instance: str, *, counted_at: int, late_s: float) -> None:
        """A request was told to go, and left only `late_s` after that was asked for.

        Redis or this process was slow, or a connection had to be made first. The CRM counts it when it comes; with its
        time as counted here, the window would seem over too early. Nobody waits for the telling; where Redis does not
        take it, the guard of the window has to do.
        """
        call = beginning.left_late(instance, counted_at=counted_at, late_ms=math.ceil(late_s * 1000))
        telling = asyncio.create_task(self._tell(call))
        self._tellings.add(telling)
        telling.add_done_callback(self._tellings.discard)

    async def _tell(self, call: Call) -> None:
        with suppress(LedgerUnavailable):
            await self.surely(call)

    async def settle(self, call: Call, *, stopping: asyncio.Event | None = None) -> State | None:
        """Write an end of an attempt; None when the claim was stale and nothing changed.

        Once `stopping` is set, it is tried no more: for what is not worth to stop later for.

        Raises:
            LedgerUnavailable: Redis did not take it in time.
        """
        answer, _ = await self._surely(call, END_PATIENCE_S, stopping)
        return ends.ended(answer)

    async def settle_sent(self, call: Call, sent: recalling.Sent, *, sent_at: float) -> Settled:
        """Write the end of a request that left at `sent_at` (monotonic): the truth wins over a ledger that forgot it.

        Raises:
            LedgerUnavailable: Redis did not take it in time.
        """
        call, told = recalling.as_sent(call), recalling.Recalled()
        for _ in range(RECALLS):
            answer = await self.surely(call, patience_s=END_PATIENCE_S)
            if not recalling.is_forgotten(answer):
                return Settled(ends.ended(answer), recalled=told.settle, surplus=told.surplus, other=told.other)
            ago = int((time.monotonic() - sent_at) * 1000)
            again = recalling.recall(call, sent, sent_ms_ago=ago)
            told = recalling.recalled(await self.surely(again, patience_s=END_PATIENCE_S))
            if not told.settle:
                return Settled(told.state, surplus=told.surplus, other=told.other)
        raise LedgerUnavailable("the ledger has forgotten a request again and again: is Redis being restarted?")

    async def owners(self, instance: str, opportunity_ids: Sequence[int]) -> dict[int, str]:
        """Which of an instance's records are known to be some job's: those that bear no marker.

        Raises:
            LedgerUnavailable: Redis did not answer.
        """
        try:
            found = await self.redis.mget([keys.made(instance, one) for one in opportunity_ids])
        except RedisError as error:
            raise LedgerUnavailable(explain(error)) from error
        return {one: _text(job) for one, job in zip(opportunity_ids, found, strict=True) if job}

    async def release(self, tag: str) -> None:
        """Hand a claim back unsent. Should Redis be away, the lease runs out and does the same."""
        try:
            await run_async(self.redis, claims.release(tag))
        except RedisError:
            return

    async def surely(self, call: Call, *, patience_s: float | None = None) -> Any:
        """Run a script, again and again while Redis is away; every script is safe to repeat."""
        answer, _ = await self._surely(call, patience_s or self._patience_s)
        return answer

    async def _surely(self, call: Call, patience_s: float, stopping: asyncio.Event | None = None) -> tuple[Any, float]:
        """The answer, and when (monotonic) it was asked for in vain no more."""
        started, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            asked_at = time.monotonic()
            try:
                return await self._once(call), asked_at
            except RedisError as error:
                ours = isinstance(error, ResponseError | NoPermissionError) and "illegal transition" in str(error)
                if ours:
                    raise LedgerRefused(str(error)) from error
                if time.monotonic() - started > patience_s or (stopping and stopping.is_set()):
                    raise LedgerUnavailable(explain(error)) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, MOST_PAUSE_S)

    async def _once(self, call: Call) -> Any:
        """Run a script together with all others that are asked for meanwhile: one round trip and one write to disk.

        What is wrong with a call, its own caller hears of, here; the others never do.
        """
        call = Call(call.script, packed(call))
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((call, answer))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await answer

    async def _flush(self) -> None:
        try:
            while self._asked:
                batch, self._asked = self._asked[:BATCH], self._asked[BATCH:]
                answers = await self._answers([call for call, _ in batch])
                self.heard += 1
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue  # whoever asked was cancelled
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._flushing = None

    async def _answers(self, calls: list[Call]) -> list[Any]:
        try:
            return await self._run(calls)
        except RedisError as error:
            return [error] * len(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked must hear of it
            if len(calls) == 1:
                return [error]
            # Something is wrong with one of them, and only that one's caller may hear of it. Every script is safe to
            # repeat, should some have been carried out.
            return [answer for call in calls for answer in await self._answers([call])]

    async def _run(self, calls: list[Call]) -> list[Any]:
        """All calls in one round trip; of those that lead to a request, whether enough replicas have taken note."""
        if not self._replicas.least or all(call.script != "begin" for call in calls):
            return await run_many_async(self.redis, calls)
        least = self._replicas.least
        answers, noted = await run_many_and_wait(self.redis, calls, replicas=least, within_ms=self._replicas.within_ms)
        if noted >= least:
            self.not_replicated_at = None
            return answers
        self.not_replicated_at = time.monotonic()
        return [
            NotReplicated(answer) if call.script == "begin" and not isinstance(answer, Exception) else answer
            for call, answer in zip(calls, answers, strict=True)
        ]

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()
        await self._pool.aclose()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
