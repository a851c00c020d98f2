"""One delivery, with a ledger and a CRM that record what they were asked."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import kwargs_of
from oppsync_worker.departures import current
from oppsync_worker.errors import AnswerLost, AttemptError, NotSent, Rejected, Seen, Throttled, Unavailable
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.begin import Answer, Go, Parked, Soon
from oppsync_worker.ledger.book import Settled
from oppsync_worker.ledger.connect import LedgerRefused, LedgerUnavailable
from oppsync_worker.ledger.recalling import Sent
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.runner.ends import Abandoned, Dead, Done, End
from oppsync_worker.runner.ends import Parked as ParkedEnd
from oppsync_worker.runner.lately import Lately
from oppsync_worker.runner.runner import Delivery, Runner

ACME = InstanceSettings(name="acme", token="t")
CREATE = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130)
UPDATE = UpdateOpportunity(job_id="j2", instance="acme", funnel_id=7, opportunity_id=5, title="T")
SEEN = Seen(None, "words")


@dataclass
class FakeBook:
    """Answers `begin` from a list, and keeps every end that was written."""

    answers: list[Answer | Exception] = field(default_factory=lambda: [Go(1, None, 0, 0)])
    settled: list[dict[str, Any]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    late: list[tuple[int, float]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    away: bool = False

    async def begin(self, *_: object, **__: object) -> Answer:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def settle(self, call: Call, *, stopping: asyncio.Event | None = None) -> State | None:
        if self.away:
            if stopping:
                await stopping.wait()
            raise LedgerUnavailable("away")
        tag, _, to, _, *pairs = call.arguments
        self.tags.append(str(tag))
        self.settled.append({"to": to, **dict(zip(pairs[::2], pairs[1::2], strict=True))})
        return State(str(to))

    async def settle_sent(self, call: Call, sent: Sent, *, sent_at: float) -> Settled:
        del sent, sent_at
        return Settled(await self.settle(call))

    async def release(self, tag: str) -> None:
        self.released.append(tag)

    def left_late(self, _: str, *, counted_at: int, late_s: float) -> None:
        self.late.append((counted_at, late_s))


@dataclass
class Found:
    """A record."""

    opportunity_id: int = 99
    kept: Mapping[str, Any] = field(default_factory=lambda: {"id": 99})
    marker_landed: bool | None = None
    status: int | None = 200


@dataclass
class FakeCrm:
    """Answers, or raises."""

    answer: Found | Exception = field(default_factory=Found)
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, job: Any, instance: InstanceSettings, **given: Any) -> Found:
        self.sent.append({"job": job, "instance": instance, **given})
        current()()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeReporter:
    """Keeps the names of what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.told.append(name)


def runner(book: FakeBook, crm: FakeCrm, reporter: FakeReporter | None = None) -> Runner:
    """A runner of acme's jobs."""
    return Runner(
        book=book,  # type: ignore[arg-type]
        sender=crm,
        instances={"acme": ACME},
        reporter=reporter or FakeReporter(),  # type: ignore[arg-type]
        ttl_s=60,
        lease_s=30.0,
        draw=lambda: 0.5,
    )


def delivery(job: Any, **changed: Any) -> Delivery:
    """A claimed message of a job."""
    return Delivery("tag", job.kind.value, job.job_id, (), {**kwargs_of(job), **changed})


async def test_a_create_is_sent_once_with_its_marker_and_settled() -> None:
    """The marker is the job's id."""
    book, crm = FakeBook(), FakeCrm()

    end = await runner(book, crm).deliver(delivery(CREATE))

    assert isinstance(end, Done)
    assert [(one["marker"], one["opportunity_id"]) for one in crm.sent] == [("j1", None)]
    assert [(one["to"], one["opportunity_id"]) for one in book.settled] == [("succeeded", 99)]


async def test_an_update_goes_to_the_record_that_the_ledger_names() -> None:
    """By external_ref, the ledger knows the id."""
    crm = FakeCrm()

    await runner(FakeBook([Go(1, 7, 0, 0)]), crm).deliver(delivery(UPDATE))

    assert [(one["marker"], one["opportunity_id"]) for one in crm.sent] == [(None, 7)]


