"""The sweep: now and then one worker, whichever it is, holds every entry of the ledger against its place.

 1. Entries: each is where its state says, and stands in its record's line; what is not is put right by the script.
 2. Places: whoever stands in one belongs there; whoever does not is struck off. Claims have leases.
 3. Queued jobs: their messages lie in a lane or in a claim. That takes reading the lanes, so it is done for those only
    that have been queued for a while, and a job is given up only if its message was missing in two sweeps running.

It keeps counts, and at most `MOST_SUSPECTS` jobs under suspicion: a million jobs take no more memory than a thousand.
A sweep reads the ledger in small pieces with pauses in between; nobody waits for it. Its worker may die over it:
another takes its turn after the interval.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from oppsync_worker.ledger import keys, sweeping
from oppsync_worker.ledger.connect import is_of_another_type
from oppsync_worker.ledger.scripts import Call, run_async
from oppsync_worker.runner.reports import Reporter

PIECE: Final = 200
"""Entries per script: some milliseconds of Redis' time."""

PAUSE_S: Final = 0.02
"""Between two pieces: the sweep takes a tenth of Redis' time at most."""

PATIENCE_S: Final = 60.0
"""A job must have been queued for so long before its message is looked for."""

MOST_SUSPECTS: Final = 20_000
"""So many are looked for one by one. With more, the lanes are read only when they are too short for all of them: a
backlog is no crime."""

_SOME: Final = 5


