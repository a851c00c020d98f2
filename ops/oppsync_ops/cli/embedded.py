"""`oppsync redis`: the embedded server, for a laptop or a demonstration."""

import os

import click

from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import json_option, note, print_facts, print_json
from oppsync_ops.embedded.home import Home
from oppsync_ops.embedded.server import OPEN, Embedded, find
from oppsync_ops.embedded.server import start as start_server
from oppsync_ops.embedded.server import stop as stop_server
from oppsync_worker.ledger.rights import ROLES
from oppsync_worker.ledger.rights import acl as acl_line


@click.group()
def redis() -> None:
    """The embedded Redis of this directory: its data is in .oppsync/redis, every write is on disk before it counts.

    It is used by every command that is run here, as long as REDIS_URL is not set. Only its owner can connect: the
    address with the password is in .oppsync/redis.url, and in what --json prints.
    """


@redis.command()
@json_option
def start(*, as_json: bool) -> int:
    """Start it, or find that it runs already. It goes on when this command ends."""
    server = start_server(Home.here())
    if os.environ.get("REDIS_URL", "").strip():
        note("REDIS_URL is set and comes first: unset it to use the embedded Redis")
    _show(server, as_json=as_json, state="started" if server.fresh else "running")
    return DONE


@redis.command()
@json_option
def stop(*, as_json: bool) -> int:
    """Stop it. Its data stays."""
    server = stop_server(Home.here())
    if as_json:
        print_json({"state": "stopped", "was_running": server is not None})
    else:
        click.echo("stopped" if server else "it was not running")
    return DONE


@redis.command()
@json_option
def status(*, as_json: bool) -> int:
    """Say whether it runs, and where; exit code 1 when it does not."""
    server = find(Home.here())
    if server is None:
        if as_json:
            print_json({"state": "stopped"})
        else:
            click.echo("not running")
        return BAD_NEWS
    _show(server, as_json=as_json, state="running")
    return DONE


@redis.command()
@click.argument("role", type=click.Choice(sorted(ROLES)))
@json_option
def acl(role: str, *, as_json: bool) -> int:
    """Print the ACL line that gives a Redis user the rights of ROLE, and no others. Change the password in it.

    It is made from what this version's scripts and clients use; run it again after an upgrade.
    """
    line = acl_line(ROLES[role], password="change-me")  # noqa: S106 - says that it is none
    if as_json:
        print_json({"role": role, "for": ROLES[role].what, "acl": line})
    else:
        click.echo(line)
    return DONE


def _show(server: Embedded, *, as_json: bool, state: str) -> None:
    if server.is_open:
        note(OPEN)
    facts = {
        "state": state,
        # A screen is looked at by others; a program that asks gets the password as well.
        "url": server.url if as_json else server.shown,
        "pid": server.pid,
        "server": server.product,
        "version": server.version,
        "memory": server.memory,
        "data": str(Home.here().data),
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
