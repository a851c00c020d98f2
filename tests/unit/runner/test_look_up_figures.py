"""What one look-up asks, waits for, judges by and writes down: every figure in its unit, on a clock that is set."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.wire import encode
from oppsync_worker.crm.marks import Mark
from oppsync_worker.departures import current
from oppsync_worker.errors import AttemptError, CredentialRefused, NotSent, Rejected, Seen, Throttled, Unavailable
from oppsync_worker.instances import InstanceSettings, ReconcileSettings, RetrySettings
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.ends import NOTHING, Effects
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.observe.context import JobContext, job_context
from oppsync_worker.policy.evidence import Window
from oppsync_worker.policy.inquiry import Inquiry, Last, Source, Tally
from oppsync_worker.policy.reconcile import Adopt, Again, AskPerson, Errand, Question, Resend
from oppsync_worker.runner import counting, lookups, reconciler
from oppsync_worker.runner.lookups import Judged, judge, line
from oppsync_worker.runner.reconciler import Case, Reconciler
from oppsync_worker.runner.reports import Looked

ACME = InstanceSettings(name="acme", token="t", marker_field="Sync")
JOB = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130, lead_id=1)
SEEN = Seen(503, "words")
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A record of a list."""

    opportunity_id: int = 9
    marker: Mark = Mark.OURS
    created: datetime | None = NOW - timedelta(seconds=5)
    title_same: bool = True
    value_same: bool = True
    user_same: bool = True
    column_same: bool = True
    lead_same: bool | None = True
    kept: Mapping[str, Any] = field(default_factory=lambda: {"id": 9, "value": "5.00"})


@dataclass(frozen=True)
class Listing:
    """A list."""

    rows: tuple[Row, ...] = ()
    whole: bool = True
    crm_ahead_s: float | None = 0.0


class Clock:
    """Monotonic time that passes only when somebody waits, and a wall that shows always the same."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The reconciler's."""
    made = Clock()
    monkeypatch.setattr(reconciler, "time", made)
    monkeypatch.setattr(counting, "time", made)
    monkeypatch.setattr(reconciler, "asyncio", made)
    monkeypatch.setattr(lookups, "datetime", SimpleNamespace(now=lambda _: NOW))
    return made


def look(**changed: Any) -> Look:
    """A look-up five seconds after the send."""
    facts: dict[str, Any] = {
        "job_id": "j1",
        "token": "7",
        "slot_ms": 0,
        "message": encode(JOB).encode(),
        "sent_ms_ago": 5_000,
        "first_sent_ms_ago": 5_000,
        "attempts": 2,
        "replays": 1,
        "inquiry": "",
        "instance": "acme",
        "markers": {"7": "lands"},
    }
    return Look(**(facts | changed))


@dataclass
class World:
    """Ledger, lists and listener in one, each of which keeps everything that it was given."""

    clock: Clock
    shown: Any = field(default_factory=Listing)
    leaves: list[list[Any]] = field(default_factory=lambda: [[b"go", 77, 0]])
    call_s: float = 0.25
    calls: list[Call] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    late: list[tuple[str, int, float]] = field(default_factory=list)
    owned: dict[int, str] = field(default_factory=dict)
    owners_asked: list[tuple[str, list[int]]] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    told: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = field(default_factory=list)
    draws: float = 0.5
    instance: InstanceSettings = ACME
    context: JobContext | None = None
    """Which job a line logged during the request would be of."""

    async def surely(self, call: Call) -> Any:
        self.calls.append(call)
        if call.script == "look":
            return self.leaves.pop(0)
        return self.answers.pop(0) if self.answers else str(call.arguments[2]).encode()

    def left_late(self, instance: str, *, counted_at: int, late_s: float) -> None:
        self.late.append((instance, counted_at, late_s))

    async def owners(self, instance: str, ids: list[int]) -> dict[int, str]:
        self.owners_asked.append((instance, ids))
        return {one: self.owned[one] for one in ids if one in self.owned}

    async def by_lead(self, job: Any, instance: InstanceSettings) -> Any:
        return self._show("lead", job, instance)

    async def by_column(self, job: Any, instance: InstanceSettings, *, page: int, archived: bool) -> Any:
        return self._show("column", job, instance, page, archived)

    def _show(self, *asked: Any) -> Any:
        self.asked.append(asked)
        current()()
        self.context = job_context.get()
        self.clock.now += self.call_s
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **given: self.told.append((name, args, given))

    async def look(self, one: Look | None = None) -> dict[str, Any]:
        """Do one look-up; what was written of it last, by name."""
        await self.do(one or look())
        return self.written

    async def do(self, one: Look) -> None:
        """Do one look-up."""
        await Reconciler(
            book=self,  # type: ignore[arg-type]
            lists=self,
            instances={"acme": self.instance},
            reporter=self,  # type: ignore[arg-type]
            ttl_s=60,
            draw=lambda: self.draws,
        ).look(one)

    @property
    def written(self) -> dict[str, Any]:
        """What was written of it last."""
        job_id, token, to, ttl_s, *pairs = self.calls[-1].arguments
        assert (self.calls[-1].script, job_id, token) == ("looked", "j1", "7")
        return {"to": to, "ttl_s": ttl_s, **dict(zip(map(str, pairs[::2]), pairs[1::2], strict=True))}


