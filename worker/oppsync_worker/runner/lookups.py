"""A look-up's answer, judged: what follows from it, and what is told of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Protocol

from oppsync_worker.contract.fields import iso_utc
from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.errors import AttemptError, CredentialRefused, Rejected, Throttled
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.ends import NOTHING, Effects
from oppsync_worker.policy import evidence, reconcile
from oppsync_worker.policy.inquiry import Inquiry
from oppsync_worker.policy.reconcile import Adopt, Again, AskPerson, Errand, Question, Resend, Step
from oppsync_worker.policy.verdicts import pause_s

SIGHTINGS_KEPT: Final = 20


class Row(evidence.Sighting, Protocol):
    """One record of a list."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """Its whitelisted fields."""
        ...


class Listing(Protocol):
    """A list, or a page of one."""

    @property
    def rows(self) -> Sequence[Row]:
        """Its records, each once."""
        ...

    @property
    def whole(self) -> bool:
        """Whether there is no further page."""
        ...

    @property
    def crm_ahead_s(self) -> float | None:
        """SprintHub's clock less this machine's; None when the answer did not show it."""
        ...


class Lists(Protocol):
    """The CRM, as far as a look-up needs it. Both raise an `AttemptError`."""

    async def by_lead(self, job: CreateOpportunity, instance: InstanceSettings) -> Listing:
        """All records of the job's lead."""
        ...

    async def by_column(
        self, job: CreateOpportunity, instance: InstanceSettings, *, page: int, archived: bool
    ) -> Listing:
        """A page of the job's column, counted from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """What a look-up has come to."""

    step: Step
    saw: str
    effects: Effects
    rows: Sequence[Row] = ()
    window: evidence.Window | None = None
    cool_down_s: float | None = None
    limit: int | None = None
    detail: str = ""

    @property
    def words(self) -> tuple[str, str]:
        """What follows, and why, for the log."""
        match self.step:
            case Again():
                return "again", self.detail
            case Adopt(opportunity_id, why):
                return "adopt", f"record {opportunity_id}: {why}"
            case Resend(why):
                return "resend", why
            case AskPerson(_, why):
                return "ask_person", why

    def history(self, source: str, *, ms: int) -> str:
        """The line in the job's history."""
        return line(self.saw, list=source, ms=ms, rows=len(self.rows), message=self.words[1])

    def sightings(self, inquiry: Inquiry) -> str | None:
        """The records that a person would compare with the job: ids, amounts, times, and what agrees. No words."""
        if self.window is None:
            return None
        shown = []
        for row in self.rows:
            grade = evidence.grade(row, self.window, taken=inquiry.taken)
            if grade is not evidence.Grade.OTHER:
                same = {name: getattr(row, f"{name}_same") for name in ("title", "value", "user", "column", "lead")}
                shown.append({"grade": grade.value, "marker": str(row.marker), "same": same, **row.kept})
        return json.dumps(shown[:SIGHTINGS_KEPT], ensure_ascii=False) if shown else None


def judge(
    inquiry: Inquiry,
    question: Question,
    errand: Errand,
    answer: Listing | AttemptError,
    *,
    instance: InstanceSettings,
    age: timedelta,
    draw: float,
) -> Judged:
    """What follows from an answer; `age` is how long ago the create was first sent."""
    match answer:
        case Throttled():
            step = reconcile.failed(inquiry, question, why="throttled")
            pause = pause_s(answer, instance, draw=draw)
            return Judged(step, "throttled", NOTHING, cool_down_s=pause, limit=answer.limit, detail=str(answer))
        case CredentialRefused() if answer.seen.status == HTTPStatus.FORBIDDEN:
            # The credential may not read this list, and will not be allowed to by asking again.
            step = reconcile.refused(inquiry, question, errand)
            return Judged(step, "credential refused", NOTHING, detail=str(answer))
        case CredentialRefused():
            step = reconcile.failed(inquiry, question, why=str(answer), most_s=reconcile.UNAUTHORIZED_MOST_S)
            return Judged(step, "credential refused", NOTHING, detail=str(answer))
        case Rejected():
            step = reconcile.refused(inquiry, question, errand)
            return Judged(step, "refused", Effects(answers=True), detail=str(answer))
        case AttemptError():
            step = reconcile.failed(inquiry, question, why=str(answer))
            return Judged(step, "no answer", Effects(answers=False), detail=str(answer))
    now = datetime.now(UTC)
    window = evidence.Window.of(now - age, now, crm_ahead_s=answer.crm_ahead_s)
    seen = evidence.read(answer.rows, window, taken=inquiry.taken)
    step = reconcile.saw(inquiry, question, errand, seen, whole=answer.whole)
    said = "found" if seen.ours else "may be there" if seen.probable or seen.unsure else "not there"
    return Judged(step, said, Effects(answers=True), answer.rows, window)


def line(saw: str, **more: object) -> str:
    """A line of the job's history about one look-up; what is not known is left out."""
    facts = {"at": iso_utc(datetime.now(UTC)), "event": "look_up", "saw": saw, **more}
    return json.dumps({name: value for name, value in facts.items() if value not in (None, "")}, ensure_ascii=False)
