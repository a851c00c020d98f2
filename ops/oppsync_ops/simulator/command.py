"""``oppsync simulator``: serve a simulated SprintHub until told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from oppsync_ops.numbers_given import Number
from oppsync_ops.simulator.hosting import run


@click.command("simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--seed", default=1, show_default=True, help="Fixes ids, lead documents, latencies and fault draws.")
@click.option("--latency-ms", default=0.0, show_default=True, type=Number(min=0))
@click.option("--latency-jitter-ms", default=0.0, show_default=True, type=Number(min=0))
@click.option(
    "--throttle",
    default="50/30s",
    show_default=True,
    help="Rolling windows per instance: off, both, or such as 45/60s+100/120s.",
)
@click.option("--clock", default="real", show_default=True, help="real, a factor such as x10, or stepped.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="SPEC",
    help="A fault rule such as drop_after_commit:p=0.05,method=POST. Repeatable; the first that matches wins.",
)
@click.option("--set", "knobs", multiple=True, metavar="KNOB=VALUE", help="Turn any other knob. Repeatable.")
@click.option("--seed-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML seed file.")
@click.option(
    "--state-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read at start if it exists, written at the end.",
)
@click.option(
    "--log-level",
    default="warning",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
)
def simulator(
    *,
    host: str,
    port: int,
    seed: int,
    latency_ms: float,
    latency_jitter_ms: float,
    throttle: str,
    clock: str,
    faults: tuple[str, ...],
    knobs: tuple[str, ...],
    seed_file: Path | None,
    state_file: Path | None,
    log_level: str,
) -> None:
    """Serve a simulated SprintHub CRM: real HTTP, synthetic data, faults on demand.

    Prints one line of JSON with its URL when it is ready; SIGTERM or Ctrl-C ends it.
    """
    try:
        run(
            host=host,
            port=port,
            seed=seed,
            latency_ms=latency_ms,
            latency_jitter_ms=latency_jitter_ms,
            throttle=throttle,
            clock=clock,
            faults=faults,
            knobs=dict(_assignment(one) for one in knobs),
            seed_file=seed_file,
            state_path=state_file,
            log_level=log_level,
        )
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not KNOB=VALUE")
    return name.strip(), value.strip()
