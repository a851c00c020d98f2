"""Waiting for a job, and saying in one line what became of it."""

import click

from oppsync.client import JobClient
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import safe
from oppsync_worker.contract.outcomes import Outcome
from oppsync_worker.contract.states import State

GOOD = frozenset({State.SUCCEEDED, State.MERGED})
"""Ends that are no bad news; a merged update travelled inside the job it points to."""


def wait_for(client: JobClient, job_id: str, timeout_s: float | None) -> Outcome:
    """Wait until the job has ended.

    Raises:
        WaitTimeout: it has not in time; the text says where it is.
        UnknownJob: nobody knows it.
    """
    return client.wait(job_id, timeout_s=timeout_s)


def tell(outcome: Outcome) -> int:
    """Print an outcome, and give the exit code for it."""
    said = [outcome.state.value]
    if outcome.opportunity_id:
        said.append(f"opportunity {outcome.opportunity_id}")
    if outcome.points_to:
        said.append(f"see job {outcome.points_to}")
    if outcome.cause:
        said.append(": ".join(filter(None, [outcome.cause, outcome.detail])))
    click.echo(safe(", ".join(said)))
    return DONE if outcome.state in GOOD else BAD_NEWS