# --- Asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slot_ms", "waits"), [(0, 0.0), (1_500, 1.5), (-20, 0.0)])
async def test_a_look_up_waits_for_its_slot(clock: Clock, slot_ms: int, waits: float) -> None:
    """Milliseconds until it, counted from when it was taken on."""
    world = World(clock)

    await world.look(look(slot_ms=slot_ms))

    assert clock.waits == [waits]
    assert world.calls[0] == Call("look", ("j1", "7", 250))


async def test_a_slot_that_lies_ahead_is_waited_for_and_asked_for_again(clock: Clock) -> None:
    """As long as the ledger says."""
    world = World(clock, leaves=[[b"soon", 120], [b"soon", 30], [b"go", 77, 0]])

    await world.look()

    assert clock.waits == [0.0, 0.12, 0.03]
    assert [call.script for call in world.calls] == ["look", "look", "look", "looked"]


async def test_how_late_it_left_is_counted_from_its_last_question(clock: Clock) -> None:
    """By the instance's name; the look-up itself does not count."""
    world = World(clock, leaves=[[b"soon", 120], [b"go", 77, 0]])
    slow = world.surely

    async def surely(call: Call) -> Any:
        clock.now += 2.0 if call.script == "look" else 0.0
        return await slow(call)

    world.surely = surely  # type: ignore[method-assign]

    await world.look()

    assert world.late == [("acme", 77, pytest.approx(2.0))]


async def test_what_was_not_granted_is_not_late(clock: Clock) -> None:
    """Nothing left."""
    world = World(clock, leaves=[[b"lost"]])
    await world.do(look())

    assert (world.late, world.asked, len(world.calls)) == ([], [], 1)


@pytest.mark.parametrize(
    ("given", "field_name"), [(None, "Sync"), ("Other", "Other"), ("", None)], ids=["unknown", "another", "none"]
)
async def test_a_record_is_looked_for_by_the_marker_that_was_sent(
    clock: Clock, given: str | None, field_name: str | None
) -> None:
    """The settings may have changed since."""
    world = World(clock)

    await world.look(look(marker_field=given))

    ((source, job, instance),) = world.asked
    assert (source, job.job_id, instance.marker_field) == ("lead", "j1", field_name)
    assert instance.name == "acme"


@pytest.mark.parametrize(("archived", "page"), [(False, 0), (True, 3)])
async def test_the_page_that_is_due_is_asked_for(clock: Clock, page: int, *, archived: bool) -> None:
    """Where the look-up before it has stopped."""
    world = World(clock)

    await world.look(look(inquiry=Inquiry(page=page, archived=archived).as_json()))

    assert [one[0] for one in world.asked] == ["column"]
    assert world.asked[0][3:] == (page, archived)


async def test_what_is_logged_meanwhile_names_the_job(clock: Clock) -> None:
    """With its instance and kind; and nothing afterwards does."""
    world = World(clock)

    await world.look()

    assert world.context == JobContext("j1", instance="acme", kind="opportunities.create")
    assert job_context.get() is None


async def test_a_ledger_that_is_away_is_told_with_the_job(clock: Clock) -> None:
    """And what it said."""
    world = World(clock)

    async def away(_: Call) -> Any:
        raise LedgerUnavailable("away")

    world.surely = away  # type: ignore[method-assign]

    await world.do(look())

    assert world.told == [("notice", ("ledger_unavailable",), {"job_id": "j1", "message": "away"})]


# --- What it is judged by -------------------------------------------------------------------------------------------


def case(one: Look, clock: Clock, instance: InstanceSettings = ACME, job: CreateOpportunity = JOB) -> Case:
    """A doubt that was taken on two and a half seconds ago."""
    return Case(one, job, instance, clock.now - 2.5)


