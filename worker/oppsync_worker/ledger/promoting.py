"""What time alone decides (`lua/promote.lua`): due jobs, deadlines, slots, and doubts that want to be looked into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oppsync_worker.ledger import claims
from oppsync_worker.ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Look:
    """A look-up that this worker has taken on: one request, at its slot, for a create in doubt.

    `token` is its fencing token. Times are milliseconds: until the slot, since the create was last and first sent.
    """

    job_id: str
    token: str
    slot_ms: int
    message: bytes
    sent_ms_ago: int
    first_sent_ms_ago: int
    attempts: int
    replays: int
    inquiry: str
    """What is known so far, as `policy.inquiry` wrote it."""
    instance: str
    markers: Mapping[str, str]
    """Funnel -> `lands` or `lost`: what SprintHub has been seen to do with the marker."""
    marker_field: str | None = None
    """The field that the create bore its marker in when it was sent last, empty for none; None when nobody knows."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """How many jobs went on because they were due, had a slot or were released; when to come back; what to look up."""

    due: int
    granted: int
    released: int
    wake_ms: int
    looks: tuple[Look, ...]
    clock_ms: int = 0
    """What Redis' clock shows."""
    ahead_ms: int = 0
    """By how much it has jumped forward, as far as deadlines are judged without that."""
    broken: tuple[str, ...] = ()
    """Instances of which a key holds a value of another type."""


def promote(
    *, most: int, horizon_ms: int, ttl_s: int, takes: int, look_ms: int, seen: "tuple[int, int] | None" = None
) -> Call:
    """Move up to `most` of each on.

    Args:
        most: bound of each kind of work, so that Redis is not held up.
        horizon_ms: how far ahead a slot may be handed out.
        ttl_s: how long the outcome of a job whose deadline passed is kept.
        takes: look-ups that this worker can take on now.
        look_ms: after this, a look-up of which nothing was heard is somebody else's.
        seen: what Redis' clock showed when this process looked last, and how many ms ago, by a steady clock of its own,
            it asked for that.
    """
    return Call("promote", (most, horizon_ms, ttl_s, takes, look_ms, *(seen or ("", 0))))


def promoted(answer: Any) -> Promoted:
    """Read the answer to `promote`."""
    due, granted, released, wake_ms, looks, clock_ms, ahead_ms, *_ = answer
    taken = tuple(_look(*one) for one in looks)
    broken = tuple(claims.broken(answer, usual=7))
    return Promoted(int(due), int(granted), int(released), int(wake_ms), taken, int(clock_ms), int(ahead_ms), broken)


def _look(*given: Any) -> Look:
    job_id, token, slot_ms, message, sent, first, attempts, replays, inquiry, instance, markers, *field = given
    texts = [text.decode() for text in markers]
    return Look(
        job_id=job_id.decode(),
        token=token.decode(),
        slot_ms=int(slot_ms),
        message=message,
        sent_ms_ago=int(sent),
        first_sent_ms_ago=int(first),
        attempts=int(attempts),
        replays=int(replays),
        inquiry=inquiry.decode(),
        instance=instance.decode(),
        markers=dict(zip(texts[::2], texts[1::2], strict=True)),
        marker_field=field[0].decode() if field else None,
    )
