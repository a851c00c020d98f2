"""Instances in trouble, and the quiet ones beside them."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oppsync_ops.prove.evidence import Request
from oppsync_ops.prove.form import LONG, SHORT, Form
from oppsync_ops.prove.hits import hits
from oppsync_ops.prove.load import INSTANCES
from oppsync_ops.prove.neighbours import QUIET, SPARED, Trouble, jobs_of, quiet_jobs
from oppsync_ops.prove.plan import Options, Plan
from oppsync_ops.prove.planned import Fate
from oppsync_ops.prove.producers import Producers
from oppsync_ops.simulator.fault_rules import FaultRule
from oppsync_worker.instances import ReconcileSettings

PLAN = Plan.draw(Options(seed=7, jobs=400, minutes=0.5, workers=3))


def test_every_trouble_has_its_instance_and_none_is_judged_for_anything_else() -> None:
    """Neither among the judged nor among the quiet."""
    names = [one.instance for one in PLAN.neighbours]

    assert {one.trouble for one in PLAN.neighbours} == set(Trouble)
    assert len({*names, *QUIET, *INSTANCES}) == len(names) + len(QUIET) + len(INSTANCES)
    assert set(PLAN.budgets) == {*names, *QUIET, *INSTANCES}


def test_a_backlog_is_many_times_the_plan_and_its_budget_a_few_requests() -> None:
    """It cannot be worked off while anybody watches."""
    by_trouble = {one.trouble: one for one in PLAN.neighbours}
    backlog, held = by_trouble[Trouble.BACKLOG], by_trouble[Trouble.HELD]
    windows = PLAN.phases.whole_s / PLAN.form.window_s

    assert backlog.jobs == 10 * PLAN.options.jobs
    assert held.jobs == 3 * PLAN.options.jobs
    for one in (backlog, held):
        assert PLAN.budgets[one.instance].requests * windows < one.jobs / 10
        assert {job.fate for job in jobs_of(one, 7, leads=True)} == {Fate.LATE}


def test_who_hangs_may_take_every_hand_there_is() -> None:
    """More requests in flight than all workers together can have."""
    hanging = next(one for one in PLAN.neighbours if one.trouble is Trouble.HANGING)

    assert PLAN.budgets[hanging.instance].in_flight > 40 * PLAN.options.workers
    assert hanging.jobs > 40 * PLAN.options.workers


def test_the_oldest_job_is_the_refused_one() -> None:
    """And the only one."""
    refused = next(one for one in PLAN.neighbours if one.trouble is Trouble.ONE_REFUSED)
    fates = [job.fate for job in jobs_of(refused, 7, leads=True)]

    assert fates == [Fate.REFUSED_ALONE, *[Fate.SUCCEEDED] * (refused.jobs - 1)]


def test_quiet_jobs_are_evenly_spaced_in_both_lanes_of_each_instance() -> None:
    """From the first second to the last."""
    drawn = quiet_jobs(PLAN.phases, PLAN.form, leads=True)
    gaps = {round(later[0] - earlier[0], 6) for earlier, later in pairwise(drawn)}

    assert gaps == {round(1 / PLAN.form.quiet_per_s, 6)}
    assert {(job.instance, job.lane) for _, job in drawn} == {
        (name, lane) for name in QUIET for lane in ("interactive", "bulk")
    }
    assert len({job.job_id for _, job in drawn}) == len(drawn)


@pytest.mark.parametrize("form", [SHORT, LONG])
@pytest.mark.parametrize("name", QUIET)
def test_no_column_of_a_quiet_instance_is_longer_than_what_may_be_read_of_it(form: Form, name: str) -> None:
    """Of a longer one a doubt could not be settled, and would be a person's."""
    plan = Plan.draw(Options(seed=1, jobs=10_000, minutes=10.0 if form is LONG else 2.0, workers=4))
    columns = Counter(job.column for _, job in quiet_jobs(plan.phases, form, leads=True) if job.instance == name)

    assert 0 < max(columns.values()) < ReconcileSettings().column_pages * 100


@pytest.mark.parametrize("form", [SHORT, LONG])
def test_there_are_enough_quiet_jobs_to_speak_of_a_percentile(form: Form) -> None:
    """In each lane and in each phase."""
    assert form.calm_s * form.quiet_per_s / 2 >= 30
    assert form.beside_s * form.quiet_per_s / 2 >= 30


def test_the_simulator_understands_the_neighbours_rules_and_spares_the_quiet() -> None:
    """The first rule that matches wins, so those that do nothing stand in front of the plan's."""
    rules = [FaultRule.parse(rule.document()) for rule in PLAN.neighbours_rules]
    spared = [rule for rule in rules if str(rule.name).startswith(SPARED)]

    assert {rule.instance for rule in spared} == set(QUIET)
    assert all(rule.parameters == {"ms": 0, "commit": "start"} for rule in spared)
    assert len({rule.name for rule in rules}) == len(rules)


def test_a_rule_that_spares_is_no_hit() -> None:
    """Or every quiet job would count as struck."""
    request = Request(1.0, QUIET[0], "POST", "/crmopportunity", 200, fault=f"{SPARED}{QUIET[0]}", job_id="a")

    assert hits([], [request, replace(request, fault="answer lost")], {})[0].fault == "answer lost"


def test_a_plan_without_neighbours_has_only_the_judged() -> None:
    """And is otherwise the same plan."""
    alone = Plan.draw(replace(PLAN.options, neighbours=False))

    assert alone.neighbours == ()
    assert set(alone.budgets) == set(INSTANCES)
    assert (alone.jobs, alone.faults, alone.poison) == (PLAN.jobs, PLAN.faults, PLAN.poison)


def test_a_borrowed_id_is_not_pushed_before_its_job() -> None:
    """Whoever came first would be the job."""
    pushed: list[object] = []
    contender = SimpleNamespace(queues={"bulk": "q", "interactive": "q"})
    producers = Producers(cast("Any", None), cast("Any", contender))
    client = cast("Any", SimpleNamespace(lpush=lambda _queue, raw: pushed.append(raw)))
    borrowed = next(one for one in PLAN.poison if one.borrows)
    owner = next(job for job in PLAN.jobs if job.job_id == borrowed.borrows)

    assert not producers._pushed(client, borrowed)
    producers.adopt([owner])
    assert producers._pushed(client, borrowed)
    assert pushed == [borrowed.raw]
