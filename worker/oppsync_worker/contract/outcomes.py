"""What a producer is told of its job."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from oppsync_worker.contract.states import State


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a job is, why, and what is known of it. Never holds a person's data: ids, numbers, times and reasons only.

    `attempts` counts requests that spent one; `opportunity_id` is SprintHub's; `cause` is a `Cause` or a word such as
    `credential`; `detail` is one redacted line; `due` is when a scheduled job is tried again.
    """

    job_id: str
    state: State
    kind: str | None = None
    instance: str | None = None
    lane: str | None = None
    external_ref: str | None = None
    opportunity_id: int | None = None
    attempts: int = 0
    replays: int = 0
    cause: str | None = None
    detail: str | None = None
    points_to: str | None = None
    enqueued_at: datetime | None = None
    since: datetime | None = None
    due: datetime | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    """The whitelisted fields of the CRM's answer, once succeeded."""

    @classmethod
    def from_ledger(
        cls, job_id: str, entry: Mapping[str, str | None], *, due_ms: float | None = None, result: str | None = None
    ) -> Self:
        """Read a ledger entry and the job's Celery result; an empty entry is an unknown job."""
        state = entry.get("state")
        if not state:
            return cls(job_id, State.UNKNOWN)
        outcome = json.loads(result)["result"] if result and state == State.SUCCEEDED else {}
        opportunity_id = entry.get("opportunity_id")
        return cls(
            job_id=job_id,
            state=State(state),
            kind=entry.get("kind") or None,
            instance=entry.get("instance") or None,
            lane=entry.get("lane") or None,
            external_ref=entry.get("ref") or None,
            opportunity_id=int(opportunity_id) if opportunity_id else None,
            attempts=int(entry.get("attempts") or 0),
            replays=int(entry.get("replays") or 0),
            cause=entry.get("cause") or None,
            detail=entry.get("detail") or None,
            points_to=entry.get("points_to") or None,
            enqueued_at=_moment(entry.get("at")),
            since=_moment(entry.get("since") or entry.get("at")),
            due=_moment(due_ms),
            record=outcome.get("record", {}),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, nothing left out but what is not known."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in known.items()
            if value is not None and value != {}
        }


def success(
    *,
    job_id: str,
    kind: str,
    instance: str,
    opportunity_id: int,
    attempts: int,
    replays: int,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """The outcome of a job that succeeded, as `AsyncResult.get()` gives it; `record` is the whitelisted part of it."""
    return {
        "state": State.SUCCEEDED.value,
        "job_id": job_id,
        "kind": kind,
        "instance": instance,
        "opportunity_id": opportunity_id,
        "attempts": attempts,
        "replays": replays,
        "record": dict(record),
    }


OUTCOME_FIELDS = (
    "state",
    "kind",
    "instance",
    "lane",
    "ref",
    "opportunity_id",
    "attempts",
    "replays",
    "cause",
    "detail",
    "points_to",
    "at",
    "since",
)
"""The fields of a ledger entry that an outcome is read from; the message is not among them."""


def _moment(milliseconds: str | float | None) -> datetime | None:
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC) if milliseconds else None
