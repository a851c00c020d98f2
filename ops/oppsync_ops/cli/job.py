"""`oppsync job`: where a job is, why, what happened so far, what happens next and when; and dropping one."""

import os
from collections import Counter
from typing import Final

import click

from oppsync_ops.cli.connection import connected, job_client
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.given import operator
from oppsync_ops.cli.output import json_option, note, print_facts, print_json, print_lines
from oppsync_ops.cli.retention import outcome_ttl_s
from oppsync_ops.cli.waiting import GOOD, tell, wait_for
from oppsync_ops.jobs.entries import read
from oppsync_ops.jobs.facts import look
from oppsync_ops.jobs.telling import as_dict, as_facts, happenings
from oppsync_ops.numbers_given import Number
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import run

BAD: Final = frozenset({State.UNKNOWN, State.DEAD, State.EXPIRED, State.DISCARDED})
"""States that make `show` exit with 1: the job is not there, or it ended without success."""


DROPPABLE: Final = frozenset({State.SCHEDULED, State.WAITING, State.HELD, State.BLOCKED, State.IN_DOUBT, State.DEAD})
"""States in which a job is in nobody's hands."""


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
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do it to more than one job; without it, say what would be done.")
@json_option
def discard(*, job_ids: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Drop jobs that wait for something: scheduled, waiting, held, blocked, in doubt or dead.

    A job that is queued or being sent is with a worker, or about to be, and is left alone.
    """
    ttl_s, by = outcome_ttl_s(os.environ), operator()
    with connected() as client:
        entries = read(client, job_ids, ["state", "since"])
        states = [State(entry.get("state", State.UNKNOWN)) for entry in entries]
        found = zip(job_ids, states, entries, strict=True)
        chosen = [(job_id, state, int(entry.get("since") or 0)) for job_id, state, entry in found if state in DROPPABLE]
        refused = Counter(state.value for state in states if state not in DROPPABLE)
        doing = len(chosen) == 1 or yes
        done = 0
        for job_id, state, since in chosen if doing else []:
            was = operating.word(run(client, operating.discard(job_id, state=state, by=by, ttl_s=ttl_s, seen=since)))
            done += was == state
            refused += Counter() if was == state else Counter([was])
    if as_json:
        print_json({"dry_run": not doing, "selected": len(chosen), "done": done, "refused": dict(refused)})
    elif doing:
        click.echo(f"{done} discarded")
    else:
        click.echo(f"{len(chosen)} jobs; nothing was done. To discard them, add --yes")
    for word, count in sorted(refused.items()):
        note(f"{count} not: {word}")
    return BAD_NEWS if refused else DONE


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--timeout", "timeout_s", type=Number(min=0), metavar="SECONDS", help="Give up after so long.")
@json_option
def wait(*, job_id: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait until a job has ended; exit code 1 when it did not succeed, or not in time.

    An id that nobody knows is given up after ten seconds.
    """
    with job_client() as client:
        outcome = wait_for(client, job_id, timeout_s)
    if as_json:
        print_json(outcome.as_dict())
        return DONE if outcome.state in GOOD else BAD_NEWS
    return tell(outcome)
