"""Creates in doubt, as they stand in the ledger: how they came to be, and what has been found out since."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from oppsync_ops.jobs.entries import Entry, read
from oppsync_ops.jobs.moments import iso, moment
from oppsync_ops.jobs.places import walk
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import keys

_FIELDS = (
    "state",
    "instance",
    "ref",
    "attempts",
    "replays",
    "cause",
    "detail",
    "since",
    "sent_at",
    "doubt",
    "sightings",
    "absent",
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One create: which attempt lost its answer, how, and what is done about it. Times are Redis' milliseconds."""

    job_id: str
    instance: str | None
    external_ref: str | None
    attempt: int
    replays: int
    cause: str | None
    detail: str | None
    since: int
    sent_at: int | None
    next_look: int | None
    """When workers look for its record next; None when somebody must decide."""
    sightings: tuple[Mapping[str, Any], ...] = ()
    """Records of the CRM that may be it: ids, amounts, times, and what agrees with the job."""
    absences: int = 0
    """How often it was proved absent before, and sent again."""

    @property
    def is_a_persons(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.next_look is None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "job_id": self.job_id,
            "instance": self.instance,
            "external_ref": self.external_ref,
            "attempt": self.attempt,
            "replays": self.replays,
            "cause": self.cause,
            "detail": self.detail,
            "since": iso(moment(self.since)),
            "sent_at": iso(moment(self.sent_at)),
            "needs_a_person": self.is_a_persons,
            "next_look": iso(moment(self.next_look)),
            "absences": self.absences,
            "sightings": list(self.sightings),
        }


def read_doubts(client: Redis, *, instance: str | None, most: int, persons_only: bool = False) -> list[Doubt]:
    """Up to `most` of them, oldest first; one that is settled while we look is left out."""
    found: list[Doubt] = []
    for page in walk(client, keys.IN_DOUBT):
        for doubt in read_named(client, [job_id for job_id, _ in page]):
            if (instance and doubt.instance != instance) or (persons_only and not doubt.is_a_persons):
                continue
            found.append(doubt)
            if len(found) == most:
                return found
    return found


def read_named(client: Redis, job_ids: Sequence[str]) -> list[Doubt]:
    """Those of the named jobs that are in doubt, in order."""
    looks = _next_looks(client, job_ids)
    entries = read(client, job_ids, _FIELDS)
    return [
        _doubt(job_id, entry, looks[job_id])
        for job_id, entry in zip(job_ids, entries, strict=True)
        if entry.get("state") == State.IN_DOUBT
    ]


def _next_looks(client: Redis, job_ids: Iterable[str]) -> dict[str, int | None]:
    ids = list(dict.fromkeys(job_ids))
    scores: Any = client.zmscore(keys.PROBES, ids) if ids else []
    return {job_id: None if score is None else int(score) for job_id, score in zip(ids, scores, strict=True)}


def _doubt(job_id: str, entry: Entry, next_look: int | None) -> Doubt:
    sent_at = entry.get("sent_at")
    return Doubt(
        job_id=job_id,
        instance=entry.get("instance") or None,
        external_ref=entry.get("ref") or None,
        attempt=int(entry.get("attempts") or 0),
        replays=int(entry.get("replays") or 0),
        cause=entry.get("cause") or None,
        detail=entry.get("detail") or None,
        since=int(entry.get("since") or 0),
        sent_at=int(sent_at) if sent_at else None,
        next_look=None if entry.get("doubt") == "person" else next_look,
        sightings=_sightings(entry.get("sightings")),
        absences=int(entry.get("absent") or 0),
    )


def _sightings(text: str | None) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()
