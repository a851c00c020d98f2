"""How long the jobs of a killed worker are nobody's: from the SIGKILL until somebody has them in hand again.

A job whose create was being sent must not run again; for it, the clock stops when it is in doubt.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import redis

from oppsync_ops.prove.contender import Claim, Contender
from oppsync_ops.prove.stage import Stage

LOOK_EVERY_S: Final = 0.1


@dataclass
class Orphan:
    """A job in the hands of a worker that was killed."""

    claim: Claim
    killed_at: float
    """On the monotonic clock."""
    doubtful: bool
    """A create that was being sent."""
    found_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it was nobody's."""
        return None if self.found_at is None else self.found_at - self.killed_at


@dataclass(frozen=True, slots=True)
class Recovery:
    """The times of all orphans of one kind."""

    jobs: int
    never: int
    median_s: float | None
    most_s: float | None


class Recoveries:
    """Watches orphans until they are found, for as long as the block lasts."""

    def __init__(self, stage: Stage, contender: Contender) -> None:
        self._stage = stage
        self._contender = contender
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="recoveries", daemon=True)
        self.orphans: list[Orphan] = []
        self.redis_down: list[tuple[float, float]] = []
        self.redis_back_s: list[float] = []
        """From each SIGKILL of Redis until a worker claimed again."""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """No longer."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def adopt(self, claims: Sequence[Claim], killed_at: float, client: redis.Redis) -> list[Orphan]:
        """The jobs that a worker had when it was killed."""
        doubtful = self._contender.doubtful(client, claims)
        found = [Orphan(claim, killed_at, doubt) for claim, doubt in zip(claims, doubtful, strict=True)]
        with self._lock:
            self.orphans += found
        return found

    def redis_was_down(self, since: float, until: float) -> None:
        """Redis was away between two times of the monotonic clock."""
        with self._lock:
            self.redis_down.append((since, until))

    def told(self) -> dict[str, Recovery]:
        """The figures, by what happened."""
        with self._lock:
            return told(self.orphans, self.redis_down, now=time.monotonic())

    def _watch(self) -> None:
        with self._stage.redis.client() as client:
            while not self._over.wait(LOOK_EVERY_S):
                with self._lock:
                    lost = [one for one in self.orphans if one.found_at is None]
                if lost:
                    try:
                        self._look(client, lost)
                    except redis.RedisError:
                        continue

    def _look(self, client: redis.Redis, lost: list[Orphan]) -> None:
        claims = self._contender.claims(client)
        held = {(claim.job_id, claim.tag) for claim in claims}
        anew = {claim.job_id for claim in claims}
        # Taken in hand between two looks, it may be anywhere by now but back in its lane.
        moved_on = self._contender.moved_on(client, [orphan.claim.job_id for orphan in lost])
        now = time.monotonic()
        for orphan, elsewhere in zip(lost, moved_on, strict=True):
            given_up = (orphan.claim.job_id, orphan.claim.tag) not in held
            if given_up and (elsewhere or orphan.claim.job_id in anew):
                orphan.found_at = now


def told(orphans: Sequence[Orphan], redis_down: Sequence[tuple[float, float]], *, now: float) -> dict[str, Recovery]:
    """The figures of all orphans, apart for those that Redis could not be asked about meanwhile."""

    def outage(one: Orphan) -> bool:
        until = now if one.found_at is None else one.found_at
        return any(since < until and end > one.killed_at for since, end in redis_down)

    kinds: dict[str, Callable[[Orphan], bool]] = {
        "running again": lambda one: not one.doubtful and not outage(one),
        "running again, Redis away meanwhile": lambda one: not one.doubtful and outage(one),
        "create being sent, in doubt": lambda one: one.doubtful and not outage(one),
        "create being sent, in doubt, Redis away meanwhile": lambda one: one.doubtful and outage(one),
    }
    return {name: _figures([one for one in orphans if kind(one)]) for name, kind in kinds.items()}


def _figures(orphans: Sequence[Orphan]) -> Recovery:
    times = [one.seconds for one in orphans if one.seconds is not None]
    return Recovery(
        jobs=len(orphans),
        never=len(orphans) - len(times),
        median_s=median(times) if times else None,
        most_s=max(times, default=None),
    )
