"""The sweep: now and then one worker, whichever it is, holds every entry of the ledger against its place.

 1. Entries: each is where its state says, and stands in its record's line; what is not is put right by the script.
 2. Places: whoever stands in one belongs there; whoever does not is struck off. Claims have leases.
 3. Queued jobs: their messages lie in a lane or in a claim. That takes reading the lanes, so it is done for those only
    that have been queued for a while, and a job is given up only if its message was missing in two sweeps running.

A sweep reads the ledger in small pieces with pauses in between; nobody waits for it. Its worker may die over it:
another takes its turn after the interval.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from redis.asyncio import Redis

from oppsync_worker.ledger import keys, sweeping
from oppsync_worker.ledger.scripts import Call, run_async
from oppsync_worker.runner.reports import Reporter

PIECE: Final = 200
"""Entries per script: some milliseconds of Redis' time."""

PAUSE_S: Final = 0.02
"""Between two pieces: the sweep takes a tenth of Redis' time at most."""

PATIENCE_S: Final = 60.0
"""A job must have been queued for so long before its message is looked for."""

MOST_SUSPECTS: Final = 20_000
"""With more, the lanes are read only when they are too short for all of them: a backlog is no crime."""


class Sweep:
    """Finds strays. Belongs to one event loop."""

    def __init__(
        self,
        redis: Redis,
        *,
        worker: str,
        reporter: Reporter,
        every_s: float,
        ttl_s: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`every_s`: how often the ledger is swept, by all workers together; 0 means never."""
        self._redis = redis
        self._worker = worker
        self._reporter = reporter
        self._every_ms = int(every_s * 1000)
        self._ttl_s = ttl_s
        self._patience_ms = int(patience_s * 1000)

    async def chore(self) -> float:
        """Sweep if it is this worker's turn; seconds until it asks again."""
        if self._every_ms <= 0:
            return 3_600.0
        if await self._run(sweeping.turn(self._worker, every_ms=self._every_ms)):
            await self.sweep()
        return max(0.2, self._every_ms / 4_000)

    async def sweep(self) -> Counter[str]:
        """One whole sweep; what was found and put right, by word."""
        found: list[tuple[str, str]] = []
        suspects: dict[str, str] = {}
        async for ids in self._pieces("job:"):
            call = sweeping.sweep(ids, ttl_s=self._ttl_s, patience_ms=self._patience_ms)
            suspected, mended = sweeping.swept(await self._run(call))
            suspects |= suspected
            found += mended
        found += await self._lay_ghosts()
        found += [(job_id, "lost") for job_id in await self._lost(suspects)]
        await self._tell(found)
        return Counter(word for _, word in found)

    async def _lay_ghosts(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for state, place in sweeping.PLACES.items():
            found += await self._hold_against(state, place)
        for state in ("waiting", "held"):
            async for instances in self._pieces(f"{state}:"):
                for instance in instances:
                    found += await self._hold_against(state, f"{keys.PREFIX}{state}:{instance}")
        async for tags in self._pieces("claim:"):
            found += sweeping.laid(await self._run(sweeping.ghosts("claim", keys.LEASES, tags)))
        return found

    async def _hold_against(self, state: str, place: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        members = [member async for member, _ in self._redis.zscan_iter(place, count=PIECE)]
        for piece in _cut(_texts(members)):
            found += sweeping.laid(await self._run(sweeping.ghosts(state, place, piece)))
            await asyncio.sleep(PAUSE_S)
        return found

    async def _lost(self, suspects: dict[str, str]) -> list[str]:
        """Give up jobs whose message was nowhere, in this sweep and in the one before."""
        before = await self._missing_before()
        if not suspects or (len(suspects) > MOST_SUSPECTS and len(suspects) <= await self._travelling()):
            return []
        # In hand before and after: a job that is claimed or handed back meanwhile is seen on one side or the other.
        seen = await self._in_hand()
        seen |= await self._in_lanes()
        seen |= await self._in_hand()
        missing = {job_id: since for job_id, since in suspects.items() if job_id not in seen}
        lost = []
        for job_id, since in missing.items():
            if before.get(job_id) == since and await self._run(sweeping.lose(job_id, since=since)):
                lost.append(job_id)
        if missing:
            await self._redis.hset(keys.MISSING, mapping=dict(missing.items()))
        return lost

    async def _missing_before(self) -> dict[str, str]:
        """What the sweep before this one, whoever did it, could not find."""
        pipe: Any = self._redis.pipeline(transaction=True)
        pipe.hgetall(keys.MISSING)
        pipe.delete(keys.MISSING)
        found, _ = await pipe.execute()
        return {job_id.decode(): since.decode() for job_id, since in found.items()}

    async def _travelling(self) -> int:
        lengths = [int(await self._redis.llen(name)) for name in sweeping.lists()]
        return sum(lengths) + int(await self._redis.zcard(keys.LEASES))

    async def _in_hand(self) -> set[str]:
        jobs: set[str] = set()
        for tags in _cut(_texts(await self._redis.zrange(keys.LEASES, 0, -1))):
            pipe: Any = self._redis.pipeline(transaction=False)
            for tag in tags:
                pipe.hget(f"{keys.PREFIX}claim:{tag}", "job")
            jobs |= set(_texts(job for job in await pipe.execute() if job))
        return jobs

    async def _in_lanes(self) -> set[str]:
        jobs: set[str] = set()
        for name in sweeping.lists():
            first = 0
            # New messages come in on the left and move the others to the right, where this reading goes.
            while ids := _texts(await self._run(sweeping.lane(name, first=first, count=PIECE))):
                jobs.update(ids)
                first += len(ids)
                await asyncio.sleep(PAUSE_S)
        return jobs

    async def _tell(self, found: list[tuple[str, str]]) -> None:
        counts = Counter(word for _, word in found)
        pipe: Any = self._redis.pipeline(transaction=False)
        pipe.hset(keys.SWEEP, mapping={"last": sum(counts.values())})
        for word, count in counts.items():
            pipe.hincrby(keys.SWEEP, f"found:{word}", count)
        await pipe.execute()
        if found:
            some = ", ".join(f"{job_id} ({word})" for job_id, word in found[:5])
            self._reporter.strays(dict(counts), some if len(found) <= 5 else f"{some} and more")  # noqa: PLR2004

    async def _pieces(self, kind: str) -> AsyncIterator[list[str]]:
        """What stands behind a kind of key, in pieces."""
        prefix = keys.PREFIX + kind
        names: list[str] = []
        async for name in self._redis.scan_iter(match=prefix + "*", count=1_000):
            names += _texts([name])
            if len(names) >= PIECE:
                yield [one.removeprefix(prefix) for one in names]
                names = []
                await asyncio.sleep(PAUSE_S)
        if names:
            yield [one.removeprefix(prefix) for one in names]

    async def _run(self, call: Call) -> Any:
        return await run_async(self._redis, call)


def _texts(given: Iterable[Any]) -> list[str]:
    return [one.decode("utf-8", "surrogateescape") if isinstance(one, bytes) else str(one) for one in given]


def _cut(items: list[str]) -> list[list[str]]:
    return [items[start : start + PIECE] for start in range(0, len(items), PIECE)]
