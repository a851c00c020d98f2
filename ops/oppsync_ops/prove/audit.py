"""Holding the CRM against the plan: every promise is a check, and every check can fail. Pure: no clock, no I/O.

| check | breached by |
|---|---|
| lost | a job that nobody knows, or of which something is told that the CRM shows otherwise |
| doubled | a second record of one create, or a record that nobody asked for |
| customers told twice | a second welcome message of one create |
| wrong final value | a part of a record that does not show the newest update of it |
| wrong order | an update applied after a newer one of its record |
| over budget | a request too many in some window |
| throttled | a throttle that no fault of the plan made |
| unresolved doubt | a create of which nobody knows whether it was carried out |
| stuck | a job that is at no end, though nothing moves any more |
| waited for a neighbour | quiet jobs that took longer than on an idle system, or waited for another job's refusal |
| buried without need | a dead letter of a job that should have succeeded |
| not buried | a job that should be a dead letter, and is none |
| never handed over | a job, or a queue element, of the plan that nobody was given, although nothing stood against it |
| poison | a queue element without a dead letter, or a dead letter of nobody's |
| in no place | what the sweep of the ledger had to put right |
| worker exits | a worker that ended, or would not end, unasked |
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from oppsync_ops.prove import order, values, waits
from oppsync_ops.prove.evidence import Evidence
from oppsync_ops.prove.planned import MAY_SUCCEED, Fate
from oppsync_ops.spread import excess
from oppsync_worker.contract.states import Cause, State

THROTTLED: Final = (401, 429)
ENDS_BADLY: Final = {
    Fate.SUCCEEDED: frozenset({State.DEAD, State.DISCARDED, State.EXPIRED}),
    Fate.LATE: frozenset({State.DEAD, State.DISCARDED}),
    Fate.REFUSED_ALONE: frozenset({State.DISCARDED, State.EXPIRED}),
}
MADE_NOTHING: Final = frozenset({State.DEAD, State.DISCARDED, State.EXPIRED})
"""Ends of which everybody believes that the CRM has no record of the create."""
OUR_FAULT: Final = frozenset({Cause.INTERNAL, Cause.LOST, Cause.POISON, Cause.UNDECODABLE, Cause.MALFORMED})
"""Causes for which no job that the CRM refuses may die."""
FATES: Final = {Fate.REFUSED: Cause.REJECTED, Fate.POISON: Cause.POISON}


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was not kept: whom it concerns, and what is wrong."""

    subject: str
    says: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found by every check, by its name; what waits for a person, and for which reason."""

    breaches: Mapping[str, tuple[Breach, ...]]
    waiting_for_a_person: Mapping[str, tuple[str, ...]]

    @property
    def total(self) -> int:
        """Breaches of all kinds."""
        return sum(map(len, self.breaches.values()))


Check = Callable[[Evidence], Iterator[Breach]]


def audit(evidence: Evidence) -> Audit:
    """Make every check."""
    breaches = {name: tuple(check(evidence)) for name, check in CHECKS.items()}
    return Audit(breaches, _for_a_person(evidence))


def lost(evidence: Evidence) -> Iterator[Breach]:
    """Accounted for, and carried out where that is claimed."""
    made_by = {record.made_by: record for record in evidence.records if record.made_by}
    for job_id, job in evidence.jobs.items():
        seen = evidence.seen.get(job_id)
        if seen is None or seen.state is State.UNKNOWN:
            there = "the CRM has it" if job_id in made_by else "the CRM shows nothing of it"
            yield Breach(job_id, f"nobody knows it; {there}" if job.creates else "nobody knows it")
        elif seen.state is State.MERGED and job.creates:
            yield Breach(job_id, "merged, and no create travels inside another job")
        elif seen.state in MADE_NOTHING and job_id in made_by:
            yield Breach(job_id, f"{seen.state}, but it has made record {made_by[job_id].opportunity_id}")
        elif seen.state is State.SUCCEEDED and job.creates:
            record = made_by.get(job_id)
            if record is None:
                yield Breach(job_id, "succeeded, but no record in the CRM bears its mark")
            elif not any(
                one.made_by == job_id and one.opportunity_id == seen.opportunity_id for one in evidence.records
            ):
                yield Breach(job_id, f"succeeded as record {seen.opportunity_id}, which is not the one it made")
    yield from (Breach(job_id, says) for job_id, says in values.without_effect(evidence))


def doubled(evidence: Evidence) -> Iterator[Breach]:
    """One record for each create, and none besides."""
    records: dict[str, list[int]] = {}
    for record in evidence.records:
        job = evidence.jobs.get(record.made_by or "")
        if job is None or not job.creates or job.fate not in MAY_SUCCEED:
            yield Breach(f"record {record.opportunity_id} of {record.instance}", f"made by {record.made_by}, unplanned")
        else:
            records.setdefault(job.job_id, []).append(record.opportunity_id)
    for job_id, ids in records.items():
        if len(ids) > 1:
            yield Breach(job_id, f"is in the CRM {len(ids)} times: {', '.join(map(str, ids))}")


def told_twice(evidence: Evidence) -> Iterator[Breach]:
    """What a double means to the customer."""
    for job_id, times in Counter(evidence.messages).items():
        if times > 1:
            yield Breach(job_id, f"{times} welcome messages were sent")


def wrong_values(evidence: Evidence) -> Iterator[Breach]:
    """What every record should show in the end."""
    yield from (Breach(record, says) for record, says in values.wrong(evidence))


def wrong_order(evidence: Evidence) -> Iterator[Breach]:
    """In the order in which they were handed over."""
    yield from (Breach(record, says) for record, says in order.wrong(evidence.records))


def over_budget(evidence: Evidence) -> Iterator[Breach]:
    """No window with a request too many, wherever it begins."""
    for instance, allowance in evidence.budgets.items():
        times = [one.at for one in evidence.requests if one.instance == instance]
        beyond = excess(times, allowance.window_s, allowance.requests)
        for at, count in beyond:
            yield Breach(instance, f"{count} requests in {allowance.window_s:g} s at {at:.3f}, of {allowance.requests}")


def throttled(evidence: Evidence) -> Iterator[Breach]:
    """By the CRM's own counting, not by a fault of the plan."""
    for one in evidence.requests:
        if one.status in THROTTLED and one.fault is None:
            yield Breach(one.instance, f"{one.method} {one.path} was throttled at {one.at:.3f}")


