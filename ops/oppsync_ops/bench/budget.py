"""How two worker processes use one instance's budget: all of it, and never more.

The CRM throttles at exactly the budget's figure, and there is more work than the budget allows. What counts is what the
CRM saw, from the first call on.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from oppsync import JobClient
from oppsync_ops.bench.load import INSTANCE, creates
from oppsync_ops.bench.plan import Plan
from oppsync_ops.bench.result import Row, Tell, rounded
from oppsync_ops.bench.stage import Budget, Stage, staged
from oppsync_ops.processes import Child, ProcessEnded
from oppsync_ops.spread import Gaps, gaps, most_in_any_window
from oppsync_ops.witness import Call

WORKERS: Final = 2
CONCURRENCY: Final = 50
IN_FLIGHT: Final = 8
PROMISED: Final = 0.98
"""The part of a budget that is used while there is work."""

SPARE: Final = 1.5
"""Jobs queued for one that the budget allows."""

START_PATIENCE_S: Final = 60.0
LATE_S: Final = 1.0
"""How much longer than the measured time is waited, so that every call in it is in the journal."""


@dataclass(frozen=True, slots=True)
class Use:
    """What became of one budget."""

    requests: int
    window_s: float
    seconds: float
    allowed: float
    """Requests that the budget allows in the measured time."""
    calls: int
    throttled: int
    """Answers of "too many requests", in the whole run."""
    most_in_window: int
    """The most calls in any window, wherever it begins."""
    gaps: Gaps | None

    @property
    def used(self) -> float:
        """The part of the allowed requests that was made."""
        return self.calls / self.allowed


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """The measurement's result."""

    title: ClassVar[str] = f"Budget: {WORKERS} worker processes, one instance"

    uses: tuple[Use, ...]

    def rows(self) -> Sequence[Row]:
        """One for each budget."""
        return [
            {
                "budget": f"{use.requests} in {use.window_s:g} s",
                "seconds": rounded(use.seconds, 0),
                "calls": use.calls,
                "used": f"{100 * use.used:.1f} %",
                "throttled": use.throttled,
                "most in any window": use.most_in_window,
                "gap ms: ideal": rounded(1000 * use.window_s / use.requests),
                "least": rounded(use.gaps.least_ms if use.gaps else None),
                "median": rounded(use.gaps.median_ms if use.gaps else None),
                "most": rounded(use.gaps.most_ms if use.gaps else None),
            }
            for use in self.uses
        ]

    def remarks(self) -> Sequence[str]:
        """What was measured."""
        return ["From the CRM's first call on; it throttles at exactly the budget's figure."]

    def problems(self) -> Sequence[str]:
        """Throttles, too many calls in a window, or a budget that lay idle."""
        found = []
        for use in self.uses:
            budget = f"{use.requests} in {use.window_s:g} s"
            if use.throttled or use.most_in_window > use.requests:
                found.append(f"{budget}: {use.throttled} throttled, {use.most_in_window} in one window")
            if use.used < PROMISED and use.seconds >= use.window_s:
                found.append(f"{budget}: only {100 * use.used:.1f} % used")
        return found


def measure(plan: Plan, tell: Tell) -> BudgetUse:
    """Run every budget, one after the other."""
    return BudgetUse(tuple(_use(requests, plan, tell) for requests in plan.budgets))


def _use(requests: int, plan: Plan, tell: Tell) -> Use:
    window_s, seconds = plan.budget_window_s, plan.budget_s
    tell(f"budget: {requests} requests in {window_s:g} s, for {seconds:g} s")
    allowed = requests * seconds / window_s
    with staged(latency_ms=plan.latency_ms, throttle=f"{requests}/{window_s:g}s") as stage:
        with JobClient(stage.redis_url) as client:
            client.enqueue_many(creates(math.ceil(allowed * SPARE) + 10))
        told = Budget(requests, window_s, IN_FLIGHT)
        workers = [stage.worker(told, concurrency=CONCURRENCY, name=f"worker-{n}") for n in range(WORKERS)]
        first = _first_call(stage, workers)
        time.sleep(max(0.0, first.at_s + seconds + LATE_S - time.time()))
        for worker in workers:
            worker.must_run()
        calls = stage.crm.calls(INSTANCE)
        counts = stage.crm.counts(INSTANCE)
    times = [call.at_s for call in calls if call.at_s < first.at_s + seconds]
    return Use(
        requests=requests,
        window_s=window_s,
        seconds=seconds,
        allowed=allowed,
        calls=len(times),
        throttled=counts.throttled,
        most_in_window=most_in_any_window([call.at_s for call in calls], window_s),
        gaps=gaps(times),
    )


def _first_call(stage: Stage, workers: Sequence[Child]) -> Call:
    patience = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < patience:
        for worker in workers:
            worker.must_run()
        if calls := stage.crm.calls(INSTANCE):
            return calls[0]
        time.sleep(0.1)
    raise ProcessEnded(f"the workers deliver nothing: {workers[0].last_words()}")
