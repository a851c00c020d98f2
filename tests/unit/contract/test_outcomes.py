"""What a producer is told of its job, field by field."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from oppsync_worker.contract.outcomes import OUTCOME_FIELDS, Outcome, success
from oppsync_worker.contract.states import State

ENTRY: dict[str, str | None] = {
    "state": "succeeded",
    "kind": "opportunities.create",
    "instance": "acme",
    "lane": "bulk",
    "ref": "order-1",
    "opportunity_id": "4534",
    "attempts": "3",
    "replays": "2",
    "cause": "throttled",
    "detail": "words",
    "points_to": "j0",
    "at": "1700000000250",
    "since": "1700000060500",
}
RESULT = json.dumps({"status": "SUCCESS", "result": {"record": {"id": 4534}}})

WHOLE = Outcome(
    job_id="j1",
    state=State.SUCCEEDED,
    kind="opportunities.create",
    instance="acme",
    lane="bulk",
    external_ref="order-1",
    opportunity_id=4534,
    attempts=3,
    replays=2,
    cause="throttled",
    detail="words",
    points_to="j0",
    enqueued_at=datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC),
    since=datetime(2023, 11, 14, 22, 14, 20, 500_000, tzinfo=UTC),
    due=datetime(2023, 11, 14, 22, 15, 20, 750_000, tzinfo=UTC),
    record={"id": 4534},
)


def test_an_entry_is_read_field_by_field() -> None:
    """Times are milliseconds since 1970."""
    assert Outcome.from_ledger("j1", ENTRY, due_ms=1700000120750.0, result=RESULT) == WHOLE


def test_the_ledger_is_asked_for_every_field_that_is_read() -> None:
    """And for no message."""
    assert set(OUTCOME_FIELDS) == set(ENTRY)
    assert len(OUTCOME_FIELDS) == len(ENTRY)


@pytest.mark.parametrize("empty", ["", None])
def test_what_an_entry_does_not_hold_is_not_known(empty: str | None) -> None:
    """Redis gives nothing, or an empty text."""
    entry = dict.fromkeys(ENTRY, empty) | {"state": "queued"}

    assert Outcome.from_ledger("j1", entry) == Outcome("j1", State.QUEUED)
    assert Outcome.from_ledger("j1", {"state": "queued"}) == Outcome("j1", State.QUEUED)


@pytest.mark.parametrize("entry", [{}, {"state": None}, {"state": "", "kind": "opportunities.create"}])
def test_an_empty_entry_is_an_unknown_job(entry: dict[str, str | None]) -> None:
    """Whatever else there is."""
    assert Outcome.from_ledger("j1", entry, due_ms=5.0, result=RESULT) == Outcome("j1", State.UNKNOWN)


def test_a_job_is_in_its_state_since_it_was_enqueued_if_nothing_else_is_said() -> None:
    """It never left it."""
    outcome = Outcome.from_ledger("j1", {"state": "queued", "at": "1700000000250"})

    assert outcome.since == outcome.enqueued_at == WHOLE.enqueued_at


def test_only_a_success_has_a_record() -> None:
    """The result of a dead job is an error, of another shape."""
    dead = Outcome.from_ledger("j1", {"state": "dead"}, result=json.dumps({"result": {"record": {"id": 1}}}))

    assert dead.record == {}
    assert Outcome.from_ledger("j1", {"state": "succeeded"}, result='{"result": {}}').record == {}
    assert Outcome.from_ledger("j1", {"state": "succeeded"}).record == {}


def test_an_outcome_is_plain_json_without_what_is_not_known() -> None:
    """Times in ISO 8601; a figure that is 0 is known."""
    assert WHOLE.as_dict() == {
        "job_id": "j1",
        "state": "succeeded",
        "kind": "opportunities.create",
        "instance": "acme",
        "lane": "bulk",
        "external_ref": "order-1",
        "opportunity_id": 4534,
        "attempts": 3,
        "replays": 2,
        "cause": "throttled",
        "detail": "words",
        "points_to": "j0",
        "enqueued_at": "2023-11-14T22:13:20.250000+00:00",
        "since": "2023-11-14T22:14:20.500000+00:00",
        "due": "2023-11-14T22:15:20.750000+00:00",
        "record": {"id": 4534},
    }
    assert Outcome("j1", State.QUEUED).as_dict() == {"job_id": "j1", "state": "queued", "attempts": 0, "replays": 0}


def test_a_success_is_told_to_celery_with_these_names() -> None:
    """As `AsyncResult.get()` gives it in an application that knows none of our classes."""
    given: dict[str, Any] = {"job_id": "j1", "kind": "opportunities.create", "instance": "acme"}

    told = success(**given, opportunity_id=4534, attempts=3, replays=2, record={"id": 4534})

    assert told == {
        **given,
        "state": "succeeded",
        "opportunity_id": 4534,
        "attempts": 3,
        "replays": 2,
        "record": {"id": 4534},
    }
