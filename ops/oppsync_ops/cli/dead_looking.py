"""`oppsync dead list` and `oppsync dead show`."""

from dataclasses import replace
from typing import Any, Final

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.letter_options import takes_filter
from oppsync_ops.cli.output import Column, json_option, note, print_facts, print_json, print_lines, print_table
from oppsync_ops.cli.showing import in_full, tell_missing
from oppsync_ops.jobs.moments import around, moment, now_ms, span
from oppsync_ops.jobs.telling import happenings
from oppsync_ops.letters.filters import Filter, letters
from oppsync_ops.letters.letter import Letter, read_letters

LISTED: Final = 100
"""Letters listed when no limit is given."""

COLUMNS: Final = (
    Column.of("job_id", "id"),
    Column.of("instance"),
    Column.of("kind"),
    Column.of("cause"),
    Column.of("attempts", "tries", right=True),
    Column.of("replays", right=True),
    Column.of("age", "dead for", right=True),
    Column.of("detail"),
)


@click.command("list")
@takes_filter
@json_option
def list_letters(*, wanted: Filter, as_json: bool) -> int:
    """List dead letters, oldest first; 100 of them unless --limit says otherwise.

    Exit code 1 when a filter was given and nothing matches it.
    """
    limit = wanted.limit or LISTED
    with connected() as client:
        now = now_ms(client)
        found = list(letters(client, replace(wanted, limit=limit + 1), now=now))
    shown = found[:limit]
    if as_json:
        print_json([letter.as_dict() for letter in shown])
    elif shown:
        print_table([row(letter, now) for letter in shown], COLUMNS)
    if len(found) > limit:
        note(f"there are more than these {limit}: narrow them down, or give --limit")
    if shown:
        return DONE
    if not as_json:
        click.echo("no dead letters" if wanted.is_everything else "no dead letter matches")
    return DONE if wanted.is_everything else BAD_NEWS


def row(letter: Letter, now: int) -> dict[str, Any]:
    """A letter as a row of a table."""
    kind = (letter.kind or "").removeprefix("opportunities.") or ("raw bytes" if letter.is_raw else None)
    return {**letter.as_dict(), "kind": kind, "age": span(now - letter.buried_at) if letter.buried_at else None}


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reveal", is_flag=True, help="Show titles and custom fields, and more of raw bytes.")
@json_option
def show(*, job_ids: tuple[str, ...], reveal: bool, as_json: bool) -> int:
    """Show dead letters: the job, why it died, every attempt, and the version that buried it.

    What may be personal is masked unless --reveal is given.
    """
    with connected() as client:
        now = now_ms(client)
        found = read_letters(client, job_ids)
        wholes = in_full(client, found, reveal=reveal)
    if as_json:
        print_json(wholes)
    for letter, whole in zip(found, wholes, strict=True):
        if not as_json:
            _print(letter, whole, now)
    return tell_missing(job_ids, found, what="a dead letter")


def _print(letter: Letter, whole: dict[str, Any], now: int) -> None:
    print_facts(
        {
            "job": letter.job_id,
            "cause": letter.cause,
            "detail": letter.detail,
            "buried": around(moment(letter.buried_at), now),
            "buried_by_version": letter.version,
            "kind": letter.kind,
            "instance": letter.instance,
            "lane": letter.lane,
            "queue": letter.queue,
            "external_ref": letter.external_ref,
            "enqueued": around(moment(letter.enqueued_at), now),
            "attempts": letter.attempts,
            "replays": letter.replays,
        }
    )
    for event in happenings(tuple(whole["history"])):
        print_lines([f"  {event}"])
    if "raw" in whole:
        print_lines(["raw bytes:", f"  {whole['raw']}"])
    for name, value in (whole.get("job") or {}).items():
        if name == "fields" and isinstance(value, dict):
            print_lines([f"  fields.{custom} = {own}" for custom, own in value.items()])
        else:
            print_lines([f"  {name} = {value}"])
    click.echo()