def doubts(evidence: Evidence) -> Iterator[Breach]:
    """Where the needs are met, nothing is left to a person."""
    if evidence.needs_met:
        for job_id in _in_doubt(evidence):
            seen = evidence.seen[job_id]
            yield Breach(job_id, f"in doubt: {seen.cause}, {seen.detail}")


def stuck(evidence: Evidence) -> Iterator[Breach]:
    """At no end, and not waiting for a person, nor for a create that does."""
    excused = {job_id for job_ids in _for_a_person(evidence).values() for job_id in job_ids}
    for job_id in evidence.jobs:
        seen = evidence.seen.get(job_id)
        if seen and seen.state is not State.UNKNOWN and not seen.state.is_terminal and job_id not in excused:
            yield Breach(job_id, " ".join(filter(None, [f"{seen.state}:", seen.cause, seen.detail])))


def buried_without_need(evidence: Evidence) -> Iterator[Breach]:
    """Nothing in the plan but its own bad jobs has to die."""
    for job_id, job in evidence.jobs.items():
        seen = evidence.seen.get(job_id)
        if seen and seen.state in ENDS_BADLY.get(job.fate, frozenset()):
            yield Breach(job_id, f"{seen.state} as {seen.cause}: {seen.detail}")


def not_buried(evidence: Evidence) -> Iterator[Breach]:
    """The bad jobs of the plan."""
    for job_id, job in evidence.jobs.items():
        seen, cause = evidence.seen.get(job_id), FATES.get(job.fate)
        if seen and cause and seen.state.is_terminal and (seen.state is not State.DEAD or seen.cause != cause):
            yield Breach(job_id, f"{seen.state} as {seen.cause}; it should be dead as {cause}")
        if seen and job.fate is Fate.REFUSED_ALONE and seen.cause in OUR_FAULT:
            yield Breach(job_id, f"{seen.state} as {seen.cause}; the CRM refuses it")