@pytest.mark.parametrize(
    ("error", "to"),
    [
        (NotSent(SEEN), "scheduled"),
        (Throttled(SEEN), "waiting"),
        (AnswerLost(SEEN), "in_doubt"),
        (Rejected(SEEN), "dead"),
    ],
)
async def test_every_error_is_settled_by_its_type(error: AttemptError, to: str) -> None:
    """One script each, with the attempt in the history."""
    book = FakeBook()

    end = await runner(book, FakeCrm(error)).deliver(delivery(CREATE))

    assert [one["to"] for one in book.settled] == [to]
    assert type(error).__name__ in book.settled[0]["attempt"]
    assert isinstance(end, Dead) == (to == "dead")


async def test_a_bug_while_sending_a_create_puts_it_in_doubt_and_is_reported() -> None:
    """It may have been sent: our bugs double nothing either."""
    book, reporter = FakeBook(), FakeReporter()

    await runner(book, FakeCrm(ZeroDivisionError()), reporter).deliver(delivery(CREATE))

    assert book.settled[0]["to"] == "in_doubt"
    assert "unexpected" in reporter.told


async def test_nothing_is_sent_unless_the_ledger_says_go() -> None:
    """Parked, held, dropped."""
    book, crm = FakeBook([Parked(State.WAITING, "waiting")]), FakeCrm()

    end = await runner(book, crm).deliver(delivery(CREATE))

    assert (end, crm.sent, book.settled) == (ParkedEnd(State.WAITING), [], [])


async def test_a_reserved_slot_is_waited_for() -> None:
    """Then the ledger is asked again."""
    book, crm = FakeBook([Soon(1), Go(1, None, 0, 0)]), FakeCrm()

    await runner(book, crm).deliver(delivery(CREATE))

    assert len(crm.sent) == 1


async def test_a_stop_hands_back_what_waits_for_its_slot() -> None:
    """At once, unsent."""
    book, crm = FakeBook([Soon(60_000)]), FakeCrm()
    one = runner(book, crm)
    running = asyncio.ensure_future(one.deliver(delivery(CREATE)))
    async with asyncio.timeout(5):
        while book.answers:  # noqa: ASYNC110 - until it has been told to wait
            await asyncio.sleep(0)

    one.stop()

    assert await running == ParkedEnd(State.QUEUED)
    assert (book.released, crm.sent) == (["tag"], [])


@pytest.mark.parametrize(
    ("changed", "cause"), [({"title": ""}, "title"), ({"v": 3}, "version 3"), ({"colour": 1}, "colour")]
)
async def test_a_bad_message_is_buried_unsent(changed: dict[str, Any], cause: str) -> None:
    """With the field named."""
    book, crm = FakeBook(), FakeCrm()

    end = await runner(book, crm).deliver(delivery(CREATE, **changed))

    assert isinstance(end, Dead)
    assert end.cause is Cause.INVALID
    assert cause in book.settled[0]["detail"]
    assert crm.sent == []


async def test_an_unknown_instance_is_held_unsent() -> None:
    """Not lost, not dead."""
    book, crm = FakeBook(), FakeCrm()

    await runner(book, crm).deliver(delivery(CREATE, instance="nobody"))

    assert [(one["to"], one["cause"]) for one in book.settled] == [("held", "unknown_instance")]
    assert crm.sent == []


async def test_a_ledger_that_is_away_leaves_the_claim_to_its_lease() -> None:
    """What was sent, and could not be settled: the claim's record decides what it means."""
    end: End = await runner(FakeBook(away=True), FakeCrm()).deliver(delivery(CREATE))

    assert end == Abandoned("away")


async def test_a_job_that_could_not_be_begun_is_given_back_as_soon_as_the_ledger_is_there() -> None:
    """It may have said yes, and nobody heard it: a create would be in doubt that was never sent."""
    book, crm = FakeBook([LedgerUnavailable("away")]), FakeCrm()

    end = await runner(book, crm).deliver(delivery(CREATE))

    assert end == ParkedEnd(State.WAITING)
    assert crm.sent == []
    assert [(one["to"], one["refund"], one["cause"]) for one in book.settled] == [("waiting", 1, "not_begun")]


async def test_a_job_that_the_ledger_refuses_to_begin_is_left_to_its_lease() -> None:
    """Given back it would be claimed and refused at once, for ever; so it becomes poison, and a person sees it."""
    book = FakeBook([LedgerRefused("illegal transition")])

    assert await runner(book, FakeCrm()).deliver(delivery(CREATE)) == Abandoned("illegal transition")
    assert book.settled == []


