"""What every worker does on the side, so that no leader, no beat and no second service is needed.

    renew      leases of the claims in hand, three times per lease
    restore    claims of workers that fell silent
    promote    due jobs and free slots, ten times a second or when the ledger says there is something to do; it also
               hands out look-ups for creates in doubt, which are done here
    announce   what this worker knows of its instances
    sweep      now and then, one of all workers: entries in no place, and places without an entry
    present    a sign of life, for `oppsync health` and `oppsync status`

Each is an atomic script and safe to run on any number of workers at once. Redis being away stops none of them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine.broken import BrokenKeys
from oppsync_worker.engine.hands import Hands
from oppsync_worker.engine.sweep import Sweep
from oppsync_worker.ledger import claims, presence, rights
from oppsync_worker.ledger.connect import explain, is_of_another_type
from oppsync_worker.ledger.promoting import promote, promoted
from oppsync_worker.ledger.scripts import Call, run_async, run_many_async
from oppsync_worker.limits.budget import ELASTIC, HORIZON_MS, hands
from oppsync_worker.runner.reconciler import Reconciler
from oppsync_worker.runner.reports import Reporter

logger = logging.getLogger(__name__)

PROMOTE_MOST: Final = 200
PROMOTE_PAUSE_S: Final = 0.1
ANNOUNCE_PAUSE_S: Final = 15.0
RESTORE_MOST: Final = 200
STOP_ROUNDS: Final = 10

LOOKS_A_ROUND: Final = 50
"""Look-ups that are taken on at once. Each has a slot of its instance's budget and a place in flight already: how many
there are, and of whom, is decided where slots are given."""

LOOKS_PATIENCE_S: Final = 10.0
"""How long a stop waits for look-ups; one that is left is done again by somebody else."""

Chore = Callable[[], Awaitable[float]]
"""Does its work once; gives the seconds until the next time."""


def _steady_ms() -> int:
    # Where there is one that goes on while the machine sleeps, a laptop that wakes up has seen no jump.
    steady = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(steady) // 1_000_000


class Housekeeping:
    """The chores of one worker process. Belongs to one event loop."""

    def __init__(
        self,
        redis: Redis,
        hands: Hands,
        *,
        name: str,
        reporter: Reporter,
        lease_ms: int,
        max_crashes: int,
        ttl_s: int,
        announcements: list[Call],
        reconciler: Reconciler,
        look_ms: int,
        sweep: Sweep,
        concurrency: int = 200,
    ) -> None:
        """`look_ms`: after this, a look-up of which nothing was heard is somebody else's."""
        self._concurrency = concurrency
        self._redis = redis
        self._hands = hands
        self._name = name
        self._reporter = reporter
        self._broken = BrokenKeys(reporter)
        self._lease_ms = lease_ms
        self._max_crashes = max_crashes
        self._ttl_s = ttl_s
        self._announcements = announcements
        self._reconciler = reconciler
        self._sweep = sweep.chore
        self._look_ms = look_ms
        self._looks: set[asyncio.Task[None]] = set()
        self._patient_until: float | None = None
        self.answered_at: float | None = None
        """When Redis last did a chore, which it is asked for all the time; seconds of the monotonic clock."""
        self.announced = False
        self._clock: tuple[int, int] | None = None
        """What Redis' clock showed last, and when that was asked for, on the steady clock; in ms."""
        self._ahead_ms = 0
        self._stopping = self._closing = False

    def stop(self) -> None:
        """Take on no more look-ups; everything else goes on until the end."""
        self._stopping = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All chores, for as long as the block lasts."""
        chores = {
            "renew": self._renew,
            "restore": self._restore,
            "promote": self._promote,
            "announce": self._announce,
            "present": self._present,
            "sweep": self._sweep,
        }
        tasks = [asyncio.create_task(self._keep(name, chore), name=name) for name, chore in chores.items()]
        try:
            yield
        finally:
            self._closing = self._stopping = True
            if self._looks:
                await asyncio.wait(self._looks, timeout=LOOKS_PATIENCE_S)
            pending = {*tasks, *self._looks}
            for _ in range(STOP_ROUNDS):
                if not pending:
                    break
                # Once is not always enough: a cancellation can get lost where a library waits with a limit of its own.
                for task in pending:
                    task.cancel()
                _, pending = await asyncio.wait(pending, timeout=0.5)
            with suppress(RedisError):
                await run_async(self._redis, presence.gone(self._name))

    async def _keep(self, name: str, chore: Chore) -> None:
        while not self._closing:
            try:
                pause = await chore()
            except RedisError as error:
                self._reporter.notice("ledger_unavailable", chore=name, message=explain(error))
                # While Redis was away, or full, nobody could renew: owners that live get their turn before anything is
                # restored. That it dislikes another call is no reason to be patient with silent workers.
                if not isinstance(error, ResponseError) or name == "restore":
                    self._patient_until = asyncio.get_running_loop().time() + self._lease_ms / 1000
                pause = 1.0
            except rights.RightsMissing as error:
                self._reporter.notice("rights_missing", message=str(error))
                pause = 10.0
            except Exception:
                logger.exception("%s failed", name)
                pause = 5.0
            await asyncio.sleep(pause)

    async def _renew(self) -> float:
        tags = self._hands.to_renew()
        for start in range(0, len(tags), 1000):
            lost = await run_async(self._redis, claims.renew(tags[start : start + 1000], lease_ms=self._lease_ms))
            for tag in lost:
                # Settled a moment ago, or taken over: either way no longer ours to renew.
                self._hands.abandon(tag.decode())
        return self._lease_ms / 3000

    async def _restore(self) -> float:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        seconds, micros = await self._redis.time()
        now, lease_s = loop.time(), self._lease_ms / 1000
        if self._patient_until is None:
            # Redis may have been away before this worker came: owners that live get their turn to renew first.
            self._patient_until = now + lease_s / 2
        elif now - asked > lease_s / 4:
            # The link stood still, and nobody behind it could renew.
            self._patient_until = now + lease_s
        if now < self._patient_until:
            return lease_s / 6
        call = claims.restore(
            most=RESTORE_MOST,
            crashes=self._max_crashes,
            ttl_s=self._ttl_s,
            # No claim runs out until then that a living owner had kept when Redis told the time.
            not_after_ms=seconds * 1000 + micros // 1000 + self._lease_ms // 2,
        )
        answer = await run_async(self._redis, call)
        self._broken.tell(claims.broken(answer, usual=3))
        restored, doubted, buried = answer[:3]
        if restored or doubted or buried:
            self._reporter.notice("restored", restored=restored, in_doubt=doubted, buried=len(buried))
        for job_id in buried:
            self._reporter.buried_unread(job_id.decode(), "", Cause.POISON, "lost its worker again and again")
        return 0.05 if restored + doubted + len(buried) == RESTORE_MOST else self._lease_ms / 3000

    async def _promote(self) -> float:
        asked_at, seen = _steady_ms(), None
        if self._clock is not None:
            seen = (self._clock[0], asked_at - self._clock[1])
        call = promote(
            most=PROMOTE_MOST,
            horizon_ms=HORIZON_MS,
            ttl_s=self._ttl_s,
            takes=0 if self._stopping else min(LOOKS_A_ROUND, self._concurrency * ELASTIC - len(self._looks)),
            look_ms=self._look_ms,
            seen=seen,
        )
        done = promoted(await run_async(self._redis, call))
        self._broken.tell(done.broken)
        self.answered_at = time.monotonic()
        self._clock = (done.clock_ms, asked_at)
        if done.ahead_ms and not self._ahead_ms:
            self._reporter.notice("clock_jumped", ahead_ms=done.ahead_ms)
        self._ahead_ms = done.ahead_ms
        for look in done.looks:
            task = asyncio.create_task(self._reconciler.look(look))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)
        return min(max(done.wake_ms / 1000, 0.005), PROMOTE_PAUSE_S)

    async def _announce(self) -> float:
        if not self.announced:
            rights.judge("worker", await run_async(self._redis, rights.check("worker")))
        for start in range(0, len(self._announcements), 500):
            calls = self._announcements[start : start + 500]
            for call, answer in zip(calls, await run_many_async(self._redis, calls), strict=True):
                if is_of_another_type(answer):
                    self._broken.tell([str(call.arguments[0])])
                elif isinstance(answer, RedisError):
                    raise answer
        self.announced = True
        return ANNOUNCE_PAUSE_S

    async def _present(self) -> float:
        await run_async(self._redis, presence.present(self._name, hands=hands(self._concurrency)))
        return presence.SIGN_EVERY_S
