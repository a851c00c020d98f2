"""What results say of themselves: to people, to programs, and as bad news."""

import json
from dataclasses import replace

import pytest

from oppsync_ops.bench.budget import BudgetUse, Use
from oppsync_ops.bench.enqueueing import Enqueueing, Handover
from oppsync_ops.bench.importing import Import, Importing
from oppsync_ops.bench.result import Result, as_document
from oppsync_ops.bench.throughput import Run, Setup, Throughput
from oppsync_ops.spread import Gaps

HANDOVER = Handover("always", 3, 0.5, 1.0, 2.0, 100, 5_000.0, 1_200.0)
IMPORT = Import("import oppsync", 21.0, 1.0, ())
RUN = Run(Setup("oppsync", 200), 800, 2.0, 400.0, 2.5, 90.0, 0, 0)
SLOWER = replace(RUN, setup=Setup("oppsync", 400), jobs_per_s=300.0)
PREFORK = replace(RUN, setup=Setup("prefork", 16), jobs_per_s=50.0, cpu_ms_per_job=None, peak_memory_mib=None)
THREADS = replace(RUN, setup=Setup("threads", 100), jobs_per_s=100.0)
USE = Use(300, 60.0, 60.0, 300.0, 298, 0, 298, Gaps(190.0, 202.0, 215.0))
GOOD: list[Result] = [
    Enqueueing((HANDOVER,)),
    Importing(20.0, 5, (IMPORT,)),
    Throughput(100.0, (RUN, SLOWER, PREFORK, THREADS)),
    BudgetUse((USE,)),
]


@pytest.mark.parametrize("result", GOOD, ids=lambda result: type(result).__name__)
def test_a_result_is_a_table_and_a_document(result: Result) -> None:
    """All rows have the same headings; every figure is JSON; good figures are no bad news."""
    rows = result.rows()

    assert rows
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert json.loads(json.dumps(as_document(result)))["problems"] == []


def test_the_ratio_is_between_the_best_of_both() -> None:
    """Our fastest run over plain Celery's fastest."""
    found = Throughput(100.0, (RUN, SLOWER, PREFORK, THREADS))

    assert (found.best_ours, found.best_plain) == (RUN, THREADS)
    assert found.ratio == 4.0


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (replace(USE, throttled=1), "1 throttled"),
        (replace(USE, most_in_window=301), "301 in one window"),
        (replace(USE, calls=290), "only 96.7 % used"),
    ],
)
def test_a_broken_promise_about_a_budget_is_bad_news(use: Use, said: str) -> None:
    """Over it, or idle under it."""
    problems = BudgetUse((use,)).problems()

    assert len(problems) == 1
    assert said in problems[0]


def test_a_run_shorter_than_its_window_says_nothing_about_idleness() -> None:
    """Five seconds of a minute."""
    assert not BudgetUse((replace(USE, seconds=5.0, calls=20),)).problems()


def test_failures_duplicates_and_heavy_imports_are_bad_news() -> None:
    """Each names what it is about."""
    run = replace(RUN, failed=3, duplicates=1)

    assert Throughput(100.0, (run, THREADS)).problems() == ["oppsync 200: 3 failed calls, 1 duplicates"]
    assert Importing(20.0, 5, (replace(IMPORT, heavy=("celery",)),)).problems() == ["`import oppsync` loads celery"]
