"""`oppsync doubt list` and `oppsync doubt show`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import DONE
from oppsync_ops.cli.output import Column, json_option, note, print_facts, print_json, print_lines, print_table
from oppsync_ops.cli.showing import in_full, tell_missing
from oppsync_ops.jobs.doubts import Doubt, read_doubts, read_named
from oppsync_ops.jobs.moments import around, moment, now_ms, span
from oppsync_ops.jobs.telling import happenings
from oppsync_ops.numbers_given import MOST

LISTED: Final = 100
SIDE_BY_SIDE: Final = 4
"""Records that fit beside the job on a screen."""

_COLUMNS: Final = (
    Column.of("job_id", "id"),
    Column.of("instance"),
    Column.of("age", "for", right=True),
    Column.of("attempt", right=True),
    Column.of("absences", "absent before", right=True),
    Column.of("external_ref", "external ref"),
    Column.of("next", "next"),
    Column.of("why"),
)

_COMPARED: Final = (
    # What it is called, the record's field, the job's field, and what was compared.
    ("title", None, "title", "title"),
    ("value", "value", "value", "value"),
    ("column", "crm_column", "crm_column", "column"),
    ("lead", "lead_id", "lead_id", "lead"),
    ("user", "user", "user", "user"),
    ("status", "status", "status", None),
    ("created", "createDate", None, None),
)


@click.command("list")
@click.option("--instance", help="Only those of this instance.")
@click.option("--mine", is_flag=True, help="Only those that wait for a person.")
@click.option("--limit", type=click.IntRange(1, MOST), default=LISTED, show_default=True)
@json_option
def list_doubts(*, instance: str | None, mine: bool, limit: int, as_json: bool) -> int:
    """List creates in doubt, oldest first."""
    with connected() as client:
        now = now_ms(client)
        found = read_doubts(client, instance=instance, most=limit + 1, persons_only=mine)
    shown = found[:limit]
    if as_json:
        print_json([one.as_dict() for one in shown])
    elif shown:
        print_table([_row(one, now) for one in shown], _COLUMNS)
    else:
        click.echo("no create waits for a person" if mine else "no create is in doubt")
    if len(found) > limit:
        note(f"there are more than these {limit}: give --limit")
    return DONE


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reveal", is_flag=True, help="Show titles and custom fields.")
@json_option
def show(*, job_ids: tuple[str, ...], reveal: bool, as_json: bool) -> int:
    """Show doubts: what happened, and the job beside the records that may be it.

    Of a record only ids, amounts, times and what agrees are known here; open it in SprintHub for the rest. What may be
    personal in the job is masked unless --reveal is given.
    """
    with connected() as client:
        now = now_ms(client)
        found = read_named(client, job_ids)
        wholes = in_full(client, found, reveal=reveal)
    if as_json:
        print_json(wholes)
    for one, whole in zip(found, wholes, strict=True):
        if not as_json:
            _print(one, whole, now)
    return tell_missing(job_ids, found, what="in doubt")


def _row(one: Doubt, now: int) -> dict[str, Any]:
    step = "a person decides" if one.next_look is None else f"a look in {span(max(0, one.next_look - now))}"
    why = ": ".join(filter(None, (one.cause, one.detail)))
    return {**one.as_dict(), "age": span(now - one.since), "next": step, "why": why}


def _print(one: Doubt, whole: Mapping[str, Any], now: int) -> None:
    waits = "nothing by itself: somebody decides" if one.is_a_persons else "workers look for it in the CRM"
    print_facts(
        {
            "job": one.job_id,
            "instance": one.instance,
            "why": ": ".join(filter(None, (one.cause, one.detail))),
            "in_doubt": around(moment(one.since), now),
            "sent": around(moment(one.sent_at), now),
            "attempt": one.attempt,
            "proved_absent_before": one.absences or None,
            "external_ref": one.external_ref,
            "next": waits,
            "when": around(moment(one.next_look), now),
        }
    )
    for event in happenings(tuple(whole["history"])):
        print_lines([f"  {event}"])
    click.echo()
    print_table(*side_by_side(whole.get("job") or {}, one.sightings, sent=around(moment(one.sent_at), now)))
    if len(one.sightings) > SIDE_BY_SIDE:
        note(f"{len(one.sightings) - SIDE_BY_SIDE} more records may be it: --json shows them")
    if one.is_a_persons:
        click.echo(f"\n  oppsync doubt adopt {one.job_id} RECORD     it is this record of the CRM")
        click.echo(f"  oppsync doubt resend {one.job_id}           it is none of them, and must go again")
    click.echo()


def side_by_side(
    job: Mapping[str, Any], sightings: Sequence[Mapping[str, Any]], *, sent: str | None
) -> tuple[list[dict[str, object]], tuple[Column, ...]]:
    """A table with a column for the job and one for each record."""
    shown = sightings[:SIDE_BY_SIDE]
    columns = [Column.of("field", ""), Column.of("job")]
    columns += [Column.of(f"record {number}", f"record {one.get('id')}") for number, one in enumerate(shown)]
    rows: list[dict[str, object]] = [{"field": "marker", "job": "its id"}, {"field": "verdict", "job": None}]
    for number, one in enumerate(shown):
        rows[0][f"record {number}"] = one.get("marker")
        rows[1][f"record {number}"] = one.get("grade")
    for name, theirs, ours, compared in _COMPARED:
        row: dict[str, object] = {"field": name, "job": sent if name == "created" else job.get(ours or "")}
        for number, one in enumerate(shown):
            same = (one.get("same") or {}).get(compared or "")
            told = {True: "same", False: "different", None: None}[same]
            value = one.get(theirs) if theirs else None
            row[f"record {number}"] = " ".join(str(part) for part in (value, told) if part is not None) or None
        rows.append(row)
    return rows, tuple(columns)
