"""`oppsync hold`: keeping an instance's jobs, and letting them go."""

from typing import Final

import click
from pydantic import TypeAdapter, ValidationError

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.given import operator
from oppsync_ops.cli.output import Column, json_option, note, print_json, print_table
from oppsync_ops.jobs.moments import around, moment, now_ms
from oppsync_ops.overview.holds import NO_WORKER, read_hold, read_holds
from oppsync_worker.contract.fields import Instance
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import run

CAUSE: Final = "operator"
"""The cause of a hold that a person has set; a new credential does not lift it."""

_COLUMNS: Final = (
    Column.of("instance"),
    Column.of("cause"),
    Column.of("when", "since"),
    Column.of("held", "jobs held", right=True),
    Column.of("note"),
)


class InstanceName(click.ParamType[str]):
    """The name of an instance, which need not be configured here."""

    name = "instance"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check its form."""
        try:
            return TypeAdapter[str](Instance).validate_python(value)
        except ValidationError:
            self.fail("is not an instance's name: the sub-domain of its address", param, ctx)


@click.group()
def hold() -> None:
    """Instances on hold: their jobs are kept and none is sent, until the hold is released."""


@hold.command("list")
@json_option
def list_holds(*, as_json: bool) -> int:
    """List instances on hold, and instances of which jobs are held because no worker knows them."""
    with connected() as client:
        now = now_ms(client)
        found = read_holds(client)
    if as_json:
        print_json([one.as_dict() for one in found])
    elif found:
        print_table([{**one.as_dict(), "when": around(moment(one.since), now)} for one in found], _COLUMNS)
    else:
        click.echo("no instance is on hold")
    return DONE


@hold.command("set")
@click.argument("instance", type=InstanceName())
@click.option("--note", "why", default="", help="Why, for those who find it.")
def set_hold(*, instance: str, why: str) -> int:
    """Put an instance on hold. Calls in flight end as they will."""
    said = f"{why} ({operator()})" if why else f"set by {operator()}"
    with connected(acting=True) as client:
        fresh = run(client, operating.hold(instance, cause=CAUSE, note=said))
    click.echo(f"{instance} is on hold" + ("" if fresh else "; it was before, and now with this note"))
    return DONE


@hold.command()
@click.argument("instance", type=InstanceName())
def release(*, instance: str) -> int:
    """Lift the hold of an instance; exit code 1 when there is none."""
    with connected(acting=True) as client:
        held = int(run(client, operating.unhold(instance)))
        left = read_hold(client, instance) if held < 0 else None
    if held >= 0:
        click.echo(f"{instance} is released; {held} held jobs go on")
        return DONE
    click.echo(f"{instance} is not on hold")
    if left and left.cause == NO_WORKER:
        note(f"{left.held} of its jobs wait for a worker that has settings for it: there is nothing to release")
    return BAD_NEWS
