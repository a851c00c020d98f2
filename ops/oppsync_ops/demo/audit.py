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
    """Jobs in no state, or succeeded without their effect in the CRM."""


def audit(outcomes: Mapping[str, Outcome], records: Mapping[str, list[dict[str, Any]]]) -> Audit:
    """Compare outcomes (job id -> outcome) with the simulator's records (instance -> records).

    A succeeded create has one record, and its marker is the job's id. A dead one has none. One in doubt has none or
    one. A succeeded update shows in the record that it names.
    """
    markers = Counter(record["marker"] for rows in records.values() for record in rows)
    by_id = {(instance, record["id"]): record for instance, rows in records.items() for record in rows}
    lost = []
    for job_id, outcome in outcomes.items():
        made = markers.get(job_id, 0)
        if outcome.state == State.UNKNOWN:
            lost.append(f"{job_id}: unknown")
        elif outcome.state == State.SUCCEEDED:
            record = by_id.get((outcome.instance or "", outcome.opportunity_id or 0))
            if record is None:
                lost.append(f"{job_id}: succeeded, but the CRM has no record {outcome.opportunity_id}")
            elif outcome.kind == "opportunities.create" and made == 0:
                lost.append(f"{job_id}: succeeded, but no record bears its marker")
            elif outcome.kind == "opportunities.update" and not record["title"].endswith(", won"):
                lost.append(f"{job_id}: succeeded, but the record does not show it")
    duplicates = sum(max(0, count - 1) for marker, count in markers.items() if marker)
    return Audit(records=sum(len(rows) for rows in records.values()), duplicates=duplicates, lost=lost)
