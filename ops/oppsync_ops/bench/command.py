"""`oppsync bench`: run measurements, print tables or JSON."""

import os
import platform
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import click

from oppsync_ops.bench.plan import MEASUREMENTS, Plan
from oppsync_ops.bench.result import Result, Tell, as_document
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import Column, json_option, note, print_json, print_lines, print_table
from oppsync_ops.numbers_given import Number
from oppsync_ops.processes import ProcessEnded, stoppable

Measure = Callable[[Plan, Tell], Result]

_MODULES: Final[Mapping[str, str]] = {
    "enqueue": "enqueueing",
    "import": "importing",
    "throughput": "throughput",
    "budget": "budget",
}


@click.command("bench")
@click.option("--only", multiple=True, type=click.Choice(MEASUREMENTS), help="This measurement. Repeatable.")
@click.option("--quick", is_flag=True, help="Seconds for each: shows that it runs, proves no figure.")
@click.option("--seconds", type=Number(min=1), help="Longest throughput run, and length of a budget run.")
@click.option("--jobs", type=click.IntRange(100, 100_000_000), help="Jobs enqueued for `enqueue` and `throughput`.")
@click.option("--concurrency", multiple=True, type=click.IntRange(1, 5_000), help="Our calls in flight. Repeatable.")
@click.option(
    "--budget-requests", multiple=True, type=click.IntRange(1, 1_000_000), help="Requests per window. Repeatable."
)
@click.option("--latency-ms", type=Number(min=0), help="How long the CRM takes to answer.")
@json_option
def bench(
    *,
    only: tuple[str, ...],
    quick: bool,
    seconds: float | None,
    jobs: int | None,
    concurrency: tuple[int, ...],
    budget_requests: tuple[int, ...],
    latency_ms: float | None,
    as_json: bool,
) -> int:
    """Measure this software on this machine: enqueue, import, throughput beside plain Celery, budget.

    Everything runs on loopback in temporary folders and is gone afterwards. Exit code 1 says that a promise was not
    kept: a throttle of our own making, a duplicate, a budget that lay idle, a heavy import.
    """
    plan = (Plan.quick() if quick else Plan()).turned(
        seconds=seconds, jobs=jobs, concurrency=concurrency, budgets=budget_requests, latency_ms=latency_ms
    )
    document: dict[str, Any] = {"machine": _machine()}
    problems: list[str] = []
    for name in only or MEASUREMENTS:
        try:
            with stoppable():
                result = _measurement(name)(plan, note)
        except ProcessEnded as error:
            raise click.ClickException(str(error)) from None
        document[name] = as_document(result)
        problems += result.problems()
        if not as_json:
            _show(result)
    if as_json:
        print_json(document)
    else:
        note(", ".join(f"{name} {value}" for name, value in document["machine"].items()))
    for problem in problems:
        note(problem)
    return BAD_NEWS if problems else DONE


def _measurement(name: str) -> Measure:
    # Imported when it is its turn: only `throughput` needs Celery and httpx in this process.
    return import_module(f"oppsync_ops.bench.{_MODULES[name]}").measure  # type: ignore[no-any-return]


def _show(result: Result) -> None:
    rows = result.rows()
    print_lines(["", result.title, ""])
    # Names stand on the left of a table, figures on the right of their columns.
    columns = [Column.of(name, right=number > 0) for number, name in enumerate(rows[0])]
    print_table(rows, columns)
    print_lines(list(result.remarks()))


def _machine() -> dict[str, object]:
    """What the figures belong to; a load well above 0 says that somebody else was measured too."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
