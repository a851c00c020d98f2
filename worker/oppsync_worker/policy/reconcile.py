"""What follows from a look-up: the next one, or the end of the doubt. Pure: no clock, no I/O.

1. A record that bears the marker ends it at once: adopted; two of them are a matter for a person.
2. Until the settle window has passed nothing else does: lists lag, and a create can be carried out late.
3. A look-up that failed or was throttled says nothing, and is repeated. One that SprintHub refused (400 for a lead that
   has no records, or for any other reason) says nothing either: then the column's list is read as well, whole, archived
   records included, at the last two times to look.
4. "Absent" takes two clean readings of one list, one of them after the window. It is proof where SprintHub is known to
   keep the marker and the list is the lead's; otherwise it is "probably absent", because a card may have been moved out
   of its column, or edited.
5. Records that fit without a marker are "probable" when they fit in everything, and make all unsure when they do not.
"""

from dataclasses import dataclass, replace
from typing import Final

from oppsync_worker.instances import ReconcileSettings
from oppsync_worker.policy.evidence import Saw
from oppsync_worker.policy.inquiry import Inquiry, Last, Source

ENOUGH_CLEAN: Final = 2
MOST_ROUNDS: Final = 6
"""Readings after the window until a person is asked, should the lists contradict themselves."""

FAILED_FIRST_S: Final = 2.0
FAILED_MOST_S: Final = 60.0
"""Pause after a look-up that failed, doubled up to the second figure."""

