"""What happens next to a job, and when: pure words from facts, one sentence per state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from oppsync_ops.jobs.facts import Facts
from oppsync_ops.jobs.moments import moment
from oppsync_ops.overview.holds import NO_WORKER, RELEASING
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import State


@dataclass(frozen=True, slots=True)
class NextStep:
    """What happens, or what somebody must do; `at` is when, where that is known or can be estimated."""

    text: str
    at: datetime | None = None


_PLAIN: Final = {
    State.UNKNOWN: "no such job: the id is wrong, another application pushed it and no worker has seen it yet, or it"
    " ended long ago and was forgotten",
    State.SUCCEEDED: "nothing: the CRM has it",
    State.DISCARDED: "nothing: it was dropped for good",
    State.MERGED: "nothing: it travelled inside the job it points to",
    State.EXPIRED: "nothing: its deadline passed before it was sent; enqueue it anew if it is still wanted",
}


def next_step(facts: Facts) -> NextStep:
    """The next step of a job."""
    tell = _TELLERS.get(facts.outcome.state)
    return tell(facts) if tell else NextStep(_PLAIN[facts.outcome.state], facts.outcome.due)


def _queued(facts: Facts) -> NextStep:
    slot = moment(facts.entry.get("slot_at"))
    if slot and int(facts.entry["slot_at"]) > facts.now:
        return NextStep("a slot is reserved for it: a worker sends it then", slot)
    if facts.lane_length:
        return NextStep(f"a worker takes it; {facts.lane_length} in its lane, this one among them or just taken")
    return NextStep("a worker has just taken it and is about to send it")


def _sending(facts: Facts) -> NextStep:
    what = f"attempt {facts.outcome.attempts} is under way"
    by = f" on the worker {facts.worker}" if facts.worker else ""
    lost = "in doubt" if facts.outcome.kind == Kind.CREATE else "queued again"
    if facts.lease_until is None or facts.lease_until <= facts.now:
        return NextStep(
            f"its worker fell silent during attempt {facts.outcome.attempts}: the first worker that notices, some"
            f" seconds later, makes it {lost}"
        )
    return NextStep(f"{what}{by}; should the worker fall silent, the job is {lost} then", moment(facts.lease_until))


def _scheduled(facts: Facts) -> NextStep:
    text = "goes back to its lane when it is due"
    if facts.outcome.cause == "credential":
        text += (
            ", behind all that waited when SprintHub refused it: its credential lacks a right that this job needs, or"
            f" the token of {facts.outcome.instance} is bad"
        )
    return NextStep(text, facts.outcome.due)


def _waiting(facts: Facts) -> NextStep:
    ahead = f"{facts.ahead} before it" if facts.ahead is not None else "its turn has just come"
    if facts.hold and facts.hold.is_set:
        return NextStep(f"its instance is on hold ({facts.hold.cause}): `oppsync hold release {facts.hold.instance}`")
    budget = facts.budget
    if budget is not None and budget.is_failing:
        return NextStep(
            "its instance does not answer, or was just released: one request at a time tries it, and all others wait;"
            f" {ahead}",
            moment(max(facts.now, budget.open_until)),
        )
    if budget is None or facts.ahead is None or budget.interval_ms is None:
        return NextStep(f"waits for a slot of its instance; {ahead}")
    start = max(facts.now, budget.cool_until, budget.next_slot)
    resume = f"`oppsync budget resume {facts.outcome.instance}` ends it"
    cooling = f", after the cool-down ({resume})" if budget.cool_until > facts.now else ""
    return NextStep(
        f"waits for a slot of its instance; {ahead}{cooling}; about then, if nothing comes in between",
        moment(start + facts.ahead * budget.interval_ms),
    )


def _held(facts: Facts) -> NextStep:
    return NextStep(_why_held(facts))


def _why_held(facts: Facts) -> str:
    instance, hold = facts.outcome.instance, facts.hold
    if hold is None or hold.cause == RELEASING:
        return "is about to go back to the line of its instance"
    if hold.cause == NO_WORKER:
        return f"waits for a worker that has settings for the instance {instance}"
    if hold.cause == "credential":
        return (
            f"the CRM refused the token of {instance}: give the workers another one and restart them, or"
            f" `oppsync hold release {instance}` if the old one works again"
        )
    return f"somebody put {instance} on hold: `oppsync hold release {instance}`"


def _blocked(facts: Facts) -> NextStep:
    record = facts.entry.get("record", "ref:")
    if facts.behind is None and not record.startswith("ref:"):
        return NextStep("is about to go to the line of its instance: nothing is before it any more")
    if not record.startswith("ref:"):
        return NextStep(
            f"an earlier update of its record goes first: {facts.behind} ({facts.behind_state}); this one follows by"
            " itself when that has ended"
        )
    who = f"a create with the external_ref {facts.outcome.external_ref!r} has succeeded for {facts.outcome.instance}"
    if facts.behind is None:
        return NextStep(f"waits until {who}; none is on its way: enqueue it, if it is missing")
    ended = facts.behind_state in (State.DEAD, State.IN_DOUBT)
    more = f": see `oppsync job show {facts.behind}`" if ended else "; the update goes on by itself then"
    return NextStep(f"waits until {who}; that is {facts.behind} ({facts.behind_state}){more}")


def _in_doubt(facts: Facts) -> NextStep:
    job_id = facts.outcome.job_id
    if facts.next_look is None:
        return NextStep(
            "nothing by itself: the CRM could not tell whether it has made a record; see"
            f" `oppsync doubt show {job_id}`, then adopt the record or resend the job"
        )
    return NextStep(
        "workers look for its record in the CRM, and adopt it or send the job again", moment(facts.next_look)
    )


def _dead(facts: Facts) -> NextStep:
    job_id = facts.outcome.job_id
    return NextStep(
        f"nothing by itself: see `oppsync dead show {job_id}`, mend the cause, then `oppsync dead replay {job_id}`,"
        " or discard it"
    )


_TELLERS: Final[Mapping[State, Callable[[Facts], NextStep]]] = {
    State.QUEUED: _queued,
    State.SENDING: _sending,
    State.SCHEDULED: _scheduled,
    State.WAITING: _waiting,
    State.HELD: _held,
    State.BLOCKED: _blocked,
    State.IN_DOUBT: _in_doubt,
    State.DEAD: _dead,
}
