"""Claims: how a worker takes messages, keeps them, and hands them back.

A claim's tag is fresh for every delivery and serves as its fencing token: what an old owner does under its old tag
changes nothing.
"""

from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.names import MAX_MESSAGE_BYTES
from oppsync_worker.contract.states import Cause
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release as running_release


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message in hand: its tag, the queue it came from, its raw bytes."""

    tag: str
    queue: str
    message: bytes


def claim(queues: list[str], *, most: int, lease_ms: int, worker: str, question: str) -> Call:
    """Take up to `most` messages, from the first queue that has any; the malformed are buried on the spot.

    `question` is unique to the asking process and to this time of asking: the same one asked again, because the answer
    was lost, gives the claims that were made before.
    """
    return Call("claim", (most, lease_ms, worker, question, MAX_MESSAGE_BYTES, running_release(), *queues))


@dataclass(frozen=True, slots=True)
class BuriedUnread:
    """A queue element that is no message: a dead letter now, with its raw bytes."""

    job_id: str
    cause: Cause
    detail: str


def claimed(answer: Any) -> tuple[list[Claimed], list[BuriedUnread]]:
    """Read the answer to `claim`."""
    taken, buried, *_ = answer
    return (
        [Claimed(tag.decode(), queue.decode(), message) for tag, queue, message in taken],
        [BuriedUnread(one.decode(), Cause(cause.decode()), said.decode()) for one, cause, said in buried],
    )


def filed(answer: Any) -> int:
    """How many messages had no slot, and went out of their lane to where they wait for one."""
    return int(answer[2])


def broken(answer: Any, *, usual: int) -> list[str]:
    """Lanes and instances of which a key holds a value of another type: what stands behind a script's `usual` answer.

    Nobody is served there, everybody else is. Somebody has written to the keys by hand.
    """
    return [name.decode() for name in (answer[usual] if len(answer) > usual else [])]


def renew(tags: list[str], *, lease_ms: int) -> Call:
    """Keep claims for another lease; answers with the tags that are no longer ours."""
    return Call("renew", (lease_ms, *tags))


def release(tag: str) -> Call:
    """Hand a claim back unsent, first in line."""
    return Call("release", (tag,))


def restore(*, most: int, crashes: int, ttl_s: int, not_after_ms: int | None = None) -> Call:
    """Take back claims whose lease ran out: (restored, in doubt, ids of those buried as poison).

    A call that reaches Redis after `not_after_ms`, on Redis' clock, does nothing.
    """
    return Call("restore", (most, crashes, ttl_s, running_release(), not_after_ms or ""))
