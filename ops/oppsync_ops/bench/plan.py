"""How much is measured: the knobs of `oppsync bench`, as one frozen value."""

from dataclasses import dataclass, replace
from typing import Final, Self

MEASUREMENTS: Final = ("enqueue", "import", "throughput", "budget")

WINDOW_S: Final = 60.0
QUICK_BUDGET_S: Final = 4.0
"""Shorter than the window: shows the spacing only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of all measurements."""

    enqueue_calls: int = 3_000
    """Single calls whose latency is taken, after a warm-up."""
    enqueue_jobs: int = 5_000
    """Jobs handed over in bulk, whose weight in Redis is taken."""
    import_rounds: int = 5
    """Fresh interpreters for each statement; the fastest counts."""
    throughput_jobs: int = 8_000
    """Jobs of one of our runs; plain Celery gets half as many."""
    throughput_s: float = 20.0
    """A run is cut off after this long."""
    concurrency: tuple[int, ...] = (200, 400)
    """Calls in flight in one of our worker processes, one run for each."""
    latency_ms: float = 100.0
    """How long the CRM takes to answer."""
    budgets: tuple[int, ...] = (300, 45)
    """Requests per window, one run for each."""
    budget_window_s: float = WINDOW_S
    budget_s: float = WINDOW_S
    """How long is measured, from the first call on."""

    @classmethod
    def quick(cls) -> Self:
        """Seconds for each: shows that everything runs, and proves no figure."""
        return cls(
            enqueue_calls=300,
            enqueue_jobs=1_000,
            import_rounds=2,
            throughput_jobs=600,
            throughput_s=4.0,
            concurrency=(100,),
            budgets=(300,),
            budget_s=QUICK_BUDGET_S,
        )

    def turned(
        self,
        *,
        seconds: float | None = None,
        jobs: int | None = None,
        concurrency: tuple[int, ...] = (),
        budgets: tuple[int, ...] = (),
        latency_ms: float | None = None,
    ) -> Self:
        """This plan with the given knobs turned; `seconds` and `jobs` are those of every measurement they fit."""
        changes: dict[str, object] = {}
        if seconds is not None:
            changes |= {"throughput_s": seconds, "budget_s": seconds}
        if jobs is not None:
            changes |= {"enqueue_calls": jobs, "enqueue_jobs": jobs, "throughput_jobs": jobs}
        changes |= {"concurrency": concurrency} if concurrency else {}
        changes |= {"budgets": budgets} if budgets else {}
        changes |= {"latency_ms": latency_ms} if latency_ms is not None else {}
        return replace(self, **changes)  # type: ignore[arg-type]
