"""The seed decides everything that can be decided beforehand."""

from collections import Counter
from dataclasses import replace

import pytest

from oppsync_ops.prove.form import LONG, SHORT, Form, form_for
from oppsync_ops.prove.load import INSTANCES, TIGHT
from oppsync_ops.prove.plan import Options, Plan
from oppsync_ops.prove.planned import By, Fate
from oppsync_ops.prove.rules import LOST, rules_for
from oppsync_ops.prove.schedule import SPARED, Fault, has_crm_proxy
from oppsync_ops.prove.settings import instances_file
from oppsync_ops.simulator.fault_rules import FaultRule
from oppsync_worker.settings import Settings

OPTIONS = Options(seed=7, jobs=400, minutes=0.5, workers=3)
PLAN = Plan.draw(OPTIONS)
LONG_PLAN = Plan.draw(replace(OPTIONS, jobs=1_000, minutes=10.0, workers=4))


def test_the_same_seed_gives_the_same_plan() -> None:
    """To the last title and the last fault."""
    again = Plan.draw(OPTIONS)

    assert again == PLAN
    assert again.digest == PLAN.digest


def test_another_seed_gives_another_plan() -> None:
    """Jobs, faults and poison alike."""
    other = Plan.draw(replace(OPTIONS, seed=8))

    assert other.digest != PLAN.digest
    assert other.jobs != PLAN.jobs
    assert other.faults != PLAN.faults
    assert other.poison != PLAN.poison


@pytest.mark.parametrize("changes", [{"marker": False}, {"leads": False}])
def test_what_is_taken_away_changes_nothing_else(changes: dict[str, bool]) -> None:
    """So that runs with and without can be compared."""
    without = Plan.draw(replace(OPTIONS, **changes))  # type: ignore[arg-type]

    assert without.faults == PLAN.faults
    assert [job.job_id for job in without.jobs] == [job.job_id for job in PLAN.jobs]
    assert [job.at for job in without.jobs] == [job.at for job in PLAN.jobs]


def test_there_is_some_of_everything() -> None:
    """Instances, lanes, references and ids, foreign and doubled hand-overs, bad jobs, shared and fresh leads."""
    jobs = PLAN.jobs
    leads = Counter((job.instance, job.lead_id) for job in jobs if job.creates)

    assert len(jobs) == OPTIONS.jobs
    assert {job.instance for job in jobs} == set(INSTANCES)
    assert {job.lane for job in jobs} == {"interactive", "bulk"}
    assert {job.by for job in jobs} == set(By)
    assert {job.fate for job in jobs} == {Fate.SUCCEEDED, Fate.REFUSED}
    assert {job.foreign for job in jobs} == {job.twice for job in jobs} == {True, False}
    assert {True, False} == {count > 1 for count in leads.values()}
    assert any(job.creates and job.reference is None for job in jobs)
    assert len({job.job_id for job in jobs}) == len({one.raw for one in PLAN.poison} | set(jobs)) - len(PLAN.poison)


def test_jobs_of_a_record_are_in_order_of_time() -> None:
    """Versions count up; a record begins with its create, and foreign applications only create."""
    for record in {job.record for job in PLAN.jobs}:
        jobs = [job for job in PLAN.jobs if job.record == record]

        assert [job.version for job in jobs] == list(range(len(jobs)))
        assert [job.creates for job in jobs] == [True] + [False] * (len(jobs) - 1)
    assert all(job.creates for job in PLAN.jobs if job.foreign)
    assert all(job.reference or job.by is not By.REFERENCE for job in PLAN.jobs)


@pytest.mark.parametrize("plan", [PLAN, LONG_PLAN])
def test_every_fault_is_committed_at_least_once(plan: Plan) -> None:
    """In order of time, and the spared worker is not killed."""
    assert {one.fault for one in plan.faults} == set(Fault) - {Fault.KILLER}
    assert [one.at for one in plan.faults] == sorted(one.at for one in plan.faults)
    assert all(one.worker != SPARED for one in plan.faults if one.fault is Fault.KILL)
    assert all(
        has_crm_proxy(one.worker or 0) for one in plan.faults if one.fault in {Fault.CRM_CUT, Fault.CRM_HALF_OPEN}
    )


def test_the_tight_instance_has_less_than_it_needs() -> None:
    """Nothing is proved about a budget with room in it."""
    jobs = Counter(job.instance for job in PLAN.jobs)
    windows = PLAN.load_s / PLAN.form.window_s

    assert PLAN.budgets[TIGHT].requests * windows < 1.1 * jobs[TIGHT]
    assert all(PLAN.budgets[name].requests * windows > 1.5 * jobs[name] for name in INSTANCES if name != TIGHT)


def test_only_the_long_form_has_a_job_that_takes_its_workers_down() -> None:
    """An interactive update with a slow call, which one worker never gets to see."""
    killer = LONG_PLAN.killer

    assert PLAN.killer is None
    assert killer is not None
    assert (killer.fate, killer.lane, killer.creates) == (Fate.POISON, "interactive", False)
    assert LONG_PLAN.rules[0].given["marker"] == killer.mark


@pytest.mark.parametrize("form", [SHORT, LONG])
def test_nothing_comes_later_than_the_product_waits(form: Form) -> None:
    """A commit that is late, and then missing from lists; an update that is carried out after its caller gave up."""
    latest_s = max(form.late_s, form.too_slow_s)

    assert latest_s + form.lag_s < form.probe_after_s[-1]
    assert latest_s < form.order_settle_s
    assert form.slow_s < form.read_s < form.call_s < form.too_slow_s
    assert form.half_open_s > form.call_s
    assert form.quiet_s > max(form.order_settle_s, form.lease_s * 2, form.retry_most_s, form.probe_after_s[-1])


def test_the_long_form_has_the_product_s_own_lease() -> None:
    """So that the measured recovery is the real one."""
    assert form_for(10.0).lease_s == Settings.model_fields["lease_seconds"].default
    assert form_for(1.0) is SHORT


@pytest.mark.parametrize("form", [SHORT, LONG])
def test_the_simulator_understands_every_rule(form: Form) -> None:
    """And one write in twenty loses its answer after it was carried out."""
    rules = [FaultRule.parse(rule.document()) for rule in rules_for(form, killer_mark="alder.1.1")]
    lost = [rule.p for rule in rules if rule.action.name == "drop_after_commit" and "answer lost" in str(rule.name)]

    assert len({rule.name for rule in rules}) == len(rules)
    assert sum(lost) == LOST == 0.05


@pytest.mark.parametrize("marker", [True, False])
def test_the_worker_understands_its_settings(tmp_path: object, marker: bool) -> None:  # noqa: FBT001 - a parameter
    """Every table of the instances file, with and without a marker field."""
    plan = Plan.draw(replace(OPTIONS, marker=marker))
    file = tmp_path / "instances.toml"  # type: ignore[operator]
    file.write_text(instances_file(plan), "utf-8")

    read = Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file)})

    assert set(read.instances) == set(plan.budgets) > set(INSTANCES)
    assert all(one.budget.requests == plan.budgets[name].requests for name, one in read.instances.items())
    assert all(one.budget.concurrency == plan.budgets[name].in_flight for name, one in read.instances.items())
    assert {one.marker_field for one in read.instances.values()} == {"oppsync" if marker else None}
    assert {one.reconcile.on_probably_absent for one in read.instances.values()} == {"resend" if marker else "operator"}
