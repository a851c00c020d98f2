"""From a verdict to the script that performs it."""

from typing import Final, assert_never

from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.errors import AnswerLost, AttemptError, NotSent, Rejected, Unavailable
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import ends
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.policy.verdicts import Bury, Defer, Doubt, HoldInstance, Retry, Verdict
from oppsync_worker.runner.ends import Dead, End, Parked
from oppsync_worker.settings import fingerprint

REFUSED: Final = "refused again and again, while other jobs of its instance succeeded"
"""What the rim is told of a job that the ledger buried so; the letter itself says how often, and with which words."""


def fulfil(
    verdict: Verdict, hand: ends.Hand, instance: InstanceSettings, attempt: ends.Attempt, effects: ends.Effects
) -> Call:
    """The one call that acknowledges the claim and makes the verdict true."""
    match verdict:
        case Retry(delay_s):
            return ends.reschedule(hand, delay_ms=int(delay_s * 1000), attempt=attempt, effects=effects)
        case Defer(cool_down_s, limit):
            return ends.wait(hand, cool_down_ms=int(cool_down_s * 1000), limit=limit, attempt=attempt)
        case HoldInstance():
            return ends.refuse_credential(
                hand,
                fingerprint=fingerprint(instance),
                attempt=attempt,
                max_refusals=instance.retry.max_refusals,
                max_delay_ms=int(instance.retry.max_delay_seconds * 1000),
            )
        case Doubt():
            return ends.doubt(hand, attempt=attempt, effects=effects)
        case Bury(cause, detail):
            return ends.bury(hand, cause=cause, detail=detail, attempt=attempt, effects=effects)
        case _:
            assert_never(verdict)


def effects_of(job: AnyJob, error: AttemptError) -> ends.Effects:
    """What a failed attempt says of the instance, and what it may have done to the record all the same."""
    match error:
        case Rejected():
            return ends.Effects(answers=True)
        case NotSent() | AnswerLost():
            return ends.Effects(answers=False)
        case Unavailable():
            wrote = job.written() if job.kind is Kind.UPDATE else ()
            return ends.Effects(answers=False, wrote=wrote, unsure=True)
    return ends.NOTHING


def end_of(verdict: Verdict, state: State | None) -> End:
    """What the rim is told after the verdict was performed; a stale claim (`state` is None) ends nothing."""
    if isinstance(verdict, Bury) and state == State.DEAD:
        return Dead(verdict.cause, verdict.detail)
    if isinstance(verdict, HoldInstance) and state == State.DEAD:
        return Dead(Cause.REFUSED, REFUSED)
    return Parked(state or State.UNKNOWN)
