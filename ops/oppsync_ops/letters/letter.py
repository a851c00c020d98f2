"""A dead letter as a value: everything but its message."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from redis import Redis

from oppsync_ops.jobs.entries import Entry, read
from oppsync_ops.jobs.moments import iso, moment
from oppsync_worker.contract.states import State

_FIELDS: Final = (
    "state",
    "kind",
    "instance",
    "lane",
    "ref",
    "attempts",
    "replays",
    "cause",
    "detail",
    "version",
    "queue",
    "at",
    "since",
)
RAW_PREFIX: Final = "raw-"


@dataclass(frozen=True, slots=True)
class Letter:
    """A job that was buried, or raw bytes that never were one (`is_raw`). Times are Redis' milliseconds."""

    job_id: str
    kind: str | None
    instance: str | None
    lane: str | None
    external_ref: str | None
    cause: str
    detail: str
    version: str | None
    queue: str | None
    attempts: int
    replays: int
    enqueued_at: int | None
    buried_at: int | None

    @classmethod
    def from_entry(cls, job_id: str, entry: Entry) -> Self | None:
        """Read a ledger entry; None when the job is not dead (any more)."""
        if entry.get("state") != State.DEAD:
            return None
        return cls(
            job_id=job_id,
            kind=entry.get("kind") or None,
            instance=entry.get("instance") or None,
            lane=entry.get("lane") or None,
            external_ref=entry.get("ref") or None,
            cause=entry.get("cause", ""),
            detail=entry.get("detail", ""),
            version=entry.get("version") or None,
            queue=entry.get("queue") or None,
            attempts=int(entry.get("attempts") or 0),
            replays=int(entry.get("replays") or 0),
            enqueued_at=int(entry["at"]) if entry.get("at") else None,
            buried_at=int(entry["since"]) if entry.get("since") else None,
        )

    @property
    def is_raw(self) -> bool:
        """Whether it is raw bytes from a queue, which nobody could read as a message."""
        return self.job_id.startswith(RAW_PREFIX)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; never the message."""
        return {
            "job_id": self.job_id,
            "kind": self.kind,
            "instance": self.instance,
            "lane": self.lane,
            "external_ref": self.external_ref,
            "cause": self.cause,
            "detail": self.detail,
            "version": self.version,
            "queue": self.queue,
            "attempts": self.attempts,
            "replays": self.replays,
            "enqueued_at": iso(moment(self.enqueued_at)),
            "buried_at": iso(moment(self.buried_at)),
        }


def read_letters(client: Redis, job_ids: Iterable[str]) -> list[Letter]:
    """Those of the jobs that are dead at this moment, in order."""
    wanted = list(job_ids)
    entries = read(client, wanted, _FIELDS)
    found = (Letter.from_entry(job_id, entry) for job_id, entry in zip(wanted, entries, strict=True))
    return [letter for letter in found if letter]