async def test_a_worker_that_is_to_stop_does_not_wait_for_a_ledger_that_is_away() -> None:
    """The claim is left to its lease."""
    one, crm = runner(FakeBook([LedgerUnavailable("away")], away=True), FakeCrm()), FakeCrm()
    delivering = asyncio.create_task(one.deliver(delivery(CREATE)))
    await asyncio.sleep(0)
    one.stop()

    assert await delivering == Abandoned("away")
    assert crm.sent == []


async def test_a_worker_that_stood_still_sends_nothing() -> None:
    """Others may have taken its job for lost, looked for its record and begun it anew."""
    long_ago = time.monotonic() - 31
    book, crm = FakeBook([Go(1, None, 0, 0, asked_at=long_ago)]), FakeCrm()

    await runner(book, crm).deliver(delivery(CREATE))

    assert crm.sent == []
    assert [(one["to"], "beat" in one) for one in book.settled] == [("scheduled", False)]
    assert "NotSent" in book.settled[0]["attempt"]


async def test_what_newer_updates_have_written_is_left_out() -> None:
    """Of a replayed update."""
    update = UPDATE.model_copy(update={"value": Decimal("1.00"), "fields": {"A": "1", "B": "2"}})
    book, crm = FakeBook([Go(1, 7, 0, 1, overwritten=("title", "fields.B"))]), FakeCrm()

    await runner(book, crm).deliver(delivery(update))

    assert crm.sent[0]["job"].document() == {"value": Decimal("1.00"), "fields": {"A": "1"}}
    assert json.loads(book.settled[0]["wrote"]) == ["value", "fields.A"]


@pytest.mark.parametrize(
    ("error", "beat", "unsure"),
    [(NotSent(SEEN), 0, None), (Unavailable(SEEN), 0, 1), (Rejected(SEEN), 1, None), (Throttled(SEEN), None, None)],
)
async def test_a_failed_update_says_what_it_may_have_done(
    error: AttemptError, beat: int | None, unsure: int | None
) -> None:
    """To its instance, and to its record."""
    book = FakeBook()

    await runner(book, FakeCrm(error)).deliver(delivery(UPDATE))

    (settled,) = book.settled
    assert (settled.get("beat"), settled.get("unsure")) == (beat, unsure)
    assert ("wrote" in settled) == (unsure is not None)


@pytest.mark.parametrize(("landed", "told"), [(True, "lands"), (False, "lost"), (None, None)])
async def test_what_became_of_the_marker_is_told(landed: bool | None, told: str | None) -> None:  # noqa: FBT001
    """With the funnel; and a marker that was dropped is an alarm."""
    book, reporter = FakeBook(), FakeReporter()

    await runner(book, FakeCrm(Found(marker_landed=landed)), reporter).deliver(delivery(CREATE))

    (settled,) = book.settled
    assert (settled.get("marker"), settled.get("funnel")) == (told, 7 if told else None)
    assert ("unmarked" in settled) == (landed is not True)
    assert ("marker_lost" in reporter.told) == (landed is False)


async def test_how_late_a_request_left_is_told() -> None:
    """Counted from the asking: Redis' answer may have been slow, or this process."""
    book = FakeBook([Go(1, None, 0, 0, asked_at=time.monotonic() - 2, counted_at=5)])

    await runner(book, FakeCrm()).deliver(delivery(CREATE))

    ((counted_at, late_s),) = book.late
    assert counted_at == 5
    assert 2 <= late_s < 60


