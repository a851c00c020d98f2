"""`oppsync worker`: Celery's own worker, with the flags that this system needs, in this process."""

import os
from collections.abc import Sequence

import click

from oppsync_ops.cli.output import note
from oppsync_worker.contract.names import Lane
from oppsync_worker.settings import Settings

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Queues(click.ParamType[str]):
    """Lanes by name, separated by commas."""

    name = "lanes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The names of the lanes' queues. Whatever their order, interactive goes first."""
        names = [name.strip() for name in str(value).split(",") if name.strip()]
        lanes = {lane.value: lane for lane in Lane} | {lane.queue: lane for lane in Lane}
        unknown = [name for name in names if name not in lanes]
        if unknown or not names:
            self.fail(f"must name lanes out of {', '.join(lane.value for lane in Lane)}", param, ctx)
        return ",".join(dict.fromkeys(lanes[name].queue for name in names))


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 5_000), help="Calls in flight at once in this process.")
@click.option("--queues", type=Queues(), help="Lanes to serve, such as interactive,bulk (the default: both).")
@click.option("--name", help="Name of this worker, where several run on one host; %h is the host's name.")
@click.option("--log", type=click.Choice(["auto", "json", "text"]), help="Form of the log; auto: text on a terminal.")
@click.option("--level", type=click.Choice(LEVELS, case_sensitive=False), help="Least severe level that is logged.")
def worker(
    *, concurrency: int | None, queues: str | None, name: str | None, log: str | None, level: str | None
) -> None:
    """Deliver jobs until told to stop. SIGTERM and Ctrl-C let calls in flight end.

    Without REDIS_URL the embedded Redis of this directory is used, and started if need be.
    """
    given = {"OPPSYNC_CONCURRENCY": concurrency, "OPPSYNC_LOG": log, "OPPSYNC_LOG_LEVEL": level}
    os.environ.update({variable: str(value) for variable, value in given.items() if value is not None})
    # Before Celery, which would bury wrong settings in a traceback.
    settings = Settings.from_environ(os.environ)
    if not os.environ.get("REDIS_URL", "").strip():
        os.environ["REDIS_URL"] = _embedded_url()
    celery_main(arguments(concurrency=concurrency, queues=queues, name=name, level=settings.log_level))


def arguments(*, concurrency: int | None, queues: str | None, name: str | None, level: str) -> list[str]:
    """What `celery` is called with.

    Gossip, mingle and heartbeats are chatter between workers; ours meet in the ledger, which also notices a lost one.
    """
    flags = ["--app", "oppsync_worker.app", "worker", "--loglevel", level]
    flags += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    for option, value in (("--concurrency", concurrency), ("--queues", queues), ("--hostname", name)):
        if value is not None:
            flags += [option, str(value)]
    return flags


def celery_main(args: Sequence[str]) -> None:
    """Run Celery's command in this process; it exits with its own code."""
    from celery.bin.celery import celery  # noqa: PLC0415 - slow to import, and it changes click's messages

    celery.main(args=list(args), prog_name="celery", auto_envvar_prefix="CELERY")


def _embedded_url() -> str:
    from oppsync_ops.embedded.home import Home  # noqa: PLC0415 - only where there is no REDIS_URL
    from oppsync_ops.embedded.server import OPEN, start  # noqa: PLC0415

    server = start(Home.here())
    note(f"REDIS_URL is not set: using the embedded Redis at {server.shown}")
    if server.is_open:
        note(OPEN)
    return server.url
