"""The life of one claimed message in a worker.

1. Read it. A message that breaks the contract is buried; nothing was sent.
2. Look up its instance. One that this worker does not know is held; nothing was sent.
3. Begin: the ledger says whether this claim may send, and when. Until it says `Go`, nothing was sent and the job can
   be handed back at any time. When it has said `Go`, the job is recorded as sending.
4. Send, once. There is no retry below this line.
5. Settle: one script acknowledges the claim, changes the ledger and takes effect. Whatever goes wrong between 3 and 5
   leaves a job that is recorded as sending under a claim that will run out: a create is then in doubt, an update is
   sent again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from oppsync_worker.contract.errors import ContractError, InvalidJob
from oppsync_worker.contract.fields import iso_utc
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import decode
from oppsync_worker.errors import AnswerLost, AttemptError, NotSent, Seen, Unavailable
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import ends
from oppsync_worker.ledger.begin import Go, Soon
from oppsync_worker.ledger.book import Book, Settled
from oppsync_worker.ledger.connect import LedgerRefused, LedgerUnavailable
from oppsync_worker.ledger.recalling import Sent
from oppsync_worker.limits.budget import HORIZON_MS
from oppsync_worker.observe.context import handling
from oppsync_worker.policy.verdicts import Doubt, decide
from oppsync_worker.runner.counting import counting
from oppsync_worker.runner.ends import Abandoned, Dead, Done, End, Parked
from oppsync_worker.runner.lately import Lately
from oppsync_worker.runner.reports import Report, Reporter
from oppsync_worker.runner.sending import Answer, Sender
from oppsync_worker.runner.settling import effects_of, end_of, fulfil


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed message, as the rim hands it over."""

    tag: str
    task: str
    job_id: str
    args: object
    kwargs: Mapping[str, Any]
    own: bool = False
    """Whether one of our own producers wrote the message."""


