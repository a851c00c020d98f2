"""The demo's last line: nothing that went wrong is counted as harmless."""

from typing import Any

import pytest

from oppsync import Outcome, State
from oppsync_ops.demo.audit import audit

CREATE, UPDATE = "demo-acme-create-000", "demo-acme-update-000"
ROW = {"id": 100, "marker": CREATE, "title": "Deal 0, won"}


def outcome(job_id: str, state: State = State.SUCCEEDED, opportunity_id: int | None = 100) -> Outcome:
    """Of one job."""
    kind = f"opportunities.{job_id.split('-')[2]}"
    return Outcome(job_id=job_id, state=state, instance="acme", kind=kind, opportunity_id=opportunity_id)


def judged(*outcomes: Outcome, rows: list[dict[str, Any]] | None = None) -> tuple[int, int]:
    """How many are lost and how many doubled."""
    found = audit({one.job_id: one for one in outcomes}, {"acme": [ROW] if rows is None else rows})
    return len(found.lost), found.duplicates


def test_a_demo_in_which_all_went_well_has_nothing() -> None:
    """Or nothing below would prove anything."""
    assert judged(outcome(CREATE), outcome(UPDATE)) == (0, 0)


@pytest.mark.parametrize("state", [one for one in State if not one.is_terminal])
def test_a_job_at_no_end_is_lost(state: State) -> None:
    """It was to succeed; wherever it rests, nobody carried it out."""
    assert judged(outcome(CREATE), outcome(UPDATE, state)) == (1, 0)


LOST = {
    "a create without a record": ([outcome(CREATE)], []),
    "a create with somebody else's record": (
        [outcome(CREATE, opportunity_id=101), outcome("demo-acme-create-001", opportunity_id=101)],
        [ROW, {**ROW, "id": 101, "marker": "demo-acme-create-001"}],
    ),
    "a dead create that the CRM has": ([outcome(CREATE, State.DEAD, None)], [ROW]),
    "an update without effect": ([outcome(CREATE), outcome(UPDATE)], [{**ROW, "title": "Deal 0"}]),
    "an update of another record": (
        [outcome("demo-acme-create-001"), outcome(UPDATE)],
        [{**ROW, "marker": "demo-acme-create-001"}],
    ),
}


@pytest.mark.parametrize("planted", LOST)
def test_what_the_crm_shows_otherwise_is_lost(planted: str) -> None:
    """Whatever is told of the job."""
    outcomes, rows = LOST[planted]

    assert judged(*outcomes, rows=rows) == (1, 0)


@pytest.mark.parametrize("marker", [CREATE, None, "nobody", UPDATE])
def test_a_record_too_many_is_a_duplicate(marker: str | None) -> None:
    """Of a create, or of nobody's."""
    assert judged(outcome(CREATE), outcome(UPDATE), rows=[ROW, {**ROW, "id": 101, "marker": marker}]) == (0, 1)
