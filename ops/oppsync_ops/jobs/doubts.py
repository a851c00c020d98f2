"""Creates in doubt, as they stand in the ledger."""

from dataclasses import dataclass
from typing import Any

from redis import Redis

from oppsync_ops.jobs.entries import read
from oppsync_ops.jobs.moments import iso, moment
from oppsync_ops.jobs.places import walk
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import keys

_FIELDS = ("state", "instance", "ref", "attempts", "cause", "detail")


@dataclass(frozen=True, slots=True)
class Doubt:
    """One create: which attempt of it lost its answer, how, and since when (ms) it is in doubt."""

    job_id: str
    instance: str | None
    external_ref: str | None
    attempt: int
    cause: str | None
    detail: str | None
    since: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "job_id": self.job_id,
            "instance": self.instance,
            "external_ref": self.external_ref,
            "attempt": self.attempt,
            "cause": self.cause,
            "detail": self.detail,
            "since": iso(moment(self.since)),
        }


def read_doubts(client: Redis, *, instance: str | None, most: int) -> list[Doubt]:
    """Up to `most` of them, oldest first; one that is settled while we look is left out."""
    found: list[Doubt] = []
    for page in walk(client, keys.IN_DOUBT):
        entries = read(client, [job_id for job_id, _ in page], _FIELDS)
        for (job_id, since), entry in zip(page, entries, strict=True):
            if entry.get("state") != State.IN_DOUBT or (instance and entry.get("instance") != instance):
                continue
            found.append(
                Doubt(
                    job_id=job_id,
                    instance=entry.get("instance") or None,
                    external_ref=entry.get("ref") or None,
                    attempt=int(entry.get("attempts") or 0),
                    cause=entry.get("cause") or None,
                    detail=entry.get("detail") or None,
                    since=since,
                )
            )
            if len(found) == most:
                return found
    return found
