"""`oppsync doubt`: creates that were sent and whose answer is unknown."""

from typing import Final

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import DONE
from oppsync_ops.cli.output import Column, json_option, note, print_json, print_table
from oppsync_ops.jobs.doubts import read_doubts
from oppsync_ops.jobs.moments import now_ms, span

LISTED: Final = 100

_COLUMNS: Final = (
    Column.of("job_id", "id"),
    Column.of("instance"),
    Column.of("age", "for", right=True),
    Column.of("attempt", right=True),
    Column.of("external_ref", "external ref"),
    Column.of("cause"),
    Column.of("detail"),
)


@click.group()
def doubt() -> None:
    """Creates in doubt: they may or may not have made a record, and are never sent again unasked."""


@doubt.command("list")
@click.option("--instance", help="Only those of this instance.")
@click.option("--limit", type=click.IntRange(min=1), default=LISTED, show_default=True)
@json_option
def list_doubts(*, instance: str | None, limit: int, as_json: bool) -> int:
    """List them, oldest first."""
    with connected() as client:
        now = now_ms(client)
        found = read_doubts(client, instance=instance, most=limit + 1)
    shown = found[:limit]
    if as_json:
        print_json([one.as_dict() for one in shown])
    elif shown:
        print_table([{**one.as_dict(), "age": span(now - one.since)} for one in shown], _COLUMNS)
    else:
        click.echo("no create is in doubt")
    if len(found) > limit:
        note(f"there are more than these {limit}: give --limit")
    return DONE
