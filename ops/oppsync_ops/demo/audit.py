"""Holding the CRM's records against the jobs: the only verdict that counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oppsync import Outcome, State


@dataclass(frozen=True, slots=True)
class Audit:
    """What the CRM has, against what it should have."""

    records: int
    duplicates: int
    lost: list[str] = field(default_factory=list)
    """Jobs at no end, or whose end is not what the CRM shows."""


def audit(outcomes: Mapping[str, Outcome], records: Mapping[str, list[dict[str, Any]]]) -> Audit:
    """Compare outcomes (job id -> outcome) with the simulator's records (instance -> records).

    A succeeded create has one record, and its marker is the job's id. A dead one has none. A succeeded update shows in
    the record of its create. A record that no create of these asked for counts as a duplicate, and a job at no end as
    lost.
    """
    creates = {job_id for job_id, outcome in outcomes.items() if outcome.kind == "opportunities.create"}
    markers = Counter(record["marker"] for rows in records.values() for record in rows)
    by_id = {(instance, record["id"]): record for instance, rows in records.items() for record in rows}
    lost = []
    for job_id, outcome in outcomes.items():
        made = markers.get(job_id, 0)
        if not outcome.state.is_terminal:
            lost.append(f"{job_id}: {outcome.state}")
        elif outcome.state != State.SUCCEEDED and made:
            lost.append(f"{job_id}: {outcome.state}, but a record bears its marker")
        elif outcome.state == State.SUCCEEDED:
            record = by_id.get((outcome.instance or "", outcome.opportunity_id or 0))
            if record is None:
                lost.append(f"{job_id}: succeeded, but the CRM has no record {outcome.opportunity_id}")
            elif outcome.kind == "opportunities.create" and made == 0:
                lost.append(f"{job_id}: succeeded, but no record bears its marker")
            elif outcome.kind == "opportunities.create" and record["marker"] != job_id:
                lost.append(f"{job_id}: succeeded as record {outcome.opportunity_id}, which is not the one it made")
            elif outcome.kind == "opportunities.update" and not _shows(record, job_id):
                lost.append(f"{job_id}: succeeded, but the record does not show it")
    duplicates = sum(count - (marker in creates) for marker, count in markers.items())
    return Audit(records=sum(len(rows) for rows in records.values()), duplicates=duplicates, lost=lost)


def _shows(record: Mapping[str, Any], update: str) -> bool:
    """Whether the record of this update's create is won."""
    of_its_create = record["marker"] == update.replace("-update-", "-create-")
    return of_its_create and str(record["title"]).endswith(", won")
