"""`oppsync prove`: draw a plan, run it, print what came of it."""

import contextlib
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import json_option, note, print_json
from oppsync_ops.cli.progress import Report, progress
from oppsync_ops.processes import ProcessEnded, stoppable
from oppsync_ops.prove.document import as_document, plan_document, report
from oppsync_ops.prove.plan import Options, Plan
from oppsync_ops.prove.run import Make, Run, Teller, run
from oppsync_ops.prove.telling import show, show_plan

SEEDS: Final = 1_000_000
NEEDS: Final = ("marker", "lead")


@click.command("prove")
@click.option("--jobs", default=2_000, show_default=True, type=click.IntRange(20, 100_000), help="Jobs to hand over.")
@click.option(
    "--minutes",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long they are handed over and faults are committed; from 5 on, with the product's own lease.",
)
@click.option("--workers", default=4, show_default=True, type=click.IntRange(2, 32), help="Worker processes.")
@click.option("--seed", type=click.IntRange(min=0), help="Draws the plan; without it one is drawn and shown.")
@click.option(
    "--without", multiple=True, type=click.Choice(NEEDS), help="Take away what the promises need. Repeatable."
)
@click.option("--against", type=click.Choice(["stock"]), help="Then the same through an ordinary Celery set-up.")
@click.option(
    "--report", "report_file", type=click.Path(dir_okay=False, path_type=Path), help="Every job and its hits."
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--keep", is_flag=True, help="Keep the folder with logs and data; kept anyway after a breach.")
@json_option
def prove(
    *,
    jobs: int,
    minutes: float,
    workers: int,
    seed: int | None,
    without: tuple[str, ...],
    against: str | None,
    report_file: Path | None,
    only_plan: bool,
    keep: bool,
    as_json: bool,
) -> int:
    """Prove it: nothing lost, nothing doubled, never over the budget, in order, whatever dies.

    Starts a Redis, a simulated CRM and workers, hands jobs over, and meanwhile kills, cuts, freezes and restarts all of
    them. Then the CRM's own records are held against what was handed over. Exit code 1 says that a promise was broken.
    """
    options = Options(
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
        jobs=jobs,
        minutes=minutes,
        workers=workers,
        marker="marker" not in without,
        leads="lead" not in without,
    )
    plan = Plan.draw(options)
    repeat = _command(options, against)
    if only_plan:
        print_json(plan_document(plan)) if as_json else show_plan(plan)
        return DONE
    note(f"seed {options.seed}, plan {plan.digest}; to repeat: {repeat}")
    try:
        with stoppable():
            runs = [_run(plan, make, keep=keep) for make in _contenders(against)]
    except ProcessEnded as error:
        raise click.ClickException(str(error)) from None
    if report_file:
        report_file.write_text(json.dumps([report(one) for one in runs], indent=1), "utf-8")
        note(f"every job and what hit it: {report_file}")
    if as_json:
        print_json({"plan": plan_document(plan), "repeat": repeat, "runs": [as_document(one) for one in runs]})
    else:
        show(runs, repeat)
    return BAD_NEWS if runs[0].audit.total else DONE


def _contenders(against: str | None) -> Iterator[Make]:
    from oppsync_ops.prove.ours import Ours  # noqa: PLC0415 - Celery is slow to import, and --help does without

    yield Ours
    if against:
        from oppsync_ops.prove.stock import Stock  # noqa: PLC0415

        yield Stock


def _run(plan: Plan, make: Make, *, keep: bool) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="oppsync-prove-"))
    kept = keep
    try:
        with contextlib.ExitStack() as stack:
            found = run(plan, make, folder, _Screen(stack))
        kept = keep or bool(found.audit.total)
        return found
    finally:
        if kept:
            _redact(folder)
            note(f"logs and data are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _redact(folder: Path) -> None:
    """Tokens are invented, but nobody should have to know that who is sent the folder."""
    for file in folder.glob("*.toml"):
        file.write_text(
            re.sub(r'^token = ".*"$', 'token = "removed"', file.read_text("utf-8"), flags=re.MULTILINE), "utf-8"
        )


def _command(options: Options, against: str | None) -> str:
    words: list[Any] = ["oppsync prove", "--seed", options.seed, "--jobs", options.jobs]
    words += ["--minutes", f"{options.minutes:g}", "--workers", options.workers]
    words += [] if options.marker else ["--without marker"]
    words += [] if options.leads else ["--without lead"]
    words += [f"--against {against}"] if against else []
    return " ".join(map(str, words))


class _Screen(Teller):
    """Lines for every step, and a bar (or lines now and then) for what takes long."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._reports: dict[str, Report] = {}

    def step(self, says: str) -> None:
        self._stack.close()
        note(says)

    def load(self, handed: int, total: int) -> None:
        self._report("handed over", handed, total)

    def settled(self, settled: int, total: int) -> None:
        self._report("settled", settled, total)

    def _report(self, what: str, done: int, total: int) -> None:
        if what not in self._reports:
            self._reports[what] = self._stack.enter_context(progress(what, total))
        self._reports[what](done)
