"""One look-up for a create in doubt, from its slot to what follows from it.

1. Read the job. One that cannot be read is a person's.
2. Wait for the slot, and ask for leave: look-ups count against the budget like any other request.
3. Ask the CRM, once.
4. Judge: adopt the record, look again, send again, or ask a person. One script performs it, and refuses when somebody
   else looks by now. A look-up that is lost on the way is found again, since the ledger keeps its time. A record that
   bears the job's marker is the job's whatever the ledger says: one that forgot the doubt is told.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from oppsync_worker.contract.errors import ContractError
from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.outcomes import success
from oppsync_worker.contract.wire import read_message
from oppsync_worker.errors import AttemptError
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import looking
from oppsync_worker.ledger.book import Book
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.ends import NOTHING
from oppsync_worker.ledger.looking import LookNow, LookSoon, Told
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.recalling import Sent
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.limits.budget import HORIZON_MS
from oppsync_worker.observe.context import handling
from oppsync_worker.policy.inquiry import Inquiry, Source
from oppsync_worker.policy.reconcile import Adopt, Again, AskPerson, Errand, Question, Resend, next_errand
from oppsync_worker.runner.counting import counting
from oppsync_worker.runner.lookups import Judged, Listing, Lists, judge, line
from oppsync_worker.runner.reports import Looked, Report, Reporter

UNKNOWN_INSTANCE_PAUSE_MS: Final = 15_000
"""A worker that does not know the instance leaves the doubt to one that does."""

RECALL_LEASE_MS: Final = 60_000
"""How long a ledger that was told of a record may wait for the same to be settled: two calls, one after the other."""

LANDS: Final[Mapping[str, bool]] = {"lands": True, "lost": False}


@dataclass(frozen=True, slots=True)
class Case:
    """A doubt that can be looked into: the look-up that was taken on, the job, and where it was sent."""

    look: Look
    job: CreateOpportunity
    instance: InstanceSettings
    taken_on: float
    """When this process took it on; monotonic."""

    @property
    def waited_s(self) -> float:
        """Since this process took it on."""
        return time.monotonic() - self.taken_on

    @property
    def age(self) -> timedelta:
        """Since the create was first sent."""
        return timedelta(milliseconds=self.look.first_sent_ms_ago, seconds=self.waited_s)

    def question(self, absences: int) -> Question:
        """What the answer is judged by."""
        return Question(
            settings=self.instance.reconcile,
            has_lead=self.job.lead_id is not None,
            marked=self.instance.marker_field is not None,
            lands=LANDS.get(self.look.markers.get(str(self.job.funnel_id), "")),
            elapsed_s=self.look.sent_ms_ago / 1000 + self.waited_s,
            absences=absences,
        )


class Reconciler:
    """Looks into doubts. Belongs to one event loop."""

    def __init__(
        self,
        *,
        book: Book,
        lists: Lists,
        instances: Mapping[str, InstanceSettings],
        reporter: Reporter,
        ttl_s: int,
        draw: Callable[[], float],
    ) -> None:
        """`draw` gives uniform numbers in [0, 1); `ttl_s` is how long outcomes are kept."""
        self._book = book
        self._lists = lists
        self._instances = instances
        self._reporter = reporter
        self._ttl_s = ttl_s
        self._draw = draw

    async def look(self, look: Look) -> None:
        """Do one look-up. Raises nothing but cancellation: one that fails here is found again after its time."""
        taken_on = time.monotonic()
        try:
            with handling(look.job_id, instance=look.instance, kind=Kind.CREATE.value):
                await self._look(look, taken_on)
        except LedgerUnavailable as error:
            self._reporter.notice("ledger_unavailable", job_id=look.job_id, message=str(error))
        except Exception as bug:  # noqa: BLE001 - a doubt is not lost to a bug of ours
            self._reporter.unexpected(bug, None)

    async def _look(self, look: Look, taken_on: float) -> None:
        instance = self._instances.get(look.instance)
        if instance is None:
            told = Told(line("nobody here knows the instance"), NOTHING)
            call = looking.again(look, told, inquiry=look.inquiry, delay_ms=UNKNOWN_INSTANCE_PAUSE_MS)
            await self._book.surely(call)
            return
        try:
            job = read_message(look.message)
        except ContractError:
            job = None
        if not isinstance(job, CreateOpportunity):
            told = Told(line("the job cannot be read"), NOTHING)
            why = "its message cannot be read, so that nothing can be compared"
            await self._book.surely(looking.ask_person(look, told, inquiry=look.inquiry, why=why))
            return
        if look.marker_field is not None:
            # The settings may have changed since: a marker that was not sent cannot be missed.
            instance = instance.model_copy(update={"marker_field": look.marker_field or None})
        case = Case(look, job, instance, taken_on)
        leave = await self._may_look(case)
        if leave:
            with counting(self._book, instance, counted_at=leave.counted_at, asked_at=leave.asked_at):
                await self._ask(case, leave.absences)

    async def _may_look(self, case: Case) -> LookNow | None:
        await asyncio.sleep(max(0.0, case.look.slot_ms / 1000 - case.waited_s))
        while True:
            asked_at = time.monotonic()
            leave = looking.leave(await self._book.surely(looking.may_look(case.look, horizon_ms=HORIZON_MS)))
            match leave:
                case LookNow():
                    return replace(leave, asked_at=asked_at)
                case LookSoon(delay_ms):
                    await asyncio.sleep(delay_ms / 1000)
                case _:
                    return None

    async def _ask(self, case: Case, absences: int) -> None:
        inquiry = Inquiry.from_json(case.look.inquiry)
        errand = next_errand(inquiry, has_lead=case.job.lead_id is not None)
        started = time.monotonic()
        answer: Listing | AttemptError
        try:
            if errand.source is Source.LEAD:
                answer = await self._lists.by_lead(case.job, case.instance)
            else:
                answer = await self._lists.by_column(
                    case.job, case.instance, page=errand.page, archived=errand.archived
                )
        except AttemptError as error:
            answer = error
        duration_ms = int((time.monotonic() - started) * 1000)
        if not isinstance(answer, AttemptError):
            inquiry = await self._without_other_jobs(case, inquiry, answer)
        question, draw = case.question(absences), self._draw()
        while True:
            judged = judge(inquiry, question, errand, answer, instance=case.instance, age=case.age, draw=draw)
            state = await self._perform(case, inquiry, question, errand, judged, duration_ms)
            if state != "taken" or not isinstance(judged.step, Adopt):
                return
            # Another job has that record: then it is none of ours.
            inquiry = replace(inquiry, taken=(*inquiry.taken, judged.step.opportunity_id))

    async def _without_other_jobs(self, case: Case, inquiry: Inquiry, listing: Listing) -> Inquiry:
        """Records without a marker that this ledger knows to be other jobs' are none of ours."""
        unmarked = [row.opportunity_id for row in listing.rows if row.marker in {"undeclared", "unknown"}]
        owners = await self._book.owners(case.instance.name, unmarked) if unmarked else {}
        others = [one for one, owner in owners.items() if owner != case.job.job_id]
        return replace(inquiry, taken=tuple(sorted({*inquiry.taken, *others})))

    async def _perform(
        self, case: Case, inquiry: Inquiry, question: Question, errand: Errand, judged: Judged, duration_ms: int
    ) -> str:
        source = errand.source.value
        told = Told(
            judged.history(source, ms=duration_ms),
            judged.effects,
            sightings=judged.sightings(inquiry),
            cool_down_ms=None if judged.cool_down_s is None else int(judged.cool_down_s * 1000),
            limit=judged.limit,
        )
        state: str = (await self._book.surely(self._call(case, judged, told, absences=question.absences))).decode()
        if state == "lost":
            await self._recall(case, judged, told)
        if state not in {"taken", "lost"}:
            word, detail = judged.words
            looked = Looked(case.job.job_id, case.instance.name, source, judged.saw, word, duration_ms, detail)
            self._reporter.looked(looked)
        return state

    async def _recall(self, case: Case, judged: Judged, told: Told) -> None:
        """The doubt is over, or a promoted ledger never heard of it: the create has made this record all the same."""
        if not isinstance(judged.step, Adopt):
            return
        made = judged.step.opportunity_id
        if not any(row.opportunity_id == made and row.marker == "ours" for row in judged.rows):
            return
        look, report = case.look, Report.of(case.job)
        result = self._result(case, judged, made)
        call = looking.recall_adopted(look, told, opportunity_id=made, result=result, ttl_s=self._ttl_s)
        sent = Sent(case.job, lease_ms=RECALL_LEASE_MS, marker_field=case.instance.marker_field, attempts=look.attempts)
        settled = await self._book.settle_sent(call, sent, sent_at=case.taken_on - look.sent_ms_ago / 1000)
        if settled.surplus:
            self._reporter.surplus(report, made, settled.other)
        elif settled.recalled:
            self._reporter.notice("recalled", job_id=report.job_id, instance=report.instance)

    def _result(self, case: Case, judged: Judged, opportunity_id: int) -> dict[str, Any]:
        # Of one that stood on a page before the last, only the id is known any more.
        row = next((row for row in judged.rows if row.opportunity_id == opportunity_id), None)
        outcome = success(
            job_id=case.job.job_id,
            kind=case.job.kind.value,
            instance=case.job.instance,
            opportunity_id=opportunity_id,
            attempts=case.look.attempts,
            replays=case.look.replays,
            record=row.kept if row else {"id": opportunity_id},
        )
        return {**outcome, "adopted": True}

    def _call(self, case: Case, judged: Judged, told: Told, *, absences: int) -> Call:
        look, attempts = case.look, case.look.attempts
        match judged.step:
            case Again(inquiry, delay_s):
                return looking.again(look, told, inquiry=inquiry.as_json(), delay_ms=int(delay_s * 1000))
            case AskPerson(inquiry, why):
                return looking.ask_person(look, told, inquiry=inquiry.as_json(), why=why)
            case Resend(why) if attempts >= case.instance.retry.max_attempts:
                return looking.bury(look, told, detail=f"{attempts} attempts; after the last one {why}")
            case Resend(why) if absences + 1 >= case.instance.reconcile.max_absences:
                often = f"proved absent {absences + 1} times after {attempts} attempts, and not sent again: {why}"
                return looking.bury(look, told, detail=often)
            case Resend(why):
                return looking.resend(look, told, why=why)
            case Adopt(opportunity_id):
                row = next((row for row in judged.rows if row.opportunity_id == opportunity_id), None)
                return looking.adopt(
                    look,
                    told,
                    opportunity_id=opportunity_id,
                    result=self._result(case, judged, opportunity_id),
                    unmarked=row is None or row.marker != "ours",
                    ttl_s=self._ttl_s,
                )
