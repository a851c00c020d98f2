"""What live and ready mean, and what is told of a worker that is not. Decisions over what was read; no I/O.

live    the event loop of a worker of this machine turns: its beat is young. Redis has no part in it.
ready   a live worker could deliver something now: Redis answers, the worker has heard of it lately, it knows an
        instance, has told Redis so, is let claim jobs, and not all of its instances are on hold for a bad credential
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from oppsync_worker.observe.beat import STALE_AFTER_S, Beat

NAMED_MOST: Final = 5
"""Instances named in a line; a line has an end."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answer: `live` and `ready` are None when they were not asked for; `problems` say why one is not."""

    live: bool | None
    ready: bool | None
    workers: Sequence[dict[str, Any]]
    problems: Sequence[str]
    warnings: Sequence[str] = ()
    """What is unsafe, a sentence each: of the workers' settings, and of Redis where readiness was asked for."""

    @property
    def good(self) -> bool:
        """Whether everything that was asked for holds."""
        return self.live is not False and self.ready is not False

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "live": self.live,
            "ready": self.ready,
            "workers": list(self.workers),
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


def living(beats: Sequence[Beat], now: float) -> list[Beat]:
    """Those whose loop turns."""
    return [beat for beat in beats if beat.age_s(now) <= STALE_AFTER_S]


def why_not_live(beats: Sequence[Beat], now: float, *, place: str) -> str | None:
    """What is wrong when no worker is live; None when one is."""
    if living(beats, now):
        return None
    if not beats:
        return f"no worker of this machine has a beat in {place}: start one, or set OPPSYNC_HEALTH_DIR as it has it"
    youngest = min(beats, key=lambda beat: beat.age_s(now))
    ago = min(youngest.age_s(now), 86_400.0)
    return f"worker {youngest.worker} has not beaten for {ago:.0f} s: its event loop stands still; restart it"


def why_not_ready(beat: Beat, now: float, *, refused: Collection[str]) -> str | None:
    """What keeps a live worker from delivering anything; None when nothing does.

    `refused` are the instances on hold for a bad credential.
    """
    name = f"worker {beat.worker}"
    heard_s = now - (beat.started_at if beat.redis_at is None else beat.redis_at)
    if beat.stopping:
        return f"{name} was told to stop, and lets its calls end"
    if not beat.instances:
        return f"{name} knows no instance: set SPRINTHUB_INSTANCE and SPRINTHUB_API_TOKEN, or SPRINTHUB_INSTANCES_FILE"
    if beat.redis_at is None or heard_s > STALE_AFTER_S:
        return f"{name} has not heard of Redis for {heard_s:.0f} s: look at its log for `ledger_unavailable`"
    if not beat.announced:
        return (
            f"{name} has not told Redis of its instances yet; it does so within seconds of hearing of Redis, unless "
            "its Redis user lacks rights: look at its log for `rights_missing`"
        )
    return _why_no_claims(beat, now, name) or _why_all_on_hold(beat, name, refused)


def _why_no_claims(beat: Beat, now: float, name: str) -> str | None:
    if beat.refusal:
        return f"{name} {beat.refusal}"
    claimed_s = now - (beat.started_at if beat.claimed_at is None else beat.claimed_at)
    if not beat.full and (beat.claimed_at is None or claimed_s > STALE_AFTER_S):
        return (
            f"{name} has not been told for {claimed_s:.0f} s which jobs it may begin: it consumes no lane, or its "
            "Redis user lacks rights (`oppsync redis acl worker` prints them); look at its log"
        )
    return None


def _why_all_on_hold(beat: Beat, name: str, refused: Collection[str]) -> str | None:
    on_hold = set(refused) & set(beat.names) if beat.names else set(refused)
    if len(on_hold) >= beat.instances:
        first = ", ".join(sorted(on_hold)[:NAMED_MOST]) + (", ..." if len(on_hold) > NAMED_MOST else "")
        return f"{name}: every instance is on hold for a bad credential ({first}): set a new token, and restart it"
    return None