def waited(evidence: Evidence) -> Iterator[Breach]:
    """Nobody waits for a neighbour: neither another instance, nor the jobs behind one that is refused alone."""
    yield from (Breach(whom, says) for whom, says in waits.too_long(evidence.waiting))
    if evidence.lifted_at is not None:
        yield from (Breach(job, says) for job, says in waits.held_up(evidence.held_up, evidence.lifted_at))


def poison(evidence: Evidence) -> Iterator[Breach]:
    """A dead letter with its bytes for each, and none besides."""
    for name in evidence.poison:
        if name not in evidence.buried:
            yield Breach(name, "is no dead letter")
    for name in evidence.strangers:
        yield Breach(name, "is a dead letter that nobody sent")


def never_handed_over(evidence: Evidence) -> Iterator[Breach]:
    """What was not tried proves nothing. Updates wait for their create's id: one that has none is told of by itself."""
    for job in evidence.withheld:
        if job.creates or _state(evidence, job.first_id) is State.SUCCEEDED:
            yield Breach(job.job_id, "was planned, and never handed over")
    for name in evidence.kept_back:
        yield Breach(name, "was planned, and never handed over")


def in_no_place(evidence: Evidence) -> Iterator[Breach]:
    """A sweep that finds something has covered up what a script left behind."""
    for word, count in evidence.strays.items():
        yield Breach("the ledger", f"put right by the sweep, {count} times: {word}")


def exits(evidence: Evidence) -> Iterator[Breach]:
    """A worker survives everything but a SIGKILL."""
    for says in evidence.exits:
        yield Breach(says.split(maxsplit=1)[0], says)


CHECKS: Final[Mapping[str, Check]] = {
    "lost": lost,
    "doubled": doubled,
    "customers told twice": told_twice,
    "wrong final value": wrong_values,
    "wrong order": wrong_order,
    "over budget": over_budget,
    "throttled": throttled,
    "unresolved doubt": doubts,
    "stuck": stuck,
    "waited for a neighbour": waited,
    "buried without need": buried_without_need,
    "not buried": not_buried,
    "never handed over": never_handed_over,
    "poison": poison,
    "in no place": in_no_place,
    "worker exits": exits,
}


def _for_a_person(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """What only a person can set going again: doubts and dead creates, and the updates that wait behind them."""
    return {
        "creates in doubt": tuple(_in_doubt(evidence)),
        "updates behind a create in doubt": tuple(_behind(evidence, State.IN_DOUBT)),
        "updates behind a dead create": tuple(_behind(evidence, State.DEAD)),
    }


def _in_doubt(evidence: Evidence) -> list[str]:
    return [job_id for job_id in evidence.jobs if _state(evidence, job_id) is State.IN_DOUBT]


def _behind(evidence: Evidence, state: State) -> Iterator[str]:
    """Updates that are blocked, and whose create is in that state."""
    records = {job.record for job_id, job in evidence.jobs.items() if job.creates and _state(evidence, job_id) is state}
    for job_id, job in evidence.jobs.items():
        if not job.creates and job.record in records and _state(evidence, job_id) is State.BLOCKED:
            yield job_id


def _state(evidence: Evidence, job_id: str) -> State | None:
    seen = evidence.seen.get(job_id)
    return seen.state if seen else None