class Found:
    """What a sweep has put right: how many by word, and the first of them by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.some: list[str] = []

    def add(self, mended: Iterable[tuple[str, str]]) -> None:
        """One more piece."""
        for job_id, word in mended:
            self.counts[word] += 1
            if len(self.some) < _SOME:
                self.some.append(f"{job_id} ({word})")


class Suspects:
    """Jobs of which the message must be looked for: all are counted, so many are kept."""

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        """Those that are `wanted` are kept whatever comes: the sweep before this one has missed them."""
        self.count = 0
        self.kept: dict[str, str] = {}
        self._wanted = set(wanted)

    def add(self, suspected: Mapping[str, str]) -> None:
        """One more piece: id and time since when it is queued."""
        self.count += len(suspected)
        for job_id, since in suspected.items():
            if len(self.kept) < MOST_SUSPECTS or job_id in self._wanted:
                self.kept[job_id] = since


class Sightings:
    """Ids that were seen, in a fixed number of bits: a Bloom filter.

    It never forgets one, and takes one of some thousands that it never saw for one that it did. Its salt is new each
    time, so the next sweep errs elsewhere.
    """

    def __init__(self, expected: int) -> None:
        """For some `expected` ids, but never more than `_MOST_BITS`."""
        self._bits = min(max(1_024, expected * 20), _MOST_BITS)
        self._seen = bytearray(self._bits // 8 + 1)
        self._salt = secrets.token_bytes(16)

    def add(self, job_ids: Iterable[str]) -> None:
        """They were seen."""
        for job_id in job_ids:
            for bit in self._places(job_id):
                self._seen[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, job_id: str) -> bool:
        return all(self._seen[bit >> 3] & (1 << (bit & 7)) for bit in self._places(job_id))

    def _places(self, job_id: str) -> Iterator[int]:
        digest = blake2b(job_id.encode("utf-8", "surrogateescape"), digest_size=32, salt=self._salt).digest()
        for start in range(0, 32, 4):
            yield int.from_bytes(digest[start : start + 4], "big") % self._bits


_MOST_BITS: Final = 8 * 16 * 1024 * 1024
"""16 MB: exact enough for some ten million messages."""


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
        found, before = Found(), await self._missing_before()
        suspects = Suspects(before)
        async for suspected in self._entries(found):
            suspects.add(suspected)
        await self._lay_ghosts(found)
        found.add([(job_id, "lost") for job_id in await self._lost(suspects, before)])
        await self._tell(found)
        return found.counts

    async def _entries(self, found: Found) -> AsyncIterator[dict[str, str]]:
        """Hold every entry against its place; gives those whose message must be looked for."""
        async for ids in self._pieces("job:"):
            call = sweeping.sweep(ids, ttl_s=self._ttl_s, patience_ms=self._patience_ms)
            suspected, mended = sweeping.swept(await self._run(call))
            found.add(mended)
            yield suspected

    async def _lay_ghosts(self, found: Found) -> None:
        for state, place in sweeping.PLACES.items():
            await self._hold_against(state, place, found)
        for state in ("waiting", "held"):
            async for instances in self._pieces(f"{state}:"):
                for instance in instances:
                    try:
                        await self._hold_against(state, f"{keys.PREFIX}{state}:{instance}", found)
                    except ResponseError as error:
                        # Somebody has written to it: scripts that meet it say so, and the others are looked at.
                        if not is_of_another_type(error):
                            raise
        async for tags in self._pieces("claim:"):
            found.add(sweeping.laid(await self._run(sweeping.ghosts("claim", keys.LEASES, tags))))

    async def _hold_against(self, state: str, place: str, found: Found) -> None:
        members: list[str] = []
        async for member, _ in self._redis.zscan_iter(place, count=PIECE):
            members += _texts([member])
            if len(members) >= PIECE:
                found.add(sweeping.laid(await self._run(sweeping.ghosts(state, place, members))))
                members = []
                await asyncio.sleep(PAUSE_S)
        if members:
            found.add(sweeping.laid(await self._run(sweeping.ghosts(state, place, members))))
            await asyncio.sleep(PAUSE_S)

    async def _lost(self, suspects: Suspects, before: Mapping[str, str]) -> list[str]:
        """Give up jobs whose message was nowhere, in this sweep and in the one before."""
        if not suspects.count:
            return []
        if suspects.count <= MOST_SUSPECTS:
            missing = suspects.kept
            async for seen in self._seen():
                for job_id in seen:
                    missing.pop(job_id, None)
        elif suspects.count <= (travelling := await self._travelling()):
            return []
        else:
            missing = await self._missing_of_many(travelling, before)
        lost = []
        for job_id, since in missing.items():
            if before.get(job_id) == since and await self._run(sweeping.lose(job_id, since=since)):
                lost.append(job_id)
        if missing:
            await self._redis.hset(keys.MISSING, mapping=dict(missing.items()))
        return lost

    async def _missing_of_many(self, travelling: int, before: Mapping[str, str]) -> dict[str, str]:
        """Too many to remember: first what is there, in few bits, and then every entry once more."""
        seconds, micros = await self._redis.time()
        began, sightings = int(seconds) * 1000 + int(micros) // 1000, Sightings(travelling)
        async for seen in self._seen():
            sightings.add(seen)
        missing = Suspects(before)
        async for suspected in self._entries(Found()):
            # Queued before the reading began, and still: its message was somewhere all the while.
            waited = {job_id: since for job_id, since in suspected.items() if float(since) < began}
            missing.add({job_id: since for job_id, since in waited.items() if job_id not in sightings})
        return missing.kept

    async def _seen(self) -> AsyncIterator[Iterable[str]]:
        """Jobs whose messages are somewhere, in pieces."""
        # In hand before and after: a job that is claimed or handed back meanwhile is seen on one side or the other.
        for read in (self._in_hand, self._in_lanes, self._in_hand):
            async for piece in read():
                yield piece

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

    async def _in_hand(self) -> AsyncIterator[Iterable[str]]:
        for tags in _cut(_texts(await self._redis.zrange(keys.LEASES, 0, -1))):
            pipe: Any = self._redis.pipeline(transaction=False)
            for tag in tags:
                pipe.hget(f"{keys.PREFIX}claim:{tag}", "job")
            yield _texts(job for job in await pipe.execute() if job)

    async def _in_lanes(self) -> AsyncIterator[Iterable[str]]:
        for name in sweeping.lists():
            first = 0
            # New messages come in on the left and move the others to the right, where this reading goes.
            while ids := _texts(await self._run(sweeping.lane(name, first=first, count=PIECE))):
                yield ids
                first += len(ids)
                await asyncio.sleep(PAUSE_S)

    async def _tell(self, found: Found) -> None:
        counts = found.counts
        pipe: Any = self._redis.pipeline(transaction=False)
        pipe.hset(keys.SWEEP, mapping={"last": sum(counts.values())})
        for word, count in counts.items():
            pipe.hincrby(keys.SWEEP, f"found:{word}", count)
        await pipe.execute()
        if counts:
            some = ", ".join(found.some)
            self._reporter.strays(dict(counts), some if counts.total() <= _SOME else f"{some} and more")

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
