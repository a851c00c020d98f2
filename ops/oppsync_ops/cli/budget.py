"""`oppsync budget`: how fast an instance may go and why it does not go faster, and ending its pauses."""

from collections.abc import Callable
from typing import Final

import click

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.hold import InstanceName
from oppsync_ops.cli.output import Column, Row, json_option, note, print_json, print_table
from oppsync_ops.jobs.moments import around, iso, moment, now_ms
from oppsync_ops.overview.budgets import budgeted_instances, read_budgets
from oppsync_ops.overview.holds import read_hold
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import Call, run

_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
_instance = click.argument("instance", type=InstanceName())


def _pace(row: Row) -> str:
    if not row["announced"]:
        return "no worker has told it"
    return f"{row['requests']} / {row['window_seconds']:g} s" if row["requests"] else "no limit"


def _learned(row: Row) -> str | None:
    if row["learned_requests"] is None:
        return None
    said = f" (limite {row['learned_from_limit']})" if row["learned_from_limit"] is not None else ""
    return f"{row['learned_requests']}{said} until {row['learned_until']}"


def _remark(row: Row) -> str | None:
    told = {
        "learned": _learned(row),
        "cooling down until": row["cooling_down_until"],
        "failures in a row:": row["failures"],
        "rounds of refusals:": row["refusals"],
        "look-ups waiting:": row["look_ups_waiting"],
        "on hold:": row["hold"],
    }
    return "; ".join(f"{name} {value}" for name, value in told.items() if value) or None


# The last column is the one that a narrow terminal folds.
_COLUMNS: Final = (
    Column.of("instance"),
    Column("pace", _pace),
    Column.of("waiting", right=True),
    Column.of("in_flight", right=True),
    Column.of("breaker"),
    Column("remark", _remark),
)


@click.group()
def budget() -> None:
    """Requests an instance may get: its pace, what throttles taught, and its pauses."""


@budget.command()
@click.argument("instance", type=InstanceName(), required=False)
@json_option
def show(*, instance: str | None, as_json: bool) -> int:
    """Show the budget of one instance, or of all that a worker has ever told of."""
    with connected() as client:
        names = budgeted_instances(client)
        if instance is not None:
            if instance not in names:
                return _unknown(instance)
            names = [instance]
        now = now_ms(client)
        rows = [
            {"instance": name, **live.as_dict(now), "hold": hold.cause if (hold := read_hold(client, name)) else None}
            for name, live in zip(names, read_budgets(client, names, now=now), strict=True)
        ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows, _COLUMNS)
    else:
        click.echo("no worker has told of any instance yet")
    return DONE


@budget.command()
@_instance
@_dry_run
@json_option
def resume(*, instance: str, dry_run: bool, as_json: bool) -> int:
    """End the pauses of an instance: the cool-down after a throttle, and its breaker.

    What it may be sent in a window still holds. A hold is lifted by `oppsync hold release`.
    """

    def told(taken: dict[str, str], now: int) -> list[str]:
        ended = []
        if (until := int(float(taken.get("cool_until", 0)))) > now:
            ended.append(f"its cool-down until {around(moment(until), now)}")
        if "trips" in taken:
            ended.append(f"its breaker, opened {taken['trips']} times since it answered last")
        return ended

    return _change(
        operating.resume, told, instance, dry_run=dry_run, as_json=as_json, what="is not paused", did="ended"
    )


@budget.command()
@_instance
@_dry_run
@json_option
def forget(*, instance: str, dry_run: bool, as_json: bool) -> int:
    """Forget what throttles have taught of an instance's limit: it is sent what its settings say again."""

    def told(taken: dict[str, str], now: int) -> list[str]:
        del now
        return [f"the limit of {taken['learned']} requests that it was taught"] if "learned" in taken else []

    what = "has been taught no limit"
    return _change(operating.forget, told, instance, dry_run=dry_run, as_json=as_json, what=what, did="forgotten")


def _change(
    call: Callable[..., Call],
    told: Callable[[dict[str, str], int], list[str]],
    instance: str,
    *,
    dry_run: bool,
    as_json: bool,
    what: str,
    did: str,
) -> int:
    with connected() as client:
        taken = operating.taken_away(run(client, call(instance, dry_run=dry_run)))
        if taken is None:
            return _unknown(instance)
        now = now_ms(client)
        hold = read_hold(client, instance)
    changed = told(taken, now)
    if as_json:
        print_json({"instance": instance, "dry_run": dry_run, did: changed, "at": iso(moment(now))})
    elif changed:
        would = "would be " if dry_run else ""
        click.echo("\n".join(f"{instance}: {would}{did}: {one}" for one in changed))
    else:
        click.echo(f"{instance} {what}")
    if hold is not None and hold.is_set:
        note(f"it is on hold ({hold.cause}), and no job goes before `oppsync hold release {instance}`")
    return DONE


def _unknown(instance: str) -> int:
    note(f"no worker has ever told of an instance {instance!r}: see `oppsync budget show` for those that are known")
    return BAD_NEWS
