"""One look-up, with a ledger and a CRM that record what they were asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.wire import encode
from oppsync_worker.departures import current
from oppsync_worker.errors import AttemptError, CredentialRefused, NotSent, Rejected, Seen, Throttled, Unavailable
from oppsync_worker.instances import InstanceSettings, ReconcileSettings
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.policy.inquiry import Inquiry, Last
from oppsync_worker.runner import counting, reconciler
from oppsync_worker.runner.reconciler import Reconciler

ACME = InstanceSettings(name="acme", token="t", marker_field="m", reconcile=ReconcileSettings(on_probable="adopt"))
JOB = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130, lead_id=1)
SEEN = Seen(503, "words")


@dataclass(frozen=True)
class Row:
    """A record."""

    opportunity_id: int = 9
    marker: str = "ours"
    created: datetime | None = field(default_factory=lambda: datetime.now(UTC))
    title_same: bool = True
    value_same: bool = True
    user_same: bool = True
    column_same: bool = True
    lead_same: bool | None = True
    kept: Mapping[str, Any] = field(default_factory=lambda: {"id": 9})


@dataclass(frozen=True)
class Listing:
    """A list."""

    rows: tuple[Row, ...] = ()
    whole: bool = True
    crm_ahead_s: float | None = 0.0


@dataclass
class FakeBook:
    """Gives leave, and keeps what it was told."""

    leave: list[bytes] = field(default_factory=lambda: [b"go"])
    owned: dict[int, str] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    taken: tuple[int, ...] = ()
    told: list[dict[str, Any]] = field(default_factory=list)
    late: list[tuple[int, float]] = field(default_factory=list)
    away: bool = False
    absences: int = 0

    async def surely(self, call: Call) -> Any:
        await asyncio.sleep(0)
        if self.away:
            raise LedgerUnavailable("away")
        if call.script == "look":
            return [self.leave.pop(0), 1, self.absences]
        _, _, to, _, *pairs = call.arguments
        self.told.append({"to": to, **dict(zip(pairs[::2], pairs[1::2], strict=True))})
        if self.answers:
            return self.answers.pop(0)
        # As the ledger does: whoever has it has it.
        return b"taken" if to == "succeeded" and pairs[1] in self.taken else str(to).encode()

    def left_late(self, _: str, *, counted_at: int, late_s: float) -> None:
        self.late.append((counted_at, late_s))

    async def owners(self, _: str, ids: list[int]) -> dict[int, str]:
        return {one: self.owned[one] for one in ids if one in self.owned}


@dataclass
class FakeLists:
    """Shows a list, or raises."""

    shown: Listing | AttemptError = field(default_factory=Listing)
    asked: list[str] = field(default_factory=list)

    async def by_lead(self, job: CreateOpportunity, _: InstanceSettings) -> Listing:
        self.asked.append(f"lead {job.lead_id}")
        return self.answer()

    async def by_column(self, job: CreateOpportunity, _: InstanceSettings, *, page: int, archived: bool) -> Listing:
        self.asked.append(f"column {job.crm_column} page {page}{' archived' if archived else ''}")
        return self.answer()

    def answer(self) -> Listing:
        if isinstance(self.shown, AttemptError):
            raise self.shown
        return self.shown


class FakeReporter:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **_: self.told.append((name, args))


def look(**changed: Any) -> Look:
    """A look-up five seconds after the send."""
    facts: dict[str, Any] = {
        "job_id": "j1",
        "token": "7",
        "slot_ms": 0,
        "message": encode(JOB).encode(),
        "sent_ms_ago": 5_000,
        "first_sent_ms_ago": 5_000,
        "attempts": 1,
        "replays": 0,
        "inquiry": "",
        "instance": "acme",
        "markers": {"7": "lands"},
    }
    return Look(**(facts | changed))


async def done(book: FakeBook, lists: FakeLists, one: Look | None = None) -> FakeReporter:
    """Do one look-up."""
    reporter = FakeReporter()
    reconciler = Reconciler(
        book=book,  # type: ignore[arg-type]
        lists=lists,
        instances={"acme": ACME},
        reporter=reporter,  # type: ignore[arg-type]
        ttl_s=60,
        draw=lambda: 0.5,
    )
    await reconciler.look(one or look())
    return reporter


async def test_a_record_that_is_ours_is_adopted() -> None:
    """One request, one script."""
    book, lists = FakeBook(), FakeLists(Listing((Row(3, marker="other"), Row())))

    reporter = await done(book, lists)

    assert lists.asked == ["lead 1"]
    (told,) = book.told
    assert (told["to"], told["opportunity_id"], told["beat"]) == ("succeeded", 9, 1)
    assert '"adopted":true' in told["result"]
    assert [name for name, _ in reporter.told] == ["looked"]


@pytest.mark.parametrize(
    ("error", "beat", "cool"),
    [
        (Throttled(SEEN, limit=50), None, True),
        (CredentialRefused(SEEN), None, False),
        (Unavailable(SEEN), 0, False),
        (NotSent(SEEN), 0, False),
        (Rejected(SEEN), 1, False),
    ],
)
async def test_no_error_is_taken_for_absence(error: AttemptError, beat: int | None, cool: bool) -> None:  # noqa: FBT001
    """It is looked for again; a throttle pauses the instance, and an answer is a sign of life."""
    book = FakeBook()

    await done(book, FakeLists(error), look(sent_ms_ago=100_000))

    (told,) = book.told
    assert (told["to"], told.get("beat"), "cool_ms" in told) == ("in_doubt", beat, cool)
    assert Inquiry.from_json(told["inquiry"]).lead.clean == 0


@pytest.mark.parametrize("leave", [b"later", b"lost"])
async def test_nothing_is_asked_without_leave(leave: bytes) -> None:
    """It waits for another slot, or somebody else looks."""
    book, lists = FakeBook(leave=[leave]), FakeLists()

    await done(book, lists)

    assert (lists.asked, book.told) == ([], [])


async def test_a_look_up_left_when_it_was_handed_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it was granted, nor when its list had come. It counts in the budget's window like any request."""
    clock = [100.0]
    for module in (reconciler, counting):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    class Slow(FakeLists):
        async def by_lead(self, *given: Any, **more: Any) -> Any:
            clock[0] += 0.25
            current()()
            clock[0] += 30.0
            return await super().by_lead(*given, **more)

    book = FakeBook()

    await done(book, Slow())

    assert book.late == [(1, 0.25)]


