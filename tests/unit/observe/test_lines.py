"""The wide line and its vocabulary."""

import pytest

from oppsync_worker.observe.lines import EVENTS, LOUD, AttemptLine


def line(**given: object) -> AttemptLine:
    """A line of which only `given` matters."""
    known = {"job_id": "j1", "instance": "acme", "kind": None, "lane": None, "verdict": "retry", "state": "scheduled"}
    return AttemptLine(**{**known, **given})  # type: ignore[arg-type]


def test_every_line_has_the_same_fields() -> None:
    """What is not known is there as None, so that a search needs no guessing."""
    full = line(attempt=3, status=500, error="Unavailable", duration_ms=12, delay_ms=4000)

    fields = full.as_fields()

    assert list(fields) == list(line().as_fields())
    assert list(fields) == [
        *("event", "job_id", "instance", "kind", "lane", "verdict", "state", "attempt", "replays", "cause", "status"),
        *("error", "message", "duration_ms", "slot_wait_ms", "age_ms", "delay_ms", "opportunity_id"),
    ]


def test_an_unregistered_event_is_refused() -> None:
    """The vocabulary is added to first."""
    with pytest.raises(ValueError, match=r"'attemped' is not registered in EVENTS"):
        line(event="attemped")


def test_every_event_has_a_meaning_and_a_plain_name() -> None:
    """Operators read the list; a loud event is an event."""
    assert all(name.isidentifier() and name.islower() and meaning.endswith(".") for name, meaning in EVENTS.items())
    assert set(EVENTS) >= LOUD