UNAUTHORIZED_MOST_S: Final = 600.0
"""The same after one that was refused with 401: nothing but another token helps, and it is no matter of seconds."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One request: which list, and which page of it."""

    source: Source
    page: int = 0
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Look again, `delay_s` from now."""

    inquiry: Inquiry
    delay_s: float


@dataclass(frozen=True, slots=True)
class Adopt:
    """The record is ours, or is taken for ours."""

    opportunity_id: int
    why: str


@dataclass(frozen=True, slots=True)
class Resend:
    """It made no record."""

    why: str


@dataclass(frozen=True, slots=True)
class AskPerson:
    """The CRM cannot tell, or may not be believed: somebody decides."""

    inquiry: Inquiry
    why: str


Step = Again | Adopt | Resend | AskPerson


@dataclass(frozen=True, slots=True)
class Question:
    """What a look-up is judged by, besides what it saw."""

    settings: ReconcileSettings
    has_lead: bool
    marked: bool
    """The create carried a marker."""
    lands: bool | None
    """Whether SprintHub is known to keep the marker in this funnel; None when nobody has seen yet."""
    elapsed_s: float
    """Since the create was sent."""
    absences: int = 0
    """How often the create was proved absent before, and sent again."""

    @property
    def times_s(self) -> tuple[float, ...]:
        """When to look: at all times, or soon and at the last two, which is what the proof of absence takes.

        Reading a column costs many requests, so it is done less often; and so is looking for a create that was proved
        absent before, which will most likely be absent again.
        """
        times = self.settings.probe_after_seconds
        return times if self.has_lead and not self.absences else tuple(sorted({times[0], *times[-2:]}))

    @property
    def over(self) -> bool:
        """Whether the settle window has passed."""
        return self.elapsed_s >= self.times_s[-1]

    @property
    def column_too(self) -> bool:
        """Whether this is one of the last two times to look."""
        return self.elapsed_s >= self.times_s[-2]

    @property
    def pause_s(self) -> float:
        """Until the next time to look; after the last one, as long as before the first."""
        later = [time - self.elapsed_s for time in self.times_s if time > self.elapsed_s]
        return later[0] if later else self.times_s[0]


def next_errand(inquiry: Inquiry, *, has_lead: bool) -> Errand:
    """The request to make now."""
    if inquiry.page is not None:
        return Errand(Source.COLUMN, inquiry.page, inquiry.archived)
    return Errand(Source.LEAD) if has_lead else Errand(Source.COLUMN)


def failed(inquiry: Inquiry, question: Question, *, why: str, most_s: float = FAILED_MOST_S) -> Step:
    """The look-up was not answered: nothing is known that was not known before."""
    now_ms = int(question.elapsed_s * 1000)
    since = now_ms if inquiry.failing_since_ms is None else inquiry.failing_since_ms
    inquiry = replace(inquiry, failures=inquiry.failures + 1, failing_since_ms=since)
    if now_ms - since > question.settings.patience_seconds * 1000:
        return AskPerson(inquiry, f"look-ups kept failing: {why}")
    return Again(inquiry, min(FAILED_FIRST_S * 2.0 ** min(inquiry.failures - 1, 30), most_s))


def refused(inquiry: Inquiry, question: Question, errand: Errand) -> Step:
    """SprintHub answered 4xx."""
    return _read_to_its_end(_answered(inquiry), question, errand.source, Last.REFUSED)


def saw(inquiry: Inquiry, question: Question, errand: Errand, seen: Saw, *, whole: bool) -> Step:
    """A list, or a page of it, was read; `whole` when there is no further page."""
    fresh = errand.source is Source.LEAD or (errand.page == 0 and not errand.archived)
    before = (inquiry.probable, inquiry.unsure, inquiry.blind) if not fresh else ((), (), False)
    inquiry = replace(
        _answered(inquiry),
        # One of an earlier page may have turned out to be another job's since.
        probable=tuple(sorted({*before[0], *seen.probable}.difference(inquiry.taken))),
        unsure=tuple(sorted({*before[1], *seen.unsure}.difference(inquiry.taken))),
        blind=before[2] or seen.blind,
        declared=inquiry.declared or seen.declared,
    )
    if len(seen.ours) == 1:
        return Adopt(seen.ours[0], "it bears the job's marker")
    if seen.ours:
        return AskPerson(inquiry, f"{len(seen.ours)} records bear its marker: {_listed(seen.ours)}")
    if errand.source is Source.COLUMN:
        if not whole and errand.page + 1 >= question.settings.column_pages:
            return _read_to_its_end(inquiry, question, Source.COLUMN, Last.TOO_LONG)
        if not whole:
            return Again(replace(inquiry, page=errand.page + 1, archived=errand.archived), 0.0)
        if not errand.archived:
            return Again(replace(inquiry, page=0, archived=True), 0.0)
    return _read_to_its_end(inquiry, question, errand.source, Last.CLEAN)


def _answered(inquiry: Inquiry) -> Inquiry:
    return replace(inquiry, failures=0, failing_since_ms=None)


def _read_to_its_end(inquiry: Inquiry, question: Question, source: Source, last: Last) -> Step:
    inquiry = replace(inquiry, page=None, archived=False)
    if source is Source.LEAD:
        inquiry = replace(inquiry, lead=inquiry.lead.ended(last))
        if last is Last.REFUSED and question.column_too:
            return Again(replace(inquiry, page=0), 0.0)
    else:
        inquiry = replace(inquiry, column=inquiry.column.ended(last))
    if not question.over:
        return Again(inquiry, question.pause_s)
    return _verdict(replace(inquiry, rounds=inquiry.rounds + 1), question)


def _verdict(inquiry: Inquiry, question: Question) -> Step:
    by_lead = question.has_lead and inquiry.lead.last is Last.CLEAN
    told = inquiry.lead if by_lead else inquiry.column
    if told.last in {Last.REFUSED, Last.TOO_LONG}:
        return AskPerson(inquiry, _cannot_tell(inquiry))
    if told.clean < ENOUGH_CLEAN or told.last is not Last.CLEAN:
        if inquiry.rounds >= MOST_ROUNDS:
            return AskPerson(inquiry, "the lists contradict themselves from one look-up to the next")
        return Again(inquiry, question.pause_s)
    return _told(inquiry, question, by_lead=by_lead)


def _told(inquiry: Inquiry, question: Question, *, by_lead: bool) -> Step:
    settings = question.settings
    if inquiry.unsure or len(inquiry.probable) > 1:
        return AskPerson(inquiry, f"records that may be it: {_listed((*inquiry.probable, *inquiry.unsure))}")
    if inquiry.probable:
        if settings.on_probable == "adopt":
            return Adopt(inquiry.probable[0], "it fits in everything, and belongs to no other job")
        return AskPerson(inquiry, f"record {inquiry.probable[0]} fits in everything, but bears no marker")
    lands = question.lands is True or (question.lands is None and inquiry.declared)
    proven = by_lead and question.marked and lands and not inquiry.blind
    wanted = settings.on_absent if proven else settings.on_probably_absent
    why = _why_absent(question, by_lead=by_lead, lands=lands)
    return Resend(why) if wanted == "resend" else AskPerson(inquiry, why)


def _why_absent(question: Question, *, by_lead: bool, lands: bool) -> str:
    if by_lead:
        where = "the lead's list does not have it"
    elif question.has_lead:
        where = "the column's list does not have it, and the lead's was refused"
    else:
        where = "the column's list does not have it, and the job names no lead"
    if question.marked and lands:
        return where
    return where + (", but SprintHub does not keep the marker" if question.marked else ", but it has no marker")


def _cannot_tell(inquiry: Inquiry) -> str:
    words = {Last.REFUSED: "SprintHub refuses to list it", Last.TOO_LONG: "it has more pages than may be read"}
    said = words.get(inquiry.column.last, "it was never read")
    if inquiry.lead.last is Last.REFUSED:
        return f"the CRM cannot tell: it refuses the lead's list, and of the column {said}"
    return f"the CRM cannot tell: of the column {said}"


def _listed(ids: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more"  # noqa: PLR2004 - as many as fit a line