def test_times_are_counted_from_the_send_to_now(clock: Clock) -> None:
    """Seconds: what the ledger said in milliseconds, and what has passed here since."""
    one = case(look(sent_ms_ago=40_500, first_sent_ms_ago=100_250), clock)

    assert one.waited_s == 2.5
    assert one.age == timedelta(seconds=102.75)
    assert one.question(3) == Question(
        settings=ACME.reconcile, has_lead=True, marked=True, lands=True, elapsed_s=43.0, absences=3
    )


@pytest.mark.parametrize(
    ("markers", "lands"),
    [({"7": "lands"}, True), ({"7": "lost"}, False), ({"8": "lands"}, None), ({}, None), ({"7": "?"}, None)],
)
def test_whether_the_marker_lands_is_known_by_funnel(clock: Clock, markers: dict[str, str], lands: Any) -> None:
    """What SprintHub did in another one says nothing."""
    assert case(look(markers=markers), clock).question(0).lands is lands


def test_what_the_job_and_its_instance_say(clock: Clock) -> None:
    """No lead to list, no marker to look for."""
    unmarked = ACME.model_copy(update={"marker_field": None})
    question = case(look(), clock, unmarked, JOB.model_copy(update={"lead_id": None})).question(0)

    assert (question.has_lead, question.marked) == (False, False)


ERRAND = Errand(Source.LEAD)
QUESTION = Question(ReconcileSettings(), has_lead=True, marked=True, lands=True, elapsed_s=20.0)


def judged(answer: Any, **more: Any) -> Judged:
    """What follows from an answer, twenty seconds after the send."""
    given: dict[str, Any] = {"inquiry": Inquiry(), "question": QUESTION, "errand": ERRAND, **more}
    return judge(
        given["inquiry"],
        given["question"],
        given["errand"],
        answer,
        instance=ACME,
        age=timedelta(seconds=20),
        draw=0.5,
    )


FAILED = Again(Inquiry(failures=1, failing_since_ms=20_000), 2.0)
REFUSED = Again(Inquiry(lead=Tally(0, Last.REFUSED)), 25.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Throttled(Seen(401, "too many"), limit=50),
            Judged(FAILED, "throttled", NOTHING, cool_down_s=68.25, limit=50, detail="HTTP 401: too many"),
        ),
        (
            Throttled(Seen(429, "too many"), retry_after_s=20),
            Judged(FAILED, "throttled", NOTHING, cool_down_s=21.0, limit=None, detail="HTTP 429: too many"),
        ),
        (CredentialRefused(Seen(403, "no")), Judged(REFUSED, "credential refused", NOTHING, detail="HTTP 403: no")),
        (CredentialRefused(Seen(401, "no")), Judged(FAILED, "credential refused", NOTHING, detail="HTTP 401: no")),
        (CredentialRefused(Seen(None, "no")), Judged(FAILED, "credential refused", NOTHING, detail="no")),
        (Rejected(Seen(400, "no")), Judged(REFUSED, "refused", Effects(answers=True), detail="HTTP 400: no")),
        (Unavailable(SEEN), Judged(FAILED, "no answer", Effects(answers=False), detail="HTTP 503: words")),
        (NotSent(SEEN), Judged(FAILED, "no answer", Effects(answers=False), detail="HTTP 503: words")),
    ],
)
def test_what_follows_from_an_error(answer: AttemptError, expected: Judged) -> None:
    """Refused lists count as read to no end; all else is repeated. A throttle and a credential say nothing of life."""
    assert judged(answer) == expected
    assert expected.words == ("again", expected.detail)


@pytest.mark.parametrize(
    ("answer", "most_s", "why"),
    [
        (Throttled(SEEN), 60.0, "throttled"),
        (Unavailable(SEEN), 60.0, "HTTP 503: words"),
        (CredentialRefused(Seen(401, "no")), 600.0, "HTTP 401: no"),
    ],
)
def test_how_long_failures_are_repeated(answer: AttemptError, most_s: float, why: str) -> None:
    """A minute apart; ten where nothing but another token helps; and why, once patience is over."""
    again = judged(answer, inquiry=Inquiry(failures=40, failing_since_ms=19_000)).step
    over = judged(answer, inquiry=Inquiry(failures=40, failing_since_ms=-3_600_000)).step

    assert isinstance(again, Again)
    assert again.delay_s == most_s
    assert isinstance(over, AskPerson)
    assert over.why == f"look-ups kept failing: {why}"