async def test_a_request_left_when_it_was_handed_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection had to be made first; what the answer took is no matter."""
    book, now = FakeBook([Go(1, None, 0, 0, asked_at=100.0, counted_at=5)]), [100.5]
    monkeypatch.setattr("oppsync_worker.runner.runner.time.monotonic", lambda: now[0])

    class Slow(FakeCrm):
        async def send(self, *given: Any, **more: Any) -> Any:
            now[0] = 101.25
            found = await super().send(*given, **more)
            now[0] = 130.0
            return found

    await runner(book, Slow()).deliver(delivery(CREATE))

    assert book.late == [(5, 1.25)]


async def test_a_defect_before_the_job_is_begun_is_that_jobs_end() -> None:
    """Nothing was sent: a dead letter with a sentence, which can be replayed once the defect is mended."""
    book = FakeBook([ZeroDivisionError("oops")])

    end = await runner(book, FakeCrm()).deliver(delivery(CREATE))

    assert end == Dead(Cause.INTERNAL, "an error of the worker's own, before anything was sent: ZeroDivisionError")
    (settled,) = book.settled
    assert (settled["to"], settled["cause"], settled["instance"]) == ("dead", "internal", "acme")


@pytest.mark.parametrize("shares", ["id", "key", "nothing"])
async def test_what_this_process_sends_is_waited_for_before_the_same_is_begun_again(shares: str) -> None:
    """A ledger that forgot hands the job out again, or takes its producer's repetition under the key for a new job."""
    first = CREATE.model_copy(update={"idempotency_key": "k"})
    again = first.model_copy(
        update={"id": {}, "key": {"job_id": "j3"}, "nothing": {"job_id": "j3", "idempotency_key": "other"}}[shares]
    )
    answered = asyncio.Event()

    class SlowCrm(FakeCrm):
        async def send(self, *args: Any, **given: Any) -> Any:
            found = await super().send(*args, **given)
            await answered.wait()
            return found

    book, crm = FakeBook([Go(1, None, 0, 0), Parked(State.DISCARDED, "twin")]), SlowCrm()
    both = runner(book, crm)

    one = asyncio.create_task(both.deliver(delivery(first)))
    two = asyncio.create_task(both.deliver(delivery(again)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(crm.sent) == 1
    assert two.done() is (shares == "nothing")
    answered.set()
    await asyncio.gather(one, two)
    assert book.answers == []


@pytest.mark.parametrize("lost", [True, False])
async def test_a_create_that_a_ledger_forgot_twice_over_is_not_sent_again(lost: bool) -> None:  # noqa: FBT001 - drawn
    """Neither that it was sent is known, nor what became of it: but this process knows, and tells it once more."""
    book = FakeBook([Go(2, None, 0, 0), Go(2, None, 0, 0), Go(1, None, 0, 0)])
    crm = FakeCrm(AnswerLost(SEEN) if lost else Found())
    reporter = FakeReporter()
    process = runner(book, crm, reporter)

    first = await process.deliver(delivery(CREATE))
    for tag in ("second", "third"):
        again = await process.deliver(dataclasses.replace(delivery(CREATE), tag=tag))
        assert type(again) is type(first)

    assert len(crm.sent) == 1
    assert [told["to"] for told in book.settled] == (["in_doubt"] * 3 if lost else ["succeeded"] * 3)
    assert book.tags == ["tag", "second", "third"]
    # How the instance does is no news any more.
    assert ["beat" in told for told in book.settled] == [True, False, False]
    assert reporter.told.count("notice") == 2


@pytest.mark.parametrize("go", [Go(2, None, 0, 0), Go(1, None, 0, 1)])
async def test_a_create_that_is_sent_again_by_right_is_sent(go: Go) -> None:
    """It was proved absent, or replayed: the ledger has counted on."""
    book, crm = FakeBook([Go(1, None, 0, 0), go]), FakeCrm(AnswerLost(SEEN))
    process = runner(book, crm)

    await process.deliver(delivery(CREATE))
    await process.deliver(delivery(CREATE))

    assert len(crm.sent) == 2


async def test_what_is_long_past_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No replica lags that far behind; and memory has an end."""
    kept, now = Lately(), [100.0]
    monkeypatch.setattr("oppsync_worker.runner.lately.time.monotonic", lambda: now[0])
    monkeypatch.setattr("oppsync_worker.runner.lately.MOST", 3)
    call, go = Call("settle", ("tag", "a", "succeeded", 60)), Go(1, None, 0, 0)
    for name in "abcd":
        kept.keep(name, go, call, None)
    assert [name for name in "abcd" if kept.forgotten(name, go)] == ["b", "c", "d"]
    now[0] += 59
    kept.keep("e", go, call, None)
    assert kept.forgotten("d", go)
    now[0] += 2
    kept.keep("f", go, call, None)
    assert [name for name in "abcdef" if kept.forgotten(name, go)] == ["e", "f"]
