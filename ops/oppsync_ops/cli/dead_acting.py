"""`oppsync dead replay` and `oppsync dead discard`: one letter at once, many after a rehearsal."""

import os
import shlex
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import click
from redis import Redis

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.dead_looking import COLUMNS, row
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.given import operator
from oppsync_ops.cli.letter_options import as_options, takes_filter
from oppsync_ops.cli.output import json_option, note, print_json, print_table
from oppsync_ops.cli.progress import Report, progress
from oppsync_ops.cli.retention import outcome_ttl_s
from oppsync_ops.jobs.entries import read
from oppsync_ops.jobs.moments import now_ms
from oppsync_ops.letters.acting import BATCH, Counts, PartlyDone, Stopped
from oppsync_ops.letters.discard import discard as discard_letters
from oppsync_ops.letters.filters import Filter, Selection, letters
from oppsync_ops.letters.mending import Mending
from oppsync_ops.letters.replay import rehearse
from oppsync_ops.letters.replay import replay as replay_letters
from oppsync_ops.processes import stoppable
from oppsync_worker.contract.states import State

Act = Callable[[Redis, Selection, Report], Counts]
Rehearse = Callable[[Redis, list[str]], Counts]

_all = click.option("--all", "everything", is_flag=True, help="Every dead letter, when no filter is given.")
_yes = click.option("--yes", is_flag=True, help="Do it to more than one letter; without it, say what would be done.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done, even to one letter.")


@click.command()
@takes_filter
@click.option("--set", "assignments", multiple=True, metavar="FIELD=VALUE", help="Mend a field first. Repeatable.")
@_all
@_yes
@_dry_run
@json_option
def replay(
    *, wanted: Filter, assignments: tuple[str, ...], everything: bool, yes: bool, dry_run: bool, as_json: bool
) -> int:
    """Send dead letters back to their lanes: same job id, attempt 1, the old outcome forgotten.

    One letter is replayed at once; of more than one the command says what it would do, and how to do it. With
    --set crm_column=131 or --set "fields.Exact name=text" the job is mended first, and refused if the contract does
    not take it; an empty value takes a field out.
    """
    mending = Mending.parse(assignments) if assignments else None
    by = operator()
    return _run(
        "replay",
        wanted,
        act=lambda client, chosen, report: replay_letters(
            client, chosen.job_ids, by=by, mending=mending, progress=report, seen=chosen.buried_at
        ),
        rehearsal=(lambda client, ids: rehearse(client, ids, mending)) if mending else None,
        extra=[part for text in assignments for part in ("--set", text)],
        everything=everything,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )


@click.command()
@takes_filter
@_all
@_yes
@_dry_run
@json_option
def discard(*, wanted: Filter, everything: bool, yes: bool, dry_run: bool, as_json: bool) -> int:
    """Drop dead letters for good: their messages are gone at once.

    One letter is discarded at once; of more than one the command says what it would do, and how to do it.
    """
    ttl_s, by = outcome_ttl_s(os.environ), operator()
    return _run(
        "discard",
        wanted,
        act=lambda client, chosen, report: discard_letters(
            client, chosen.job_ids, by=by, ttl_s=ttl_s, progress=report, seen=chosen.buried_at
        ),
        rehearsal=None,
        extra=[],
        everything=everything,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )


def _run(
    verb: str,
    wanted: Filter,
    *,
    act: Act,
    rehearsal: Rehearse | None,
    extra: list[str],
    everything: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    if wanted.is_everything and not everything:
        raise click.UsageError(f"say which letters: IDs, a filter such as --instance, or --all to {verb} every one")
    with connected(acting=True) as client:
        now = now_ms(client)
        selection = Selection.of(letters(client, wanted, now=now))
        refused = _not_dead(client, wanted, selection)
        if not selection.job_ids:
            return _nothing(refused, as_json=as_json)
        if dry_run or (len(selection.job_ids) > 1 and not yes):
            counts = rehearsal(client, selection.job_ids) if rehearsal else None
            command = shlex.join(["oppsync", "dead", verb, *as_options(wanted, now=now), *extra, "--yes"])
            _print_plan(verb, selection, counts, command, now, as_json=as_json)
            return DONE
        try:
            with stoppable(), progress(verb, len(selection.job_ids)) as report:
                counts = act(client, selection, report)
        except PartlyDone as error:
            _print_counts(verb, error.counts, as_json=as_json)
            raise
        except Stopped as stopped:
            _print_counts(verb, stopped.counts, as_json=as_json)
            note(f"stopped; up to {BATCH} more may have been done. To run the same command again is safe")
            raise
    counts.refused += refused
    _print_counts(verb, counts, as_json=as_json)
    return BAD_NEWS if counts.refused or not counts.done else DONE


def _not_dead(client: Redis, wanted: Filter, selection: Selection) -> Counter[str]:
    """States of the letters that were named and are no dead letters."""
    selected = set(selection.job_ids)
    missing = [job_id for job_id in wanted.job_ids if job_id not in selected]
    states = (entry.get("state", State.UNKNOWN.value) for entry in read(client, missing, ["state"]))
    return Counter(state for state in states if state != State.DEAD)


def _nothing(refused: Counter[str], *, as_json: bool) -> int:
    if as_json:
        print_json({"selected": 0, **Counts(refused=refused).as_dict()})
    else:
        said = "".join(f"; {count} named {state}" for state, count in refused.items())
        click.echo(f"no dead letter matches{said}")
    return BAD_NEWS


def _print_plan(
    verb: str, selection: Selection, counts: Counts | None, command: str, now: int, *, as_json: bool
) -> None:
    total = len(selection.job_ids)
    if as_json:
        plan: dict[str, Any] = {
            "dry_run": True,
            "selected": total,
            "tally": [
                {"instance": instance or None, "cause": cause, "letters": number}
                for (instance, cause), number in sorted(selection.tally.items())
            ],
            "sample": [letter.as_dict() for letter in selection.sample],
            "command": command,
        }
        print_json(plan | ({"mending": counts.as_dict()} if counts else {}))
        return
    print_table([row(letter, now) for letter in selection.sample], COLUMNS)
    if total > len(selection.sample):
        click.echo(f"... and {total - len(selection.sample)} more")
    click.echo()
    for (instance, cause), number in sorted(selection.tally.items()):
        click.echo(f"{number} of {instance or 'no instance'}, {cause}")
    if counts:
        click.echo(f"{counts.done} of them can be mended")
        _print_problems(counts)
    click.echo(f"nothing was done; to {verb} {'them' if total > 1 else 'it'}:\n\n  {command}\n")


def _print_counts(verb: str, counts: Counts, *, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": False, **counts.as_dict()})
        return
    click.echo(f"{counts.done} {'replayed' if verb == 'replay' else 'discarded'}")
    for why, number in sorted(counts.refused.items()):
        click.echo(f"{number} not: {_WHY_NOT.get(why, why)}")
    _print_problems(counts)


_WHY_NOT: Final = {
    "changed": "another letter by now: somebody else has had it sent again, and it died once more",
    "superseded": "newer updates of the record have written every field of it: discard it, or enqueue a new update",
    "unreadable": "raw bytes that never were a job: export or discard them",
}


def _print_problems(counts: Counts) -> None:
    for job_id, problem in counts.problems:
        note(f"{job_id}: {problem}")
