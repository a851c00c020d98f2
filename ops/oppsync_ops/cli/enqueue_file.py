"""`oppsync enqueue file`: everything is checked before anything is sent.

1. First pass: every line is read and judged; the bad ones are listed, and unless they are to be skipped that is all.
2. Second pass: the same file, known again by its fingerprint, is sent in batches of one round trip each.
3. What fails in the middle may be repeated as it was: creates carry keys derived from their lines.
"""

from pathlib import Path
from typing import Any, Final

import click

from oppsync.files import DecimalMark, Encoding, FileError, GoodLine, Report, check, read_jobs
from oppsync.receipts import Receipt, batches
from oppsync_ops.cli.connection import job_client
from oppsync_ops.cli.failures import BAD_NEWS, DONE, USED_WRONGLY
from oppsync_ops.cli.given import KindOfJob
from oppsync_ops.cli.output import Column, json_option, note, print_json, print_table
from oppsync_ops.cli.progress import progress
from oppsync_ops.processes import stoppable
from oppsync_worker.contract.names import Kind, Lane
from oppsync_worker.ledger.connect import LedgerUnavailable

MOST_CONFLICTS: Final = 100
"""Refused lines that are listed; the rest is counted."""

_COLUMNS: Final = (Column.of("line", right=True), Column.of("field"), Column.of("message"))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--kind", type=KindOfJob(), help="What lines do that do not say so themselves.")
@click.option("--decimal", type=click.Choice(["auto", "point", "comma"]), default="auto", show_default=True)
@click.option("--encoding", type=click.Choice(["utf-8", "cp1252"]), default="utf-8", show_default=True)
@click.option("--lane", type=click.Choice([lane.value for lane in Lane]), default=Lane.BULK.value, show_default=True)
@click.option("--instance", envvar="SPRINTHUB_INSTANCE", show_envvar=True, help="For lines that name none.")
@click.option("--funnel-id", type=click.INT, help="For lines that name none.")
@click.option("--default", "more", multiple=True, metavar="FIELD=VALUE", help="For lines without it. Repeatable.")
@click.option("--skip-bad", is_flag=True, help="Send the good lines although there are bad ones.")
@click.option("--dry-run", is_flag=True, help="Only check the file.")
@json_option
def file(
    *,
    path: Path,
    kind: Kind | None,
    decimal: DecimalMark,
    encoding: Encoding,
    lane: str,
    instance: str | None,
    funnel_id: int | None,
    more: tuple[str, ...],
    skip_bad: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Enqueue the jobs of a file: .csv, .tsv, .jsonl or .ndjson, each also with .gz after it.

    All lines are checked first. Exit code 2 when a line is bad; nothing is sent then, unless --skip-bad is given. A
    line whose job_id or idempotency_key another job has is refused by itself: it is listed, and the exit code is 1.
    """
    how: dict[str, Any] = {
        "defaults": _defaults(lane=lane, instance=instance, funnel_id=funnel_id, more=more),
        "decimal": decimal,
        "kind": kind,
        "encoding": encoding,
    }
    checked = _check(path, how)
    summary = _Summary(checked, dry_run=dry_run)
    if dry_run or (checked.bad and not skip_bad):
        summary.tell(as_json=as_json)
        return USED_WRONGLY if checked.bad else DONE
    try:
        with stoppable():
            _send(path, how, checked, summary)
    except (LedgerUnavailable, FileError, KeyboardInterrupt):
        summary.tell(as_json=as_json)
        note(
            f"stopped after {summary.sent + summary.known} of {checked.good} jobs were handed over; to run the same"
            " command again is safe: creates that were handed over are recognised, updates are only repeated"
        )
        raise
    summary.complete = True
    summary.tell(as_json=as_json)
    return DONE if checked.good and not summary.refused else BAD_NEWS


class _Summary:
    """What is said in the end."""

    def __init__(self, checked: Report, *, dry_run: bool) -> None:
        self.checked = checked
        self.dry_run = dry_run
        self.sent = 0
        self.known = 0
        self.refused = 0
        self.conflicts: list[dict[str, Any]] = []
        """The first of those that were refused."""
        self.complete = False

    def take(self, line: GoodLine, receipt: Receipt) -> None:
        """Count what became of a line."""
        if receipt.conflict is None:
            self.sent += receipt.created
            self.known += not receipt.created
            return
        self.refused += 1
        if len(self.conflicts) < MOST_CONFLICTS:
            field = "job_id" if receipt.conflict.reason == "id" else "idempotency_key"
            self.conflicts.append({"line": line.number, "field": field, "message": str(receipt.conflict)})

    def tell(self, *, as_json: bool) -> None:
        """Print it."""
        problems = [
            {"line": line.number, "field": problem.field or None, "message": problem.message}
            for line in self.checked.bad_lines
            for problem in line.problems
        ]
        if as_json:
            print_json(
                {
                    "good": self.checked.good,
                    "bad": self.checked.bad,
                    "kinds": {kind.value: number for kind, number in self.checked.kinds.items()},
                    "problems": problems,
                    "dry_run": self.dry_run,
                    "sent": self.sent,
                    "already_known": self.known,
                    "refused": self.refused,
                    "conflicts": self.conflicts,
                    "complete": self.complete,
                }
            )
            return
        if problems:
            print_table(problems, _COLUMNS)
            if self.checked.bad > len(self.checked.bad_lines):
                click.echo(f"... and {self.checked.bad - len(self.checked.bad_lines)} more bad lines")
            click.echo()
        if self.conflicts:
            print_table(self.conflicts, _COLUMNS)
            if self.refused > len(self.conflicts):
                click.echo(f"... and {self.refused - len(self.conflicts)} more refused lines")
            click.echo()
        if self.complete or self.sent or self.known:
            refused = f", {self.refused} refused" if self.refused else ""
            click.echo(f"{self.sent} sent, {self.known} already known, {self.checked.bad} bad{refused}")
        else:
            click.echo(f"{self.checked.good} good, {self.checked.bad} bad; nothing was sent")


def _defaults(*, lane: str, instance: str | None, funnel_id: int | None, more: tuple[str, ...]) -> dict[str, Any]:
    given: dict[str, Any] = {"lane": lane, "instance": instance, "funnel_id": funnel_id}
    for text in more:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError("--default must be written as FIELD=VALUE")
        given[name.strip()] = value
    return {name: value for name, value in given.items() if value is not None}


def _check(path: Path, how: dict[str, Any]) -> Report:
    size = path.stat().st_size if path.is_file() else 0
    with progress("checking bytes", size) as report:
        return check(path, progress=lambda done, _: report(done), **how)


def _send(path: Path, how: dict[str, Any], checked: Report, summary: _Summary) -> None:
    lines = read_jobs(path, key_from="line", expect=checked.fingerprint, **how)
    with job_client() as client, progress("sending jobs", checked.good) as report:
        for batch in batches(line for line in lines if isinstance(line, GoodLine)):
            for line, receipt in zip(batch, client.hand_over([line.job for line in batch]), strict=True):
                summary.take(line, receipt)
            report(summary.sent + summary.known + summary.refused)
