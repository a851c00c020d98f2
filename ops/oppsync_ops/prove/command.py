"""`oppsync prove`: draw a plan, run it, print what came of it."""

import contextlib
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import json_option, note, print_json
from oppsync_ops.cli.progress import Report, progress
from oppsync_ops.numbers_given import Number
from oppsync_ops.processes import ProcessEnded, stoppable
from oppsync_ops.prove.document import as_document, plan_document, report
from oppsync_ops.prove.plan import Options, Plan
from oppsync_ops.prove.run import Make, Run, Teller, run
from oppsync_ops.prove.telling import show, show_plan

SEEDS: Final = 1_000_000
JOBS, FLOOD_JOBS, FAILOVER_JOBS, MINUTES = 2_000, 50_000, 800, 2.0
MOST_JOBS: Final = 100_000
"""Of the plain proof, which keeps all of every job in memory."""
NEEDS: Final = ("marker", "lead")


@click.command("prove")
@click.option(
    "--jobs",
    type=click.IntRange(20, 100_000_000),
    help=f"Jobs to hand over.  [default: {JOBS}; {FLOOD_JOBS} with --flood, {FAILOVER_JOBS} with --failover]",
)
@click.option(
    "--minutes",
    default=MINUTES,
    show_default=True,
    type=Number(0.1, 600),
    help="How long they are handed over and faults are committed; from 5 on, with the product's own lease.",
)
@click.option(
    "--workers", type=click.IntRange(2, 32), help="Worker processes.  [default: 4; 2 with --flood or --failover]"
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Draws the plan; without it one is drawn and shown.")
@click.option(
    "--without", multiple=True, type=click.Choice(NEEDS), help="Take away what the promises need. Repeatable."
)
@click.option("--alone", is_flag=True, help="No neighbours: no instances in trouble beside the judged ones.")
@click.option(
    "--flood",
    "is_flood",
    is_flag=True,
    help="Another proof: no budget, as many jobs as the machine carries, and processes killed all along.",
)
@click.option(
    "--failover",
    "is_failover",
    is_flag=True,
    help="Another proof: the primary dies while its replica lags, and the replica is promoted.",
)
@click.option(
    "--wait-replicas",
    default=0,
    show_default=True,
    type=click.IntRange(0, 1),
    help="Of a failover: run workers with OPPSYNC_WAIT_REPLICAS, so that no double is excused.",
)
@click.option("--kills", type=click.IntRange(0, 10_000), help="Processes that a flood kills.  [default: by its jobs]")
@click.option("--against", type=click.Choice(["stock"]), help="Then the same through an ordinary Celery set-up.")
@click.option(
    "--report", "report_file", type=click.Path(dir_okay=False, path_type=Path), help="Every job and its hits."
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--keep", is_flag=True, help="Keep the folder with logs and data; kept anyway after a breach.")
@json_option
def prove(
    *,
    jobs: int | None,
    minutes: float,
    workers: int | None,
    seed: int | None,
    without: tuple[str, ...],
    alone: bool,
    is_flood: bool,
    is_failover: bool,
    wait_replicas: int,
    kills: int | None,
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
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    plain = (minutes != MINUTES, without, alone, against, report_file)
    if (kills is not None and not is_flood) or (wait_replicas and not is_failover):
        raise click.UsageError("--kills goes with --flood, and --wait-replicas with --failover")
    if (is_flood and is_failover) or ((is_flood or is_failover) and any(plain)):
        raise click.UsageError("--flood and --failover take no --minutes, --without, --alone, --against or --report")
    if is_flood:
        how = _How(only_plan, keep, as_json)
        return _flood(seed, jobs or FLOOD_JOBS, workers or 2, kills, how)
    if is_failover:
        how = _How(only_plan, keep, as_json)
        return _failover(seed, jobs or FAILOVER_JOBS, workers or 2, wait_replicas, how)
    if (jobs or JOBS) > MOST_JOBS:
        raise click.UsageError(f"--jobs is at most {MOST_JOBS} without --flood: every job is kept and explained")
    options = Options(
        seed=seed,
        jobs=jobs or JOBS,
        minutes=minutes,
        workers=workers or 4,
        marker="marker" not in without,
        leads="lead" not in without,
        neighbours=not alone,
    )
    plan = Plan.draw(options)
    repeat = _command(options, against)
    if only_plan:
        print_json(plan_document(plan)) if as_json else show_plan(plan)
        return DONE
    _begin(report_file)
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


def _begin(report_file: Path | None) -> None:
    # That it cannot be written must not come out at the end, when the run would be lost for it.
    if report_file:
        report_file.write_text("", "utf-8")


@dataclass(frozen=True, slots=True)
class _How:
    only_plan: bool
    keep: bool
    as_json: bool


def _flood(seed: int, jobs: int, workers: int, kills: int | None, how: "_How") -> int:
    from oppsync_ops.prove.flood import telling  # noqa: PLC0415 - slow to import, and --help does without
    from oppsync_ops.prove.flood.result import FloodOptions  # noqa: PLC0415
    from oppsync_ops.prove.flood.run import flood  # noqa: PLC0415
    from oppsync_ops.prove.flood.screen import screen  # noqa: PLC0415

    options = FloodOptions(seed, jobs, workers, kills)
    words = ["oppsync prove --flood", "--seed", seed, "--jobs", jobs, "--workers", workers]
    repeat = " ".join(map(str, [*words, *([] if kills is None else ["--kills", kills])]))
    if how.only_plan:
        plan = {**asdict(options), "settings": telling.settings(options)}
        print_json(plan) if how.as_json else telling.show_plan(options)
        return DONE
    note(f"seed {seed}, {options.planned_kills} kills; to repeat: {repeat}")
    with _folder(keep=how.keep) as kept:
        try:
            with stoppable(), screen() as told:
                found = flood(options, kept.folder, told)
        except ProcessEnded as error:
            raise click.ClickException(str(error)) from None
        kept.keep = how.keep or bool(found.breaches)
    print_json({"repeat": repeat, **telling.as_document(found)}) if how.as_json else telling.show(found, repeat)
    return BAD_NEWS if found.breaches else DONE


def _failover(seed: int, jobs: int, workers: int, wait_replicas: int, how: "_How") -> int:
    from oppsync_ops.prove.failover import telling  # noqa: PLC0415 - slow to import, and --help does without
    from oppsync_ops.prove.failover.run import FailoverOptions, failover  # noqa: PLC0415

    words = ["oppsync prove --failover", "--seed", seed, "--jobs", jobs, "--workers", workers]
    repeat = " ".join(map(str, [*words, *(["--wait-replicas", wait_replicas] if wait_replicas else [])]))
    options = FailoverOptions(seed, jobs, workers, wait_replicas=wait_replicas)
    if how.only_plan:
        plan = {**asdict(options), "settings": telling.settings(options)}
        print_json(plan) if how.as_json else telling.show_plan(options)
        return DONE
    note(f"seed {seed}; to repeat: {repeat}")
    with _folder(keep=how.keep) as kept:
        try:
            with stoppable(), contextlib.ExitStack() as stack:
                found = failover(options, kept.folder, _Screen(stack))
        except ProcessEnded as error:
            raise click.ClickException(str(error)) from None
        kept.keep = how.keep or bool(found.audit.total)
    print_json({"repeat": repeat, **telling.as_document(found)}) if how.as_json else telling.show(found, repeat)
    return BAD_NEWS if found.audit.total else DONE


def _contenders(against: str | None) -> Iterator[Make]:
    from oppsync_ops.prove.ours import Ours  # noqa: PLC0415 - Celery is slow to import, and --help does without

    yield Ours
    if against:
        from oppsync_ops.prove.stock import Stock  # noqa: PLC0415

        yield Stock


def _run(plan: Plan, make: Make, *, keep: bool) -> Run:
    with _folder(keep=keep) as kept:
        with contextlib.ExitStack() as stack:
            found = run(plan, make, kept.folder, _Screen(stack))
        kept.keep = keep or bool(found.audit.total)
    return found


@dataclass
class _Folder:
    folder: Path
    keep: bool


@contextlib.contextmanager
def _folder(*, keep: bool) -> Iterator[_Folder]:
    """A folder that goes with the block, unless it is to be kept."""
    kept = _Folder(Path(tempfile.mkdtemp(prefix="oppsync-prove-")), keep)
    try:
        yield kept
    finally:
        if kept.keep:
            _redact(kept.folder)
            note(f"logs and data are kept in {kept.folder}")
        else:
            shutil.rmtree(kept.folder, ignore_errors=True)


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
    words += [] if options.neighbours else ["--alone"]
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
        self._reports[what](done, total)