async def test_a_slot_ahead_is_waited_for() -> None:
    """And leave asked for again."""
    lists = FakeLists()

    await done(FakeBook(leave=[b"soon", b"go"]), lists)

    assert lists.asked == ["lead 1"]


async def test_a_doubt_of_an_instance_that_nobody_here_knows_is_left_to_others() -> None:
    """Later, and with everything that is known so far."""
    book, lists = FakeBook(), FakeLists()

    await done(book, lists, look(instance="globex", inquiry='{"some": 1}'))

    (told,) = book.told
    assert (told["to"], told["inquiry"], told["delay"], lists.asked) == ("in_doubt", '{"some": 1}', 15_000, [])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not JSON",
        encode(UpdateOpportunity(job_id="j1", instance="acme", funnel_id=7, opportunity_id=1, title="T")).encode(),
    ],
)
async def test_a_job_that_cannot_be_read_is_a_persons(message: bytes) -> None:
    """Nothing can be compared with it."""
    book, lists = FakeBook(), FakeLists()

    await done(book, lists, look(message=message))

    assert (book.told[0]["to"], book.told[0]["person"], lists.asked) == ("in_doubt", 1, [])


async def test_a_create_that_is_absent_and_has_no_attempt_left_is_buried() -> None:
    """It may be replayed: it is known to have made nothing."""
    book = FakeBook()
    clean = Inquiry(lead=Inquiry().lead.ended("clean"), declared=True)  # type: ignore[arg-type]

    await done(book, FakeLists(), look(sent_ms_ago=400_000, attempts=12, inquiry=clean_twice(clean)))

    (told,) = book.told
    assert (told["to"], told["cause"]) == ("dead", "exhausted")


async def looks_until_over(error: AttemptError, *, patience_s: float = 3_600.0) -> int:
    """How many look-ups one doubt costs when each of them ends so; at the end a person is asked."""
    elapsed_ms, inquiry, number = 5_000, "", 0
    while True:
        book = FakeBook()
        await done(book, FakeLists(error), look(sent_ms_ago=elapsed_ms, inquiry=inquiry))
        number += 1
        (told,) = book.told
        assert told["to"] == "in_doubt"
        if "person" in told:
            assert elapsed_ms <= (patience_s + 1_000) * 1000
            return number
        # Fifty milliseconds for the look-up itself.
        inquiry, elapsed_ms = told["inquiry"], elapsed_ms + int(told["delay"]) + 50


