"""`oppsync health`: for a container's health check.

A worker gives a sign of life from the loop that its jobs run on, through the Redis that its jobs are in: the sign
stands for both. It is looked for under this machine's name, so a container finds its own worker only.
"""

import socket

import click
import redis

from oppsync_worker.ledger.connect import LedgerError, connection_options, explain, redis_url
from oppsync_worker.ledger.presence import alive


@click.command("health")
def health() -> None:
    """Exit with 0 when a worker of this machine gave a sign of life within 20 seconds, else with 1."""
    try:
        with redis.Redis.from_url(redis_url(), **connection_options()) as client:
            found = [name for name in alive(client) if name.startswith(f"{socket.gethostname()}:")]
    except redis.RedisError as error:
        raise click.ClickException(explain(error)) from None
    except LedgerError as error:
        raise click.ClickException(str(error)) from None
    if not found:
        raise click.ClickException("no worker of this machine has given a sign of life")
    click.echo(f"{len(found)} alive")