@pytest.mark.usefixtures("clock")
def test_what_a_list_shows_is_judged_by_the_window_of_the_first_send() -> None:
    """On SprintHub's clock."""
    found = judged(Listing((Row(),), crm_ahead_s=3.0))

    assert found.window == Window(NOW - timedelta(seconds=20 - 3 + 2), NOW + timedelta(seconds=3 + 2))
    assert (found.step, found.saw, found.effects) == (
        Adopt(9, "it bears the job's marker"),
        "found",
        Effects(answers=True),
    )
    assert found.rows == (Row(),)
    assert found.words == ("adopt", "record 9: it bears the job's marker")


@pytest.mark.parametrize(
    ("rows", "saw"),
    [
        ((), "not there"),
        ((Row(marker=Mark.OTHER),), "not there"),
        ((Row(marker=Mark.UNDECLARED),), "may be there"),
        ((Row(marker=Mark.UNDECLARED, title_same=False),), "may be there"),
        ((Row(), Row(8, Mark.UNDECLARED)), "found"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_what_was_seen_has_a_word(rows: tuple[Row, ...], saw: str) -> None:
    """For the job's history."""
    assert judged(Listing(rows)).saw == saw


@pytest.mark.usefixtures("clock")
def test_records_of_other_jobs_are_none() -> None:
    """As far as the inquiry knows them."""
    assert judged(Listing((Row(marker=Mark.UNDECLARED),)), inquiry=Inquiry(taken=(9,))).saw == "not there"


@pytest.mark.usefixtures("clock")
def test_a_page_that_is_not_the_last_leads_to_the_next() -> None:
    """Whether it is, the list says."""
    step = judged(Listing(whole=False), errand=Errand(Source.COLUMN, 4)).step

    assert isinstance(step, Again)
    assert step.inquiry.page == 5


# --- What is written down --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Again(Inquiry(), 1.0), ("again", "d")),
        (Adopt(5, "w"), ("adopt", "record 5: w")),
        (Resend("w"), ("resend", "w")),
        (AskPerson(Inquiry(), "w"), ("ask_person", "w")),
    ],
)
def test_every_step_has_its_words(step: Any, words: tuple[str, str]) -> None:
    """One for machines and one for people."""
    assert Judged(step, "s", NOTHING, detail="d").words == words


@pytest.mark.usefixtures("clock")
def test_a_line_of_the_history_leaves_out_what_is_not_known() -> None:
    """Zero is known."""
    assert json.loads(line("nothing", list="lead", ms=0, rows=0, message="", more=None)) == {
        "at": "2026-01-05T12:00:00.000Z",
        "event": "look_up",
        "saw": "nothing",
        "list": "lead",
        "ms": 0,
        "rows": 0,
    }
    assert "é" in line("é")
    assert json.loads(Judged(Adopt(5, "w"), "s", NOTHING, (Row(), Row())).history("column", ms=12)) == {
        "at": "2026-01-05T12:00:00.000Z",
        "event": "look_up",
        "saw": "s",
        "list": "column",
        "ms": 12,
        "rows": 2,
        "message": "record 5: w",
    }


@pytest.mark.usefixtures("clock")
def test_records_are_shown_without_words_and_without_strangers() -> None:
    """What agrees, the marker, and the whitelisted fields; twenty at most, and nothing where nothing was listed."""
    window = Window(NOW - timedelta(seconds=30), NOW)
    rows = (Row(marker=Mark.UNDECLARED, title_same=False), Row(8, Mark.OTHER), Row(7, Mark.UNKNOWN, kept={"id": 7}))

    shown = Judged(Again(Inquiry(), 1), "s", NOTHING, rows, window).sightings(Inquiry(taken=()))

    same = {"title": True, "value": True, "user": True, "column": True, "lead": True}
    assert json.loads(str(shown)) == [
        {"grade": "unsure", "marker": "undeclared", "same": {**same, "title": False}, "id": 9, "value": "5.00"},
        {"grade": "probable", "marker": "unknown", "same": same, "id": 7},
    ]
    assert Judged(Again(Inquiry(), 1), "s", NOTHING, rows).sightings(Inquiry()) is None
    assert Judged(Again(Inquiry(), 1), "s", NOTHING, rows[1:2], window).sightings(Inquiry()) is None
    only = Judged(Again(Inquiry(), 1), "s", NOTHING, rows, window).sightings(Inquiry(taken=(9,)))
    assert [one["id"] for one in json.loads(str(only))] == [7]
    many = tuple(Row(number, Mark.UNKNOWN, kept={"id": number}) for number in range(1, 40))
    assert len(json.loads(str(Judged(Again(Inquiry(), 1), "s", NOTHING, many, window).sightings(Inquiry())))) == 20
    name = (Row(marker=Mark.UNKNOWN, kept={"id": 9, "status": "é"}),)
    assert "é" in str(Judged(Again(Inquiry(), 1), "s", NOTHING, name, window).sightings(Inquiry()))


async def test_a_look_up_that_found_nothing_is_written_down_and_told(clock: Clock) -> None:
    """When to look again, in milliseconds; what it saw, and how long it took."""
    world = World(clock)

    written = await world.look(look(sent_ms_ago=4_000))

    assert (written["to"], written["ttl_s"]) == ("in_doubt", 0)
    # Four seconds and a quarter have passed of the first five.
    assert written["delay"] == 750
    assert json.loads(written["attempt"]) == {
        "at": "2026-01-05T12:00:00.000Z",
        "event": "look_up",
        "saw": "not there",
        "list": "lead",
        "ms": 250,
        "rows": 0,
    }
    assert Inquiry.from_json(written["inquiry"]).lead == Tally(1, Last.CLEAN)
    assert written["beat"] == 1
    assert not {"sightings", "cool_ms", "limit", "person"} & written.keys()
    assert world.told == [("looked", (Looked("j1", "acme", "lead", "not there", "again", 250, ""),), {})]
    assert world.owners_asked == []


async def test_a_throttled_look_up_pauses_its_instance(clock: Clock) -> None:
    """In milliseconds, and with the limit that was disclosed."""
    world = World(clock, Throttled(Seen(401, "too many"), limit=50), draws=0.5)

    written = await world.look()

    assert (written["cool_ms"], written["limit"], written["delay"]) == (68_250, 50, 2_000)
    assert json.loads(written["attempt"])["message"] == "HTTP 401: too many"
    ((_, (looked,), _),) = world.told
    assert looked == Looked("j1", "acme", "lead", "throttled", "again", 250, "HTTP 401: too many")


async def test_an_adopted_record_is_the_jobs_outcome(clock: Clock) -> None:
    """As if its answer had come: with the attempts, the replays and the whitelisted fields, kept as long."""
    world = World(clock, Listing((Row(),)))

    written = await world.look()

    assert (written["to"], written["ttl_s"], written["opportunity_id"]) == ("succeeded", 60, 9)
    assert json.loads(written["result"]) == {
        "state": "succeeded",
        "job_id": "j1",
        "kind": "opportunities.create",
        "instance": "acme",
        "opportunity_id": 9,
        "attempts": 2,
        "replays": 1,
        "record": {"id": 9, "value": "5.00"},
        "adopted": True,
    }
    assert "unmarked" not in written
    assert json.loads(written["sightings"])[0]["grade"] == "ours"


CLEAN_ONCE = Inquiry(lead=Tally(1, Last.CLEAN), declared=True)


@pytest.mark.parametrize(
    ("attempts", "absences", "to", "detail"),
    [
        (2, 0, "scheduled", "the lead's list does not have it"),
        (11, 1, "scheduled", "the lead's list does not have it"),
        (12, 0, "dead", "12 attempts; after the last one the lead's list does not have it"),
        (13, 0, "dead", "13 attempts; after the last one the lead's list does not have it"),
        (2, 2, "dead", "proved absent 3 times after 2 attempts, and not sent again: the lead's list does not have it"),
        (2, 8, "dead", "proved absent 9 times after 2 attempts, and not sent again: the lead's list does not have it"),
    ],
)
async def test_an_absent_create_is_sent_again_within_its_bounds(
    clock: Clock, attempts: int, absences: int, to: str, detail: str
) -> None:
    """Of its attempts, and of how often it may be proved absent."""
    world = World(clock, leaves=[[b"go", 77, absences]])

    written = await world.look(look(sent_ms_ago=400_000, attempts=attempts, inquiry=CLEAN_ONCE.as_json()))

    assert (written["to"], written["detail"], str(written["absent"])) == (to, detail, "1")
    if to == "scheduled":
        assert (written["delay"], written["cause"]) == (0, "absent")
    ((_, (looked,), _),) = world.told
    assert looked.step == "resend"


async def test_bounds_are_the_instances(clock: Clock) -> None:
    """Not the defaults."""
    few = ACME.model_copy(
        update={"retry": RetrySettings(max_attempts=2), "reconcile": ReconcileSettings(max_absences=1)}
    )
    for attempts, says in ((2, "2 attempts;"), (1, "proved absent 1 times")):
        world = World(clock, instance=few)
        written = await world.look(look(sent_ms_ago=400_000, attempts=attempts, inquiry=CLEAN_ONCE.as_json()))
        assert (written["to"], written["detail"].startswith(says)) == ("dead", True)


async def test_a_person_is_asked_with_the_reason(clock: Clock) -> None:
    """And with all that is known."""
    world = World(clock, Listing((Row(7), Row(9))))

    written = await world.look()

    assert (written["to"], written["person"], written["detail"]) == ("in_doubt", 1, "2 records bear its marker: 7, 9")
    assert Inquiry.from_json(written["inquiry"]).declared
    ((_, (looked,), _),) = world.told
    assert (looked.step, looked.detail) == ("ask_person", "2 records bear its marker: 7, 9")


async def test_only_records_without_a_marker_are_asked_about(clock: Clock) -> None:
    """Whose they are, the marker says of the others; one that this very job owns stays a candidate."""
    rows = tuple(Row(number, mark) for number, mark in enumerate(Mark, 1) if mark is not Mark.OURS)
    unmarked = [row.opportunity_id for row in rows if row.marker in {Mark.UNDECLARED, Mark.UNKNOWN}]
    world = World(clock, Listing(rows), owned={unmarked[0]: "another", unmarked[1]: "j1"})

    written = await world.look()

    assert world.owners_asked == [("acme", unmarked)]
    known = Inquiry.from_json(written["inquiry"])
    assert (known.taken, known.probable) == ((unmarked[0],), (unmarked[1],))


@pytest.mark.parametrize("state", [b"lost", b"taken"])
async def test_nothing_is_told_of_what_did_not_take_effect(clock: Clock, state: bytes) -> None:
    """Somebody else looks by now."""
    world = World(clock, answers=[state])

    await world.look()

    assert world.told == []
    assert len(world.calls) == 2


async def test_a_record_that_turns_out_to_be_taken_is_remembered_and_judged_anew(clock: Clock) -> None:
    """In the same look-up; only the second judgement is told."""
    inquiry = Inquiry(lead=Tally(1, Last.CLEAN), taken=(3,))
    chosen = ACME.model_copy(update={"reconcile": ReconcileSettings(on_probable="adopt")})
    world = World(clock, Listing((Row(marker=Mark.UNDECLARED),)), answers=[b"taken"], instance=chosen)

    written = await world.look(look(sent_ms_ago=400_000, first_sent_ms_ago=400_000, inquiry=inquiry.as_json()))

    assert [call.arguments[2] for call in world.calls[1:]] == ["succeeded", "in_doubt"]
    first = dict(zip(world.calls[1].arguments[4::2], world.calls[1].arguments[5::2], strict=True))
    assert (first["opportunity_id"], first["unmarked"]) == (9, 1)
    assert Inquiry.from_json(written["inquiry"]).taken == (3, 9)
    assert [args[0].step for _, args, _ in world.told] == ["ask_person"]


async def test_an_instance_that_nobody_here_knows_is_left_to_others_for_a_while(clock: Clock) -> None:
    """Nothing is asked and nothing counted; the history says why."""
    world = World(clock)

    written = await world.look(look(instance="globex", inquiry="{}"))

    assert (written["delay"], written["inquiry"], written["to"]) == (15_000, "{}", "in_doubt")
    assert json.loads(written["attempt"])["saw"] == "nobody here knows the instance"
    assert "beat" not in written
    assert (len(world.calls), world.asked, world.told) == (1, [], [])


async def test_a_job_that_cannot_be_read_is_put_before_a_person(clock: Clock) -> None:
    """With a sentence."""
    world = World(clock)

    written = await world.look(look(message=b"x", inquiry="{}"))

    assert (written["person"], written["inquiry"]) == (1, "{}")
    assert written["detail"] == "its message cannot be read, so that nothing can be compared"
    assert json.loads(written["attempt"])["saw"] == "the job cannot be read"
    assert "beat" not in written


async def test_a_defect_of_ours_is_reported_and_the_doubt_left_to_its_time(clock: Clock) -> None:
    """It is found again."""
    bug = ZeroDivisionError("x")
    world = World(clock, bug)
    await world.do(look())

    assert world.told == [("unexpected", (bug, None), {})]
    assert [call.script for call in world.calls] == ["look"]
