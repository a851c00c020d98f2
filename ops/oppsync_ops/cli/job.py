"""`oppsync job`: where a job is, why, what happened so far, what happens next and when."""

from typing import Final

import click

from oppsync_ops.cli.connection import connected, job_client
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import json_option, print_facts, print_json, print_lines
from oppsync_ops.cli.waiting import GOOD, tell, wait_for
from oppsync_ops.jobs.facts import look
from oppsync_ops.jobs.telling import as_dict, as_facts, happenings
from oppsync_worker.contract.states import State

BAD: Final = frozenset({State.UNKNOWN, State.DEAD, State.EXPIRED, State.DISCARDED})
"""States that make `show` exit with 1: the job is not there, or it ended without success."""


@click.group()
def job() -> None:
    """Explain jobs."""


@job.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@json_option
def show(*, job_ids: tuple[str, ...], as_json: bool) -> int:
    """Say everything there is to say of jobs, but what is in them.

    Exit code 1 when one of them is unknown, dead, discarded or expired.
    """
    with connected() as client:
        found = [look(client, job_id) for job_id in job_ids]
    if as_json:
        print_json([as_dict(facts) for facts in found])
    else:
        for facts in found:
            print_facts(as_facts(facts))
            if facts.history:
                click.echo("history")
                print_lines([f"  {line}" for line in happenings(facts.history)])
            click.echo()
    return BAD_NEWS if any(facts.outcome.state in BAD for facts in found) else DONE


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long.")
@json_option
def wait(*, job_id: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait until a job has ended; exit code 1 when it did not succeed, or not in time."""
    with job_client() as client:
        outcome = wait_for(client, job_id, timeout_s)
    if as_json:
        print_json(outcome.as_dict())
        return DONE if outcome.state in GOOD else BAD_NEWS
    return tell(outcome)
