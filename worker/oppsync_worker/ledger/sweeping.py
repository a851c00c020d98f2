"""Looking for entries in no place and places without an entry (`lua/sweep.lua`, `lua/ghosts.lua`).

Every script moves a job whole, so there should be none. What finds some is a purged queue, a key removed by hand, a
Redis that came back from an old copy, or a bug of ours; whichever it is, the figure is shown and must stay 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from oppsync_worker.contract.names import Lane
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release

PLACES: Final[Mapping[str, str]] = {
    "scheduled": keys.SCHEDULE,
    "blocked": keys.BLOCKED,
    "in_doubt": keys.IN_DOUBT,
    "dead": keys.DEAD,
}
"""Places that all instances share, by the state of who stands in them."""

PRIORITIES: Final = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""Where a stock producer's `priority=` puts a message: the queue's name and one of these (kombu: `priority_steps`)."""

Mended = list[tuple[str, str]]
"""What was put right: whose, and the word for what was wrong."""


def lists() -> list[str]:
    """Every list that a message can lie in."""
    return [lane.queue + step for lane in Lane for step in PRIORITIES]


def turn(worker: str, *, every_ms: int) -> Call:
    """Is it this worker's turn? At most one's in `every_ms`; answers 1 or 0."""
    return Call("turn", (worker, every_ms))


def sweep(job_ids: Sequence[str], *, ttl_s: int, patience_ms: int) -> Call:
    """Hold entries against their places; jobs that have been queued for less than `patience_ms` are not suspected."""
    return Call("sweep", (ttl_s, release(), patience_ms, *job_ids))


def swept(answer: Any) -> tuple[dict[str, str], Mended]:
    """Jobs of which the message must be looked for, each with the time since when it is queued; what was put right."""
    suspects, mended = answer
    return dict(_pairs(suspects)), _pairs(mended)


def ghosts(state: str, place: str, members: Sequence[str]) -> Call:
    """Hold the members of a place against their entries; with `claim` for the state, claims against their leases."""
    return Call("ghosts", (state, place, *members))


def laid(answer: Any) -> Mended:
    """Read the answer to `ghosts`."""
    return _pairs(answer)


def lane(name: str, *, first: int, count: int) -> Call:
    """Whose messages lie in a stretch of a list, from its left end on."""
    return Call("lane", (name, first, first + count - 1))


def lose(job_id: str, *, since: str) -> Call:
    """Give a job up of which the message is nowhere; answers 1 if it was still queued since then."""
    return Call("lose", (job_id, since, release()))


def _pairs(flat: list[bytes]) -> Mended:
    texts = [part.decode("utf-8", "replace") for part in flat]
    return list(zip(texts[::2], texts[1::2], strict=True))
