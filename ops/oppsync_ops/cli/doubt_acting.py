"""`oppsync doubt look`, `adopt`, `resend` and `discard`: what a person does about doubts."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import click
from redis import Redis
from redis.exceptions import RedisError

from oppsync_ops.cli.connection import connected
from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.given import operator
from oppsync_ops.cli.output import json_option, note, print_json
from oppsync_ops.cli.retention import outcome_ttl_s
from oppsync_ops.jobs.doubts import Doubt, read_doubts, read_named
from oppsync_ops.jobs.entries import read
from oppsync_ops.processes import stoppable
from oppsync_worker.contract.fields import MAX_ID
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.outcomes import success
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import Call, run

MOST: Final = 100_000

_ids = click.argument("job_ids", nargs=-1, metavar="[ID...]")
_instance = click.option("--instance", help="All of this instance that wait for a person.")
_all = click.option("--all", "everything", is_flag=True, help="All that wait for a person.")
_yes = click.option("--yes", is_flag=True, help="Do it to more than one; without it, say what would be done.")


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@json_option
def look(*, job_ids: tuple[str, ...], as_json: bool) -> int:
    """Have workers look for the records again, now and then at growing distances, as after the send.

    Useful when the CRM could not tell before: its lists were refused, or too long.
    """
    by = operator()
    with connected(acting=True) as client:
        answers = [operating.word(run(client, operating.inquire(job_id, by=by))) for job_id in job_ids]
    return _tell(Counter(answers), "are looked for again", as_json=as_json)


@click.command()
@click.argument("job_id", metavar="ID")
@click.argument("record", type=click.IntRange(1, MAX_ID), metavar="RECORD")
@click.option("--though-taken", is_flag=True, help="Although another job is known to have made that record.")
@json_option
def adopt(*, job_id: str, record: int, though_taken: bool, as_json: bool) -> int:
    """Say that the job has made the record of the CRM with this id: it has succeeded, and its updates go on."""
    ttl_s = outcome_ttl_s(os.environ)
    with connected(acting=True) as client:
        doubts = read_named(client, [job_id])
        if not doubts:
            return _not_in_doubt(client, job_id, as_json=as_json)
        result = {**_outcome(doubts[0], record), "adopted": True}
        call = operating.adopt(
            job_id,
            opportunity_id=record,
            result=result,
            by=operator(),
            ttl_s=ttl_s,
            though_taken=though_taken,
            seen=doubts[0].since,
        )
        word, owner = operating.adopted(run(client, call))
    if as_json:
        print_json({"job_id": job_id, "adopted": word == State.IN_DOUBT, "answer": word, "owner": owner})
    elif word == State.IN_DOUBT:
        click.echo(f"{job_id} has made record {record}: it has succeeded")
    if word == "taken":
        note(f"record {record} was made by job {owner}: if it is this job's all the same, give --though-taken")
    elif word == "changed":
        note(
            f"{job_id} is another doubt meanwhile: it was sent once more, and may have made another record. Look again"
        )
    elif word != State.IN_DOUBT:
        note(f"{job_id} is {word} meanwhile")
    return DONE if word == State.IN_DOUBT else BAD_NEWS


@click.command()
@_ids
@_instance
@_all
@_yes
@click.option("--force", is_flag=True, help="Also those that workers still look for.")
@json_option
def resend(
    *, job_ids: tuple[str, ...], instance: str | None, everything: bool, yes: bool, force: bool, as_json: bool
) -> int:
    """Say that jobs have made no record: they are sent again, under the same id.

    If one has made a record after all, there will be two: look in SprintHub first. Those that workers still look for
    are left alone, unless --force is given; of more than one job the command says what it would do, and how to do it.
    """
    by = operator()
    return _act(
        "resend",
        job_ids,
        instance,
        everything=everything,
        yes=yes,
        as_json=as_json,
        allowed=lambda one: force or one.is_a_persons,
        call=lambda one: operating.resend(
            one.job_id, by=by, seen=(one.attempt, one.replays), is_a_persons=one.is_a_persons
        ),
        said="sent again",
        more=["--force"] if force else [],
    )


@click.command()
@_ids
@_instance
@_all
@_yes
@json_option
def discard(*, job_ids: tuple[str, ...], instance: str | None, everything: bool, yes: bool, as_json: bool) -> int:
    """Drop jobs for good, whatever has become of them in the CRM: their messages are gone at once."""
    by, ttl_s = operator(), outcome_ttl_s(os.environ)
    return _act(
        "discard",
        job_ids,
        instance,
        everything=everything,
        yes=yes,
        as_json=as_json,
        allowed=lambda _: True,
        call=lambda one: operating.discard(
            one.job_id, state=State.IN_DOUBT, by=by, ttl_s=ttl_s, seen=one.since, is_a_persons=one.is_a_persons
        ),
        said="discarded",
        more=[],
    )


def _act(
    verb: str,
    job_ids: Sequence[str],
    instance: str | None,
    *,
    everything: bool,
    yes: bool,
    as_json: bool,
    allowed: Callable[[Doubt], bool],
    call: Callable[[Doubt], Call],
    said: str,
    more: list[str],
) -> int:
    if not (job_ids or instance or everything):
        raise click.UsageError(
            f"say which doubts: IDs, --instance, or --all to {verb} every one that waits for a person"
        )
    with connected(acting=True) as client:
        found = _chosen(client, job_ids, instance)
        chosen = [one for one in found if allowed(one)]
        refused = Counter({"still looked for": len(found) - len(chosen)})
        missing = [job_id for job_id in job_ids if job_id not in {one.job_id for one in found}]
        refused += Counter(entry.get("state", State.UNKNOWN.value) for entry in read(client, missing, ["state"]))
        if len(chosen) > 1 and not yes:
            given = [*job_ids, *(["--instance", instance] if instance else []), *(["--all"] if everything else [])]
            return _plan(verb, chosen, refused, shlex.join(["oppsync", "doubt", verb, *given, *more, "--yes"]), as_json)
        answers: Counter[str] = Counter()
        try:
            with stoppable():
                for one in chosen:
                    answers[operating.word(run(client, call(one)))] += 1
        except (RedisError, KeyboardInterrupt):
            tried = answers.total()
            _tell(answers + refused, f"were {said}", as_json=as_json)
            note(f"stopped after {tried} of {len(chosen)}; one more may have been done. To run the same again is safe")
            raise
    return _tell(answers + refused, f"were {said}", as_json=as_json)


def _chosen(client: Redis, job_ids: Sequence[str], instance: str | None) -> list[Doubt]:
    if job_ids:
        found = read_named(client, list(dict.fromkeys(job_ids)))
        return [one for one in found if instance in (None, one.instance)]
    return read_doubts(client, instance=instance, most=MOST, persons_only=True)


def _plan(verb: str, chosen: list[Doubt], refused: Counter[str], command: str, as_json: bool) -> int:  # noqa: FBT001
    if as_json:
        print_json({"dry_run": True, "selected": len(chosen), "refused": dict(+refused), "command": command})
    else:
        click.echo(f"{len(chosen)} jobs; nothing was done. To {verb} them:\n\n  {command}\n")
        _print_refused(refused)
    return DONE


def _tell(answers: Counter[str], said: str, *, as_json: bool) -> int:
    done = answers.pop(State.IN_DOUBT.value, 0)
    if as_json:
        print_json({"done": done, "refused": dict(+answers)})
    else:
        click.echo(f"{done} {said}")
        _print_refused(answers)
    return DONE if done and not +answers else BAD_NEWS


def _print_refused(refused: Counter[str]) -> None:
    for word, count in sorted((+refused).items()):
        note(f"{count} not: {word}")


def _not_in_doubt(client: Redis, job_id: str, *, as_json: bool) -> int:
    (entry,) = read(client, [job_id], ["state"])
    state = entry.get("state", State.UNKNOWN.value)
    if as_json:
        print_json({"job_id": job_id, "adopted": False, "answer": state, "owner": None})
    note(f"{job_id} is not in doubt, but {state}")
    return BAD_NEWS


def _outcome(one: Doubt, record: int) -> dict[str, Any]:
    kept = next((seen for seen in one.sightings if seen.get("id") == record), {})
    shown = {name: value for name, value in kept.items() if name not in ("grade", "marker", "same")}
    return success(
        job_id=one.job_id,
        kind=Kind.CREATE.value,
        instance=one.instance or "",
        opportunity_id=record,
        attempts=one.attempt,
        replays=one.replays,
        record={"id": record, **shown},
    )
