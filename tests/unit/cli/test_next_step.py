"""What happens next, from facts alone."""

from dataclasses import replace
from typing import Any

import pytest

from oppsync_ops.jobs.facts import Facts
from oppsync_ops.jobs.moments import moment
from oppsync_ops.jobs.next_step import next_step
from oppsync_ops.jobs.telling import happenings
from oppsync_ops.overview.budgets import LiveBudget
from oppsync_ops.overview.holds import Hold
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.contract.states import State

NOW = 1_700_000_000_000


def facts(state: State, *, entry: dict[str, str] | None = None, **more: Any) -> Facts:
    """One look at a create."""
    outcome = Outcome("x", state, kind=Kind.CREATE, instance="acme", external_ref="order-7", attempts=2)
    return Facts(NOW, outcome, entry or {}, (), **more)


def budget(**given: Any) -> LiveBudget:
    """A budget of one request a second."""
    fields = {"requests": 60, "window_ms": 60_000, "concurrency": 2, "next_slot": 0, "cool_until": 0, "learned": None}
    fields |= {"failures": 0, "trips": 0, "open_until": 0}
    return LiveBudget(**{**fields, "waiting": 9, "held": 0, "in_flight": 0, **given})


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_next_step(state: State) -> None:
    """In words, and without an object's name in them."""
    text = next_step(facts(state)).text

    assert len(text) > 10
    assert "None" not in text
    assert "State." not in text


def test_a_reserved_slot_is_a_time() -> None:
    """The one moment that a queued job has."""
    step = next_step(facts(State.QUEUED, entry={"slot_at": str(NOW + 200)}))

    assert step.at == moment(NOW + 200)


def test_a_place_in_the_line_is_an_estimate() -> None:
    """Ten before it, one a second."""
    step = next_step(facts(State.WAITING, ahead=10, budget=budget()))

    assert step.at == moment(NOW + 10_100)
    assert "10 before it; about then" in step.text


def test_a_cool_down_comes_first() -> None:
    """And a lesson of a throttle halves the pace."""
    step = next_step(facts(State.WAITING, ahead=1, budget=budget(cool_until=NOW + 60_000, learned=30)))

    assert step.at == moment(NOW + 60_000 + 2_020)
    assert "after the cool-down" in step.text


def test_without_a_budget_there_is_no_estimate() -> None:
    """No worker has announced one yet."""
    assert next_step(facts(State.WAITING, ahead=3, budget=budget(requests=None, window_ms=None))).at is None


def test_without_a_limit_it_is_at_once() -> None:
    """Zero requests mean no limit."""
    assert next_step(facts(State.WAITING, ahead=3, budget=budget(requests=0))).at == moment(NOW)


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("operator", "somebody put acme on hold"),
        ("credential", "the CRM refused the token of acme"),
        ("unknown_instance", "waits for a worker that has settings"),
        ("releasing", "about to go back"),
    ],
)
def test_a_hold_is_told_by_its_cause(cause: str, said: str) -> None:
    """Each is lifted in another way."""
    assert said in next_step(facts(State.HELD, hold=Hold("acme", cause, NOW, "", 3))).text


def test_waiting_behind_a_hold_is_told() -> None:
    """No estimate would be true."""
    step = next_step(facts(State.WAITING, ahead=3, budget=budget(), hold=Hold("acme", "operator", NOW, "", 3)))

    assert (step.at, "oppsync hold release acme" in step.text) == (None, True)


def test_an_instance_that_does_not_answer_is_told() -> None:
    """With the time of the next try."""
    step = next_step(facts(State.WAITING, ahead=3, budget=budget(trips=1, open_until=NOW + 5_000)))

    assert step.at == moment(NOW + 5_000)
    assert "does not answer" in step.text


@pytest.mark.parametrize(
    ("record", "behind", "state", "said"),
    [
        ("id:5", "job-1", State.SENDING, "an earlier update of its record goes first: job-1 (sending)"),
        ("id:5", None, None, "about to go to the line"),
        ("ref:order-7", "job-1", State.QUEUED, "that is job-1 (queued); the update goes on by itself then"),
        ("ref:order-7", "job-1", State.DEAD, "that is job-1 (dead): see `oppsync job show job-1`"),
        ("ref:order-7", None, None, "none is on its way: enqueue it"),
    ],
)
def test_a_blocked_update_says_behind_whom(record: str, behind: str | None, state: State | None, said: str) -> None:
    """Its create, or an earlier update."""
    step = next_step(facts(State.BLOCKED, entry={"record": record}, behind=behind, behind_state=state))

    assert said in step.text


def test_a_doubt_is_looked_into_or_a_persons() -> None:
    """With the time, or the command."""
    assert next_step(facts(State.IN_DOUBT, next_look=NOW + 1)).at == moment(NOW + 1)
    assert "oppsync doubt show x" in next_step(facts(State.IN_DOUBT)).text


def test_history_is_told_line_by_line() -> None:
    """Attempts, losses and what people did, whatever a line lacks."""
    lines = happenings(
        (
            {"at": "2026-01-02T03:04:05+00:00", "attempt": 1, "status": 503, "ms": 12, "error": "E", "message": "m"},
            {"at": "2026-01-02T03:04:05+00:00", "error": "WorkerLost", "message": "the worker died while sending"},
            {"at": "nonsense", "event": "replayed", "by": "maria"},
            {"event": "discarded"},
            {"at": "2026-01-02T03:04:05Z", "event": "look_up", "list": "lead", "saw": "not there", "rows": 2, "ms": 9},
            {"event": "look_up", "saw": "nobody here knows the instance"},
        )
    )

    assert lines == [
        "2026-01-02 03:04:05  attempt 1, HTTP 503, 12 ms, E, m",
        "2026-01-02 03:04:05  worker lost, WorkerLost, the worker died while sending",
        "an unknown time  replayed by maria",
        "an unknown time  discarded by somebody",
        "2026-01-02 03:04:05  looked in the lead's list: not there, 2 records, 9 ms",
        "an unknown time  looked for it: nobody here knows the instance",
    ]


def test_a_refused_job_says_what_lets_it_go() -> None:
    """Whose fault it is, the ledger finds out; who looks earlier is told both."""
    refused = facts(State.SCHEDULED)
    refused = replace(refused, outcome=replace(refused.outcome, cause="credential"))

    assert "lacks a right that this job needs, or the token of acme is bad" in next_step(refused).text
    assert next_step(facts(State.SCHEDULED)).text == "goes back to its lane when it is due"


def test_a_cool_down_says_how_to_end_it() -> None:
    """A person may know better than the answer that asked for it."""
    step = next_step(facts(State.WAITING, ahead=1, budget=budget(cool_until=NOW + 60_000)))

    assert "`oppsync budget resume acme` ends it" in step.text
