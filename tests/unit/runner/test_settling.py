"""From a verdict to a script, and from the ledger's answer to what the rim is told."""

from typing import Any

import pytest

from oppsync_worker.contract.states import Cause, State
from oppsync_worker.errors import CredentialRefused, Seen
from oppsync_worker.instances import InstanceSettings, RetrySettings
from oppsync_worker.ledger import ends
from oppsync_worker.policy.verdicts import HoldInstance
from oppsync_worker.reporting import JobReporter
from oppsync_worker.runner.ends import Dead, Parked
from oppsync_worker.runner.reports import Report
from oppsync_worker.runner.settling import REFUSED, end_of, fulfil

ATTEMPT = ends.Attempt(at="", number=1, duration_ms=1, status=403, error="CredentialRefused", message="no right")


def test_a_refusal_carries_the_instances_bounds_in_milliseconds() -> None:
    """And what was said, with its status, for whoever finds the hold or the letter."""
    acme = InstanceSettings(name="acme", token="t", retry=RetrySettings(max_refusals=7, max_delay_seconds=1.5))

    call = fulfil(HoldInstance(), ends.Hand("1", "j", 60), acme, ATTEMPT, ends.NOTHING)

    given = dict(zip(call.arguments[4::2], call.arguments[5::2], strict=True))
    assert (given["most_alone"], given["most_delay_ms"], given["own_pause_ms"], given["cool_ms"]) == (
        7,
        1500,
        10_000,
        5_000,
    )
    assert given["detail"] == given["hold_note"] == "HTTP 403: no right"


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (State.SCHEDULED, Parked(State.SCHEDULED)),
        (State.HELD, Parked(State.HELD)),
        (State.DEAD, Dead(Cause.REFUSED, REFUSED)),
        (None, Parked(State.UNKNOWN)),
    ],
)
def test_what_the_ledger_made_of_a_refusal_is_told(state: State | None, end: Dead | Parked) -> None:
    """Only it knows whether the job or its credential is to blame."""
    assert end_of(HoldInstance(), state) == end


@pytest.mark.parametrize(("state", "buried"), [(State.SCHEDULED, 0), (State.HELD, 0), (State.DEAD, 1)])
def test_a_job_that_dies_as_refused_is_reported_once(state: State, buried: int) -> None:
    """As every dead letter is."""
    told: list[Any] = []

    class Observer:
        def attempt(self, line: Any) -> None:
            """The attempt itself."""

        def buried(self, line: Any, *, detail: str) -> None:
            told.append((line.cause, line.verdict, detail))

    reporter = JobReporter(Observer())  # type: ignore[arg-type]
    error = CredentialRefused(Seen(403, "no right"))

    reporter.failed(Report("j", "opportunities.create", "acme", "bulk"), error, HoldInstance(), state)

    assert told == [("refused", "bury", f"HTTP 403: no right: {REFUSED}")] * buried
