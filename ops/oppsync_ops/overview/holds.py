"""Instances on hold, and instances whose jobs are held for want of a worker that knows them."""

from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

from oppsync_ops.jobs.entries import text
from oppsync_ops.jobs.moments import iso, moment
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.operating import held_instances

NO_WORKER: Final = "unknown_instance"
"""Jobs are held although there is no hold: no worker that looked at them has settings for their instance."""

RELEASING: Final = "releasing"
"""There is no hold any more, and workers are moving its jobs back to their lanes."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an instance's jobs are kept, since when (ms), and how many there are."""

    instance: str
    cause: str
    since: int | None
    note: str
    held: int

    @property
    def is_set(self) -> bool:
        """Whether there is a hold that can be released."""
        return self.cause not in (NO_WORKER, RELEASING)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "instance": self.instance,
            "cause": self.cause,
            "since": iso(moment(self.since)),
            "note": self.note or None,
            "held": self.held,
        }


def read_hold(client: Redis, instance: str) -> Hold | None:
    """The hold of one instance; None when it has none and no job of it is held."""
    pipe: Any = client.pipeline(transaction=False)
    pipe.hmget(keys.hold(instance), ["cause", "since", "note"])
    pipe.zcard(keys.held(instance))
    pipe.sismember(keys.RELEASING, instance)
    (cause, since, note), held, releasing = pipe.execute()
    if cause is None and not held:
        return None
    if cause is None and releasing:
        return Hold(instance, RELEASING, None, "was released, its jobs are on their way", held)
    if cause is None:
        return Hold(instance, NO_WORKER, None, "no worker has settings for it", held)
    return Hold(instance, text(cause), int(since) if since else None, text(note or b""), held)


def read_holds(client: Redis) -> list[Hold]:
    """All of them, by name."""
    names = sorted({*held_instances(client), *_instances_with_held_jobs(client)})
    return [hold for name in names if (hold := read_hold(client, name))]


def refused_instances(client: Redis) -> set[str]:
    """Instances on hold because their credential was refused."""
    names = held_instances(client)
    pipe: Any = client.pipeline(transaction=False)
    for name in names:
        pipe.hget(keys.hold(name), "cause")
    return {name for name, cause in zip(names, pipe.execute(), strict=True) if cause == b"credential"}


def _instances_with_held_jobs(client: Redis) -> list[str]:
    return [text(name) for name in client.smembers(keys.HOLDING)]
