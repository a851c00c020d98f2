"""The knobs."""

from oppsync_ops.bench.plan import Plan


def test_a_knob_that_is_not_turned_stays() -> None:
    """Nothing given, nothing changed."""
    assert Plan().turned() == Plan()
    assert Plan.quick().turned(concurrency=(7,)).budgets == Plan.quick().budgets


def test_seconds_and_jobs_are_those_of_every_measurement_they_fit() -> None:
    """One word for several figures."""
    plan = Plan().turned(seconds=9.0, jobs=500, budgets=(45,), latency_ms=20.0)

    assert (plan.throughput_s, plan.budget_s) == (9.0, 9.0)
    assert (plan.enqueue_calls, plan.enqueue_jobs, plan.throughput_jobs) == (500, 500, 500)
    assert (plan.budgets, plan.latency_ms) == ((45,), 20.0)
    assert plan.budget_window_s == Plan().budget_window_s
