"""`oppsync health`: for the health checks of containers. Kubernetes asks for `--live` and `--ready` apart.

Whether a worker lives is read from its beat, a file: an outage of Redis must not have workers killed in the middle of
their calls. So `--live` imports no Redis, and is answered within a fraction of a second.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import json_option, note, print_json
from oppsync_ops.health.checks import Health, living, why_not_live, why_not_ready
from oppsync_worker.observe import beat
from oppsync_worker.observe.beat import Beat, NoHealthFolder


@click.command("health")
@click.option("--live", "asks_live", is_flag=True, help="Whether a worker's event loop turns. Needs no Redis.")
@click.option("--ready", "asks_ready", is_flag=True, help="Whether a worker could deliver something now.")
@json_option
def health(*, asks_live: bool, asks_ready: bool, as_json: bool) -> int:
    """Say whether a worker of this machine is live, and whether it is ready: 0 for yes, 1 for no.

    Without options both must hold. Live: its event loop turned within 20 seconds. Ready: Redis answers, and a live
    worker is let claim jobs by it and knows an instance of which the credential was not refused.
    """
    both = asks_live == asks_ready
    told = _look(asks_live=asks_live or both, asks_ready=asks_ready or both)
    if as_json:
        print_json(told.as_dict())
    elif told.good:
        words = [word for word, holds in (("live", told.live), ("ready", told.ready)) if holds]
        click.echo(f"{' and '.join(words)}: {', '.join(worker['worker'] for worker in told.workers)}")
    else:
        for problem in told.problems:
            note(problem)
    if not as_json:
        for warning in told.warnings:
            note(f"warning: {warning}")
    return DONE if told.good else BAD_NEWS


def _look(*, asks_live: bool, asks_ready: bool) -> Health:
    given = os.environ.get("OPPSYNC_HEALTH_DIR", "").strip()
    folder = Path(given) if given else None
    try:
        beats = beat.read_all(folder)
    except NoHealthFolder as error:
        raise click.ClickException(str(error)) from None
    now = time.monotonic()
    alive = living(beats, now)
    dead = why_not_live(beats, now, place=str(beat.folder(folder)))
    problems = [dead] if dead else []
    warnings = list(dict.fromkeys(warning for one in alive for warning in one.warnings))
    if asks_ready:
        unready, unsafe = _unready(alive, now)
        problems += unready
        warnings += unsafe
    return Health(
        live=not dead if asks_live else None,
        ready=not problems if asks_ready else None,
        workers=[one.as_dict(now) for one in alive],
        problems=problems,
        warnings=warnings,
    )


def _unready(alive: Sequence[Beat], now: float) -> tuple[list[str], list[str]]:
    """Why not even one of the live workers is ready, nothing when one is; and what is unsafe about Redis."""
    # Not at the top: `--live` needs neither, and is asked for every few seconds.
    from oppsync_ops.cli.connection import connected  # noqa: PLC0415
    from oppsync_ops.overview.broken import broken_keys  # noqa: PLC0415
    from oppsync_ops.overview.holds import refused_instances  # noqa: PLC0415
    from oppsync_worker.ledger.connect import LedgerUnavailable  # noqa: PLC0415
    from oppsync_worker.ledger.durability import ask, weaknesses  # noqa: PLC0415

    try:
        with connected() as client:
            client.ping()
            refused = refused_instances(client)
            unsafe = [one.sentence for one in weaknesses(ask(client))] + broken_keys(client)
    except LedgerUnavailable as error:
        return [str(error)], []
    reasons = [why_not_ready(one, now, refused=refused) for one in alive]
    return [] if None in reasons else [reason for reason in reasons if reason], unsafe