class Runner:
    """Carries claimed messages to the CRM. Belongs to one event loop."""

    def __init__(
        self,
        *,
        book: Book,
        sender: Sender,
        instances: Mapping[str, InstanceSettings],
        reporter: Reporter,
        ttl_s: int,
        lease_s: float,
        draw: Callable[[], float],
    ) -> None:
        """`draw` gives uniform numbers in [0, 1); `ttl_s` is how long outcomes are kept."""
        self._book = book
        self._sender = sender
        self._instances = instances
        self._reporter = reporter
        self._ttl_s = ttl_s
        self._lease_s = lease_s
        self._draw = draw
        self._stopping = asyncio.Event()
        self._lately = Lately()
        self._under_way: dict[str, asyncio.Event] = {}
        """Jobs that are being begun or sent, by id and by idempotency key, each with what is set when that is over."""

    def stop(self) -> None:
        """Begin nothing more: what has not been sent is handed back."""
        self._stopping.set()

    async def deliver(self, delivery: Delivery) -> End:
        """Take one claimed message to its end. Raises nothing but cancellation."""
        hand = ends.Hand(delivery.tag, delivery.job_id, self._ttl_s)
        try:
            return await self._deliver(hand, delivery)
        except LedgerUnavailable as error:
            self._reporter.notice("ledger_unavailable", job_id=delivery.job_id, message=str(error))
            return Abandoned(str(error))

    async def _deliver(self, hand: ends.Hand, delivery: Delivery) -> End:
        try:
            job = decode(delivery.task, delivery.job_id, delivery.args, delivery.kwargs)
        except ContractError as error:
            return await self._refuse(hand, delivery, error)
        except Exception as bug:  # noqa: BLE001 - a defect of ours in reading one job is that job's end, and no other's
            return await self._broken(hand, bug, delivery.task, None)
        report = Report.of(job)
        with handling(job.job_id, instance=job.instance, kind=job.kind, lane=job.lane):
            return await self._carry(hand, job, report, delivery)

    async def _carry(self, hand: ends.Hand, job: AnyJob, report: Report, delivery: Delivery) -> End:
        instance = self._instances.get(job.instance)
        if instance is None:
            call = ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane)
            state = await self._book.settle(call)
            self._reporter.parked(report, state or State.HELD, cause="unknown_instance")
            return Parked(state or State.HELD)
        names = [job.job_id, *([f"{job.instance} {job.idempotency_key}"] if job.idempotency_key else [])]
        while other := next((self._under_way[name] for name in names if name in self._under_way), None):
            # A ledger that forgot hands out again what this very process has sent, or takes what its producer repeats
            # for a new job: what comes of that is waited for.
            await other.wait()
        over = asyncio.Event()
        self._under_way |= dict.fromkeys(names, over)
        try:
            try:
                begun = await self._begin(hand, job, instance, report, own=delivery.own)
            except LedgerRefused:
                raise
            except LedgerUnavailable as error:
                self._reporter.notice("ledger_unavailable", job_id=job.job_id, message=str(error))
                return await self._give_back(hand, job, report)
            except Exception as bug:  # noqa: BLE001 - as above; nothing was sent
                return await self._broken(hand, bug, job.kind.value, job.instance)
            if not isinstance(begun, Go):
                return begun
            with counting(self._book, instance, counted_at=begun.counted_at, asked_at=begun.asked_at):
                end = await self._attempt(hand, job, instance, begun, report, own=delivery.own)
        finally:
            for name in names:
                del self._under_way[name]
            over.set()
        return end

    async def _begin(
        self, hand: ends.Hand, job: AnyJob, instance: InstanceSettings, report: Report, *, own: bool
    ) -> Go | Parked:
        started = time.monotonic()
        while not self._stopping.is_set():
            answer = await self._book.begin(
                hand, job, horizon_ms=HORIZON_MS, marker_field=instance.marker_field, own=own
            )
            match answer:
                case Go():
                    report.slot_wait_ms = int((time.monotonic() - started) * 1000)
                    return answer
                case Soon(delay_ms):
                    try:
                        async with asyncio.timeout(delay_ms / 1000):
                            await self._stopping.wait()
                    except TimeoutError:
                        continue
                case _:
                    if answer.why == "lost":
                        # An earlier question may have been answered, and nobody heard it, before the claim was lost.
                        return await self._give_back(hand, job, report)
                    if answer.why == "not_replicated":
                        self._reporter.notice("not_replicated", job_id=job.job_id, instance=job.instance)
                    self._reporter.parked(report, answer.state, cause=answer.why)
                    return Parked(answer.state)
        await self._book.release(hand.tag)
        return Parked(State.QUEUED)

    async def _give_back(self, hand: ends.Hand, job: AnyJob, report: Report) -> Parked:
        """Tell the ledger, as soon as it can be told, that nothing was sent and nothing will be.

        Only we know: had it said yes and nobody heard, the job is recorded as sending, and a create would be in doubt.

        Raises:
            LedgerUnavailable: nobody took it until this worker was to stop, or for an hour.
        """
        call = ends.not_begun(hand, kind=job.kind, instance=job.instance, lane=job.lane)
        state = await self._book.settle(call, stopping=self._stopping) or State.UNKNOWN
        self._reporter.parked(report, state, cause="not_begun")
        return Parked(state)

    async def _attempt(
        self, hand: ends.Hand, whole: AnyJob, instance: InstanceSettings, go: Go, report: Report, *, own: bool
    ) -> End:
        job = whole.without(go.overwritten) if go.overwritten else whole
        if ended := self._lately.forgotten(whole.job_id, go):
            state = await self._book.settle(ended.under(hand))
            self._reporter.notice("recalled", job_id=report.job_id, instance=report.instance)
            return Done(ended.result) if ended.result is not None else Parked(state or State.UNKNOWN)
        at, started = iso_utc(datetime.now(UTC)), time.monotonic()
        stale = started - go.asked_at > self._lease_s
        sent = Sent(whole, lease_ms=int(self._lease_s * 1000), marker_field=instance.marker_field, own=own)
        error: AttemptError
        try:
            answer = await self._send(job, instance, go, stale=stale)
        except AttemptError as raised:
            error = raised
        except Exception as bug:  # noqa: BLE001 - a job is never lost to a bug of ours: it counts as an answer lost
            self._reporter.unexpected(bug, report)
            lost = AnswerLost if job.kind == Kind.CREATE else Unavailable
            error = lost(Seen(None, f"internal error while sending: {type(bug).__name__}"))
        else:
            report.took(go, time.monotonic() - started)
            result = report.result(answer.opportunity_id, answer.kept)
            creates = job.kind is Kind.CREATE
            call = ends.succeed(
                hand,
                opportunity_id=answer.opportunity_id,
                result=result,
                attempt=report.as_success(at, answer.status),
                effects=ends.Effects(answers=True, wrote=() if creates else job.written()),
                marker=ends.Marker(job.funnel_id, answer.marker_landed) if creates else None,
            )
            if creates:
                self._lately.keep(job.job_id, go, call, result)
            settled = await self._book.settle_sent(call, sent, sent_at=started)
            self._tell_of_forgetting(report, settled, answer.opportunity_id)
            if answer.marker_landed is False:
                self._reporter.marker_lost(report, job.funnel_id)
            self._reporter.succeeded(report, answer.opportunity_id, stale=settled.state is None)
            return Done(result)
        report.took(go, time.monotonic() - started)
        verdict = decide(error, instance, attempt=go.attempt, age_s=go.trying_ms / 1000, draw=self._draw())
        attempt = report.as_attempt(at, error)
        effects = ends.NOTHING if stale else effects_of(job, error)
        end = fulfil(verdict, hand, instance, attempt, effects)
        if isinstance(verdict, Doubt):
            self._lately.keep(job.job_id, go, end, None)
        if stale:
            # Nothing has left, so there is no truth to tell but that.
            state = await self._book.settle(end)
        else:
            settled = await self._book.settle_sent(end, sent, sent_at=started)
            self._tell_of_forgetting(report, settled, None)
            state = settled.state
        self._reporter.failed(report, error, verdict, state)
        return end_of(verdict, state)

    def _tell_of_forgetting(self, report: Report, settled: Settled, opportunity_id: int | None) -> None:
        if settled.surplus:
            self._reporter.surplus(report, opportunity_id, settled.other)
        elif settled.recalled:
            self._reporter.notice("recalled", job_id=report.job_id, instance=report.instance)

    async def _send(self, job: AnyJob, instance: InstanceSettings, go: Go, *, stale: bool) -> Answer:
        if stale:
            # This process stood still between asking and being told: others may have taken the job for lost, looked for
            # its record and begun it anew. Whatever is sent from here on would come after that.
            raise NotSent(Seen(None, "this worker stood still for longer than a lease before it could send"))
        marker = job.job_id if job.kind is Kind.CREATE else None
        return await self._sender.send(job, instance, marker=marker, opportunity_id=go.opportunity_id)

    async def _refuse(self, hand: ends.Hand, delivery: Delivery, error: ContractError) -> End:
        instance = delivery.kwargs.get("instance")
        call = ends.bury(
            hand,
            cause=Cause.INVALID,
            detail=str(error),
            kind=delivery.task,
            instance=instance if isinstance(error, InvalidJob) and isinstance(instance, str) else None,
        )
        await self._book.settle(call)
        self._reporter.buried_unread(delivery.job_id, delivery.task, Cause.INVALID, str(error))
        return Dead(Cause.INVALID, str(error))

    async def _broken(self, hand: ends.Hand, bug: Exception, kind: str, instance: str | None) -> End:
        """Bury a job that an error of ours keeps from being begun; a person may replay it once that is mended."""
        self._reporter.unexpected(bug, None)
        said = f"an error of the worker's own, before anything was sent: {type(bug).__name__}"
        await self._book.settle(ends.bury(hand, cause=Cause.INTERNAL, detail=said, kind=kind, instance=instance))
        self._reporter.buried_unread(hand.job_id, kind, Cause.INTERNAL, said)
        return Dead(Cause.INTERNAL, said)
