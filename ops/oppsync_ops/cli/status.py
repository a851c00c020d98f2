"""`oppsync status`: everything on one screen."""

from collections.abc import Mapping

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import DONE
from oppsync_ops.cli.output import Column, json_option, note, print_json, print_table
from oppsync_ops.jobs.moments import around, moment
from oppsync_ops.overview.broken import broken_keys
from oppsync_ops.overview.standing import Standing, read_standing

_MOST = 10
"""Instances listed per place; a screen has an end."""

_COLUMNS = (Column.of("place"), Column.of("jobs", right=True), Column.of("remark"))


@click.command()
@json_option
def status(*, as_json: bool) -> int:
    """Show how many jobs are where."""
    with connected() as client:
        standing = read_standing(client)
        broken = broken_keys(client)
    if as_json:
        print_json({**standing.as_dict(), "broken_keys": broken})
        return DONE
    print_table(_rows(standing), _COLUMNS)
    if standing.strays:
        told = ", ".join(f"{count} {word}" for word, count in sorted(standing.strays.items()))
        note(f"sweeps have found jobs in no place, or places without a job: {told} (see the runbook)")
    if standing.surplus:
        some = ", ".join(standing.surplus[:3])
        note(f"{len(standing.surplus)} creates made a record too many, or may have (`oppsync job show` tells): {some}")
    if standing.clock_ahead_ms:
        jump = f"{standing.clock_ahead_ms / 1000:.0f} s"
        note(f"Redis' clock jumped forward by {jump}: for an hour deadlines are judged without that; set it right")
    for sentence in broken:
        note(sentence)
    server = standing.server
    click.echo(
        f"\n{len(standing.workers)} workers alive" + (f": {', '.join(standing.workers)}" if standing.workers else "")
    )
    click.echo(f"{server['product']} {server['version']}, {server['role']}, {server['memory']} in use")
    for warning in server["warnings"]:
        note(warning)
    return DONE


def _rows(standing: Standing) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [{"place": queue, "jobs": jobs} for queue, jobs in standing.lanes.items()]
    silent = f"{standing.silent} of workers that fell silent" if standing.silent else None
    rows.append({"place": "with workers", "jobs": standing.claimed, "remark": silent})
    rows += _by_instance("waiting for a slot", standing.waiting)
    rows += _by_instance("held", {hold.instance: hold.held for hold in standing.holds if hold.held})
    for name, place in standing.places.items():
        word = "next" if name == "schedule" else "oldest"
        first = f"{word}: {around(moment(place.first), standing.now)}" if place.first else None
        if name == "in_doubt" and standing.undecided:
            first = f"{standing.undecided} wait for a person: `oppsync doubt list --mine`; {first}"
        rows.append({"place": name.replace("_", " "), "jobs": place.jobs, "remark": first})
    rows += [
        {"place": "on hold", "jobs": hold.held, "remark": f"{hold.instance}: {hold.cause}, {hold.note}"}
        for hold in standing.holds[:_MOST]
    ]
    return rows


def _by_instance(place: str, counts: Mapping[str, int]) -> list[dict[str, object]]:
    first = sorted(counts.items(), key=lambda pair: -pair[1])[:_MOST]
    remark = ", ".join(f"{instance} {number}" for instance, number in first)
    more = f", and {len(counts) - _MOST} more instances" if len(counts) > _MOST else ""
    return [{"place": place, "jobs": sum(counts.values()), "remark": (remark + more) or None}]
