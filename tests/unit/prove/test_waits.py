"""What quiet jobs waited, and when that was too long."""

from dataclasses import replace
from typing import Any

import pytest

from oppsync_ops.prove.waits import (
    LEAST,
    NO_WAITING,
    Beat,
    Outage,
    Phase,
    Wait,
    Waiting,
    figures,
    held_up,
    too_long,
    with_lost_trials,
)

IDLE_S = 0.4


def waits(phase: Phase, seconds: float | None, *, began: float = 0.0, lane: str = "bulk") -> tuple[Wait, ...]:
    """Enough of them to tell."""
    return tuple(Wait(f"{phase.name}-{n}", phase, lane, began + n, seconds) for n in range(2 * LEAST))


CALM = waits(Phase.CALM, IDLE_S)
WELL = (*CALM, *waits(Phase.BESIDE, IDLE_S, began=50.0))


def beside(seconds: float | None, **changed: object) -> Waiting:
    """A calm, and then jobs beside neighbours that took so long."""
    whole = Waiting((*CALM, *waits(Phase.BESIDE, seconds, began=100.0)), explained_s=20.0)
    return replace(whole, **changed)  # type: ignore[arg-type]


def test_as_fast_as_when_idle_is_nobody_s_wait() -> None:
    """And a tenth more is allowed."""
    assert list(too_long(beside(IDLE_S))) == []
    assert list(too_long(beside(IDLE_S * 1.1))) == []


def test_a_backlog_in_front_is_a_wait() -> None:
    """The lane is named, and how long it took."""
    ((whom, says),) = too_long(beside(5.0))

    assert whom == "the bulk lane"
    assert "5.00 s" in says
    assert "0.69 s are allowed" in says


def test_each_lane_is_judged_by_its_own_calm() -> None:
    """A quick lane does not make up for a slow one."""
    both = Waiting(
        (
            *CALM,
            *waits(Phase.CALM, 0.1, lane="interactive"),
            *waits(Phase.BESIDE, IDLE_S, lane="bulk"),
            *waits(Phase.BESIDE, 0.6, lane="interactive"),
        )
    )

    assert [whom for whom, _ in too_long(both)] == ["the interactive lane"]


def test_what_a_busy_machine_costs_everybody_is_allowed() -> None:
    """Measured past the product, in calm and later."""
    calm, slow = (tuple(Beat(phase, s) for _ in range(9)) for phase, s in ((Phase.CALM, 0.001), (Phase.BESIDE, 0.2)))

    assert list(too_long(beside(1.5, beats=(*calm, *slow)))) == []
    assert list(too_long(beside(1.5, beats=calm))) != []


def test_an_outage_of_the_crm_excuses_nothing_under_fire() -> None:
    """It is one of the faults: of the machine the usual counts."""
    once = (*(Beat(Phase.FIRE, 0.001) for _ in range(9)), Beat(Phase.FIRE, 3.0))
    waiting = Waiting((*WELL, *waits(Phase.FIRE, 1.5, began=100.0)), beats=once)

    assert list(too_long(waiting)) != []


def test_a_job_that_was_in_the_hands_of_a_killed_worker_is_judged_apart() -> None:
    """Its wait is explained by the kill and what the product waits after one, and no more than that."""
    killed = Outage(105.2, 106.0)
    hit, late = (Wait("hit", Phase.FIRE, "bulk", 105.0, seconds) for seconds in (20.0, 60.0))
    clear = waits(Phase.FIRE, IDLE_S, began=200.0)

    excused = Waiting((*WELL, *clear, hit), (killed,), explained_s=20.0)
    beyond = Waiting((*WELL, *clear, late), (killed,), explained_s=20.0)

    assert list(too_long(excused)) == []
    assert [whom for whom, _ in too_long(beyond)] == ["hit"]


