"""What is a hang, and what only looks like one."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.engine.vigil import Look, Patience, Vigil

PATIENCE = Patience(loop_s=100, consumer_s=110, jobs_s=150, pause_s=20)
EVERY_S = 10.0
STILL: dict[str, Any] = {
    "turns": 7, "polled": 3.0, "moves": 5, "waiting": 4, "room": 2, "in_hand": 1, "stopping": False,
}  # fmt: skip
"""Nothing moves, and everything has a reason to."""


def watched(*looks: dict[str, Any], every_s: float = EVERY_S) -> str | None:
    """What is concluded after looks at equal distances, each given by what differs from `STILL`."""
    seen = [Look(at=1000 + number * every_s, **{**STILL, **look}) for number, look in enumerate(looks)]
    vigil = Vigil.begun(seen[0])
    for look in seen[1:]:
        vigil = vigil.went_on(look, PATIENCE)
        if said := vigil.hang(PATIENCE):
            return said
    return None


def moving(*names: str, **fixed: Any) -> list[dict[str, Any]]:
    """Forty looks in which these move."""
    return [{**fixed, **dict.fromkeys(names, number)} for number in range(40)]


def test_everything_that_moves_is_well() -> None:
    """For as long as it likes."""
    assert watched(*moving("turns", "polled", "moves")) is None


def test_a_loop_that_does_not_turn_is_a_hang_whatever_redis_does() -> None:
    """And however little there is to do."""
    looks = moving("polled", "moves", waiting=None, in_hand=0, room=0)

    assert "the event loop has not turned for 100 s" in str(watched(*looks))


def test_a_consumer_that_does_not_poll_is_a_hang() -> None:
    """When there is work that it could take; the words say how much."""
    said = str(watched(*moving("turns", "moves")))

    assert "consumer has not asked for work for 110 s" in said
    assert "4 messages wait and there is room for 2" in said


def test_one_message_and_room_for_one_are_a_reason() -> None:
    """The last hand counts."""
    assert "1 messages wait and there is room for 1" in str(watched(*moving("turns", "moves", waiting=1, room=1)))


def test_claims_that_do_not_move_are_a_hang() -> None:
    """Later than the others: a call may take its time."""
    assert "1 claims are in hand and nothing has moved for 150 s" in str(watched(*moving("turns", "polled")))


@pytest.mark.parametrize(
    "reason",
    [{"waiting": None}, {"waiting": 0}, {"room": 0}],
    ids=["Redis does not answer or refuses writes", "the lanes are empty", "the hands are full"],
)
def test_a_consumer_without_a_reason_may_rest(reason: dict[str, Any]) -> None:
    """However long."""
    assert watched(*moving("turns", "moves", **reason)) is None


@pytest.mark.parametrize("reason", [{"waiting": None}, {"in_hand": 0}], ids=["Redis does not answer", "no claims"])
def test_jobs_without_a_reason_may_rest(reason: dict[str, Any]) -> None:
    """A line for slots and a hold are in the ledger, not in hand."""
    assert watched(*moving("turns", "polled", **reason)) is None


def test_a_worker_that_is_told_to_stop_never_hangs() -> None:
    """Its supervisor has a grace of its own."""
    assert watched(*[{"stopping": True}] * 40) is None


@pytest.mark.parametrize("reason", [{"waiting": None}, {"room": 0}, {"waiting": 0}], ids=str)
def test_a_reason_must_last_without_a_break(reason: dict[str, Any]) -> None:
    """Once in a while it is missing: the time counts anew from there."""
    looks = moving("turns", "moves")
    for number in (9, 18, 27, 36):
        looks[number].update(reason)

    assert watched(*looks) is None


def test_a_pause_of_the_watchdogs_own_starts_everything_afresh() -> None:
    """After SIGSTOP and SIGCONT nothing has moved for an hour, and nobody was looking."""
    vigil = Vigil.begun(Look(at=0, **STILL))
    for at in (10, 20, 90):
        vigil = vigil.went_on(Look(at=at, **STILL), PATIENCE)

    woken = vigil.went_on(Look(at=4000, **STILL), PATIENCE)

    assert woken.hang(PATIENCE) is None
    soon = woken.went_on(Look(at=4010, **STILL), PATIENCE)
    assert soon.hang(PATIENCE) is None


def test_a_hang_is_found_after_a_pause_too() -> None:
    """It counts from the pause's end."""
    vigil = Vigil.begun(Look(at=0, **STILL)).went_on(Look(at=4000, **STILL), PATIENCE)
    at = 4000
    while vigil.hang(PATIENCE) is None:
        at += 10
        vigil = vigil.went_on(Look(at=at, **STILL), PATIENCE)

    assert at == 4100


LOOKS = st.lists(
    st.fixed_dictionaries(
        {
            "turns": st.integers(0, 2),
            "polled": st.sampled_from([None, 1.0, 2.0]),
            "moves": st.integers(0, 2),
            "waiting": st.sampled_from([None, 0, 3]),
            "room": st.integers(0, 1),
            "in_hand": st.integers(0, 1),
            "stopping": st.booleans(),
        }
    ),
    min_size=2,
    max_size=40,
)


HASTY = Patience(loop_s=15, consumer_s=16, jobs_s=18, pause_s=20)


@given(LOOKS, st.lists(st.floats(0.1, 25), min_size=40, max_size=40))
def test_nobody_is_ended_who_moved_lately(looks: list[dict[str, Any]], pauses: list[float]) -> None:
    """Whatever is seen: a hang has stood still for its whole patience, over looks without a gap."""
    at = 0.0
    seen = []
    for look, pause in zip(looks, pauses, strict=False):
        at += pause
        seen.append(Look(at=at, **look))
    vigil = Vigil.begun(seen[0])

    for number, look in enumerate(seen[1:], start=1):
        vigil = vigil.went_on(look, HASTY)
        said = vigil.hang(HASTY)
        if said is None:
            continue
        lately = [one for one in seen[: number + 1] if one.at >= look.at - HASTY.loop_s]
        # A stop at the very beginning of that time is where it is counted from.
        assert not any(one.stopping for one in lately if one.at > look.at - HASTY.loop_s)
        assert all(later.at - one.at <= HASTY.pause_s for one, later in pairwise(lately))
        if "loop" in said:
            assert len({one.turns for one in lately}) == 1
        elif "consumer" in said:
            assert len({one.polled for one in lately}) == 1
            assert all(one.waiting and one.room for one in lately)
        else:
            assert len({one.moves for one in lately}) == 1
            assert all(one.waiting is not None and one.in_hand for one in lately)
        break