@pytest.mark.parametrize(
    ("error", "most"), [(CredentialRefused(Seen(401, "no")), 20), (CredentialRefused(Seen(403, "no")), 7)]
)
async def test_a_credential_that_may_not_read_costs_few_look_ups(error: AttemptError, most: int) -> None:
    """And proves nothing: a person is asked."""
    assert await looks_until_over(error) <= most


@pytest.mark.parametrize(("absences", "to"), [(0, "scheduled"), (1, "scheduled"), (2, "dead"), (7, "dead")])
async def test_a_create_that_was_absent_too_often_is_buried_and_says_so(absences: int, to: str) -> None:
    """Three times by default, however many attempts are left."""
    book = FakeBook(absences=absences)
    clean = Inquiry(lead=Inquiry().lead.ended("clean"), declared=True)  # type: ignore[arg-type]

    await done(book, FakeLists(), look(sent_ms_ago=400_000, attempts=4, inquiry=clean_twice(clean)))

    (told,) = book.told
    assert (told["to"], str(told["absent"])) == (to, "1")
    if to == "dead":
        assert told["cause"] == "exhausted"
        assert f"proved absent {absences + 1} times after 4 attempts" in told["detail"]


def clean_twice(inquiry: Inquiry) -> str:
    """As if it had been read clean before."""
    return inquiry.as_json().replace('"clean":0,"last":"clean"', '"clean":1,"last":"clean"')


async def test_a_record_that_another_job_has_is_left_to_it() -> None:
    """Whether the ledger knows so before, or finds out when adopting."""
    book = FakeBook(owned={8: "another", 9: "j1"}, answers=[b"taken"])
    seen = Listing((Row(8, marker="undeclared"), Row(9, marker="undeclared", kept={"id": 9})))
    once = Inquiry(lead=Inquiry().lead.ended("clean"))  # type: ignore[arg-type]

    await done(book, FakeLists(seen), look(sent_ms_ago=400_000, inquiry=clean_twice(once)))

    assert [one["to"] for one in book.told] == ["succeeded", "in_doubt"]
    assert Inquiry.from_json(book.told[1]["inquiry"]).taken == (8, 9)


def in_a_column() -> Look:
    """The last page of a column, of a create without a lead; record 9, which may be it, stood on a page before."""
    job = JOB.model_copy(update={"lead_id": None})
    column = Inquiry().column.ended(Last.CLEAN)
    inquiry = Inquiry(column=column, page=0, archived=True, probable=(9,), rounds=1)
    return look(message=encode(job).encode(), sent_ms_ago=400_000, inquiry=inquiry.as_json())


async def test_a_record_on_a_page_before_the_last_is_adopted() -> None:
    """The page that ends the doubt need not be the one that shows the record."""
    book = FakeBook()

    reporter = await done(book, FakeLists(Listing((Row(3, marker="other"),))), in_a_column())

    assert [name for name, _ in reporter.told] == ["looked"]
    (told,) = book.told
    assert (told["to"], told["opportunity_id"], told["unmarked"]) == ("succeeded", 9, 1)


async def test_a_record_on_a_page_before_that_another_job_has_is_left_to_it() -> None:
    """It was made known to be that job's only when this one wanted it."""
    book = FakeBook(taken=(9,))

    async with asyncio.timeout(5):
        await done(book, FakeLists(), in_a_column())

    assert [one["to"] for one in book.told] == ["succeeded", "in_doubt"]
    assert Inquiry.from_json(book.told[1]["inquiry"]).taken == (9,)


async def test_what_is_told_of_records_holds_no_words() -> None:
    """Ids, amounts and what agrees."""
    book = FakeBook()

    await done(book, FakeLists(Listing((Row(marker="undeclared", title_same=False),))))

    assert '"grade": "unsure"' in book.told[0]["sightings"]
    assert '"title": false' in book.told[0]["sightings"]


async def test_a_ledger_that_is_away_leaves_the_doubt_to_its_time() -> None:
    """It is found again."""
    lists = FakeLists()

    reporter = await done(FakeBook(away=True), lists)

    assert [name for name, _ in reporter.told] == ["notice"]
    assert lists.asked == []
