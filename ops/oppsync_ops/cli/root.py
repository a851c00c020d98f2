"""The command's root: what there is below it, and the one place where errors become words and exit codes."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from oppsync_ops.cli.failures import DONE, report
from oppsync_ops.cli.lazy import Lazy, LazyGroup


class Root(LazyGroup):
    """The outermost group: nothing that goes wrong below it ends in a traceback, unless one is asked for."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's own signature
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002
        **extra: Any,
    ) -> Any:
        """Run, flush, and exit with the command's code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        del windows_expand_args
        try:
            answer = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
            code = answer if isinstance(answer, int) else DONE
        except Exception as error:  # noqa: BLE001 - the outermost rim
            code = report(error)
            if isinstance(error, BrokenPipeError):
                _close_quietly()
        sys.exit(code)


def _close_quietly() -> None:
    # Whoever read our output has left; the interpreter must not complain about what is still unwritten.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.command(
    cls=Root,
    lazy={
        "worker": Lazy("oppsync_ops.cli.worker:worker", "Deliver jobs to the CRM."),
        "redis": Lazy("oppsync_ops.cli.embedded:redis", "The embedded Redis of this directory."),
        "enqueue": Lazy("oppsync_ops.cli.enqueue:enqueue", "Hand over jobs: one, or a file of them."),
        "job": Lazy("oppsync_ops.cli.job:job", "Explain a job, or wait for it."),
        "status": Lazy("oppsync_ops.cli.status:status", "Everything on one screen."),
        "instances": Lazy("oppsync_ops.cli.instances:instances", "Configured instances and their budgets."),
        "dead": Lazy("oppsync_ops.cli.dead:dead", "Dead letters: look, replay, discard, export."),
        "doubt": Lazy("oppsync_ops.cli.doubt:doubt", "Creates whose answer was lost."),
        "hold": Lazy("oppsync_ops.cli.hold:hold", "Pause an instance, or let it go on."),
        "budget": Lazy("oppsync_ops.cli.budget:budget", "Pace and pauses of an instance; end a pause."),
        "health": Lazy("oppsync_ops.health.command:health", "Whether this machine's worker is live, and ready."),
        "bench": Lazy("oppsync_ops.bench.command:bench", "Measure: latency, memory, throughput, budget."),
        "prove": Lazy("oppsync_ops.prove.command:prove", "Prove it: a run under every fault, audited at the CRM."),
        "simulator": Lazy("oppsync_ops.simulator.command:simulator", "A simulated SprintHub to work against."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="opportunity-sync", prog_name="oppsync", message="%(prog)s %(version)s")
def oppsync() -> None:
    """Create and update SprintHub opportunities by jobs: enqueue them, deliver them, find out what became of them.

    Redis is looked for at REDIS_URL, then at the address that `oppsync redis start` left below this directory.
    Exit codes: 0 done, 1 it ran and the answer is bad news, 2 used wrongly. OPPSYNC_DEBUG=1 shows tracebacks.
    """
