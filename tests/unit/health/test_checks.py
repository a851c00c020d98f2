"""What live and ready mean."""

from dataclasses import replace
from typing import Any

import pytest

from oppsync_ops.health.checks import Health, living, why_not_live, why_not_ready
from oppsync_worker.observe.beat import Beat

NOW = 1000.0
WELL = Beat(
    pid=7, worker="here:7", release="1", at=NOW - 1, started_at=NOW - 500, turns=9, polled_at=NOW, redis_at=NOW - 1,
    in_hand=0, instances=2, names=("acme", "globex"), announced=True, stopping=False, claimed_at=NOW - 1,
)  # fmt: skip


@pytest.mark.parametrize(("age", "lives"), [(0, True), (19.9, True), (20.1, False), (-5, False)])
def test_a_young_beat_is_life(age: float, *, lives: bool) -> None:
    """Older than twenty seconds, or from before the machine was started, it is none."""
    beats = [replace(WELL, at=NOW - age)]

    assert bool(living(beats, NOW)) is lives
    assert (why_not_live(beats, NOW, place="/x") is None) is lives


def test_without_a_beat_the_folder_is_named() -> None:
    """Whoever looks in the wrong place must be told which place that was."""
    assert "/run/beats" in str(why_not_live([], NOW, place="/run/beats"))


def test_a_worker_that_stands_still_is_named() -> None:
    """With how long."""
    assert "here:7 has not beaten for 60 s" in str(why_not_live([replace(WELL, at=NOW - 60)], NOW, place=""))


@pytest.mark.parametrize(
    ("differs", "refused", "said"),
    [
        ({}, (), None),
        ({}, ("acme",), None),
        ({}, ("acme", "globex"), "every instance is on hold for a bad credential (acme, globex)"),
        ({}, ("acme", "elsewhere"), None),
        ({"names": (), "instances": 5000}, ("acme", "globex"), None),
        ({"names": (), "instances": 2}, ("acme", "globex"), "on hold for a bad credential"),
        ({"stopping": True}, (), "was told to stop"),
        ({"instances": 0, "names": ()}, (), "knows no instance"),
        ({"announced": False}, (), "has not told Redis of its instances"),
        ({"refusal": "may not claim jobs. Redis is read-only"}, (), "here:7 may not claim jobs. Redis is read-only"),
        ({"claimed_at": NOW - 60}, (), "has not been told for 60 s which jobs it may begin"),
        ({"claimed_at": None}, (), "has not been told for 500 s which jobs it may begin"),
        ({"claimed_at": NOW - 60, "full": True}, (), None),
        ({"redis_at": NOW - 60}, (), "has not heard of Redis for 60 s"),
        ({"redis_at": None, "announced": False}, (), "has not heard of Redis for 500 s"),
    ],
)
def test_a_worker_is_ready_when_it_could_deliver_something(
    differs: dict[str, Any], refused: tuple[str, ...], said: str | None
) -> None:
    """And says what keeps it from it."""
    why = why_not_ready(replace(WELL, **differs), NOW, refused=refused)

    assert (why is None) if said is None else (said in str(why))


def test_a_long_list_of_instances_has_an_end() -> None:
    """The first few are enough to begin with."""
    names = tuple(f"i{number}" for number in range(100))

    why = str(why_not_ready(replace(WELL, instances=100, names=names), NOW, refused=names))

    assert "i0, i1, i10, i11, i12, ...)" in why


@pytest.mark.parametrize(
    ("live", "ready", "good"),
    [(True, True, True), (True, None, True), (None, True, True), (False, None, False), (True, False, False)],
)
def test_only_what_was_asked_for_counts(*, live: bool | None, ready: bool | None, good: bool) -> None:
    """None is what nobody asked for."""
    assert Health(live, ready, [], []).good is good


def test_a_beat_as_json_has_no_clock_of_the_machine_in_it() -> None:
    """Moments are told as seconds ago."""
    told = WELL.as_dict(NOW)

    assert (told["beat_seconds_ago"], told["up_seconds"], told["redis_answered_seconds_ago"]) == (1.0, 500.0, 1.0)
    assert "names" not in told