@pytest.mark.parametrize(
    ("seconds", "killed_at", "found"),
    [
        (55.0, (), ["hit"]),
        (55.0, (120.0,), []),
        (58.0, (120.0,), ["hit"]),
        (55.0, (106.9,), ["hit"]),
        (55.0, (140.0,), ["hit"]),
        (85.0, (115.0, 120.0), []),
        (115.0, (115.0, 120.0, 125.0), ["hit"]),
    ],
)
def test_a_worker_that_is_killed_may_have_had_its_look_up(
    seconds: float, killed_at: tuple[float, ...], found: list[str]
) -> None:
    """While the job that the first fault had met was in doubt; not at the time of that fault, and not ever again."""
    hit = Wait("hit", Phase.FIRE, "bulk", 105.0, seconds)
    clear = waits(Phase.FIRE, IDLE_S, began=300.0)

    judged = Waiting((*WELL, *clear, hit), (Outage(105.2, 106.0),), explained_s=20.0, kills=killed_at, look_s=30.0)

    assert [whom for whom, _ in too_long(judged)] == found


@pytest.mark.parametrize(("killed_at", "lost"), [(99.9, False), (100.0, True), (107.0, True), (107.1, False)])
def test_a_trial_that_died_with_its_worker_holds_its_instance_up_for_a_lease(killed_at: float, lost: Any) -> None:
    """Only where the CRM could not be reached just before: breakers are closed else."""
    unreachable = Outage(100.0, 101.0)

    found = with_lost_trials([unreachable], [unreachable], [killed_at], lease_s=25.0)

    assert found == [unreachable, *([Outage(killed_at, killed_at + 25.0)] if lost else [])]


def test_a_fault_explains_nothing_of_a_wait_that_was_too_long_before_it_struck() -> None:
    """A job that starves is not excused by the first kill that comes along."""
    killed = Outage(130.0, 131.0)

    found = list(too_long(beside(60.0, outages=(killed,))))

    assert found
    assert found[0][0] == "the bulk lane"


def test_a_job_whose_own_request_was_struck_is_told_apart() -> None:
    """Its answer was lost, and it had to be looked for."""
    struck = replace(CALM[0], job_id="struck", phase=Phase.FIRE, seconds=30.0, hit=True)
    waiting = Waiting((*WELL, *waits(Phase.FIRE, IDLE_S, began=50.0), struck))

    (fire,) = [one for one in figures(waiting) if one.phase is Phase.FIRE]

    assert list(too_long(waiting)) == []
    assert (fire.jobs, fire.hit, fire.hit_most_s) == (2 * LEAST, 1, 30.0)


def test_too_little_calm_proves_nothing() -> None:
    """Nor does a calm in which jobs never ended."""
    few = Waiting((*CALM[: LEAST - 1], *waits(Phase.BESIDE, IDLE_S)))
    unended = Waiting((*CALM, replace(CALM[0], seconds=None), *waits(Phase.BESIDE, IDLE_S)))

    assert any("nothing is proved" in says for _, says in too_long(few))
    assert any("nothing is proved" in says for _, says in too_long(unended))


def test_a_run_without_neighbours_says_nothing() -> None:
    """Neither a figure nor a breach."""
    assert list(too_long(NO_WAITING)) == []
    assert figures(NO_WAITING) == []


def test_nothing_measured_beside_neighbours_proves_nothing() -> None:
    """Neither a run of which no quiet job is known, nor a lane in which none succeeded beside the neighbours."""
    assert any("nothing is proved" in says for _, says in too_long(Waiting()))
    assert any("nothing is proved" in says for _, says in too_long(Waiting(CALM)))
    assert any("nothing is proved" in says for _, says in too_long(beside(None)))


def test_good_jobs_do_not_wait_for_the_end_of_somebody_else_s_refusals() -> None:
    """They succeed while the refusals go on."""
    done = {"early": 10.0, "late": 30.0, "never": None}

    assert [job for job, _ in held_up(done, lifted_at=20.0)] == ["late", "never"]
