"""What a delivery hands to the ledger and to whoever listens: every figure in its unit, on a clock that is set."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import kwargs_of
from oppsync_worker.departures import current
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    NotSent,
    Rejected,
    Seen,
    Throttled,
    Unavailable,
)
from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger import ends
from oppsync_worker.ledger.begin import Answer, Go, Parked, Soon
from oppsync_worker.ledger.book import Settled
from oppsync_worker.ledger.connect import LedgerRefused, LedgerUnavailable
from oppsync_worker.ledger.ends import NOTHING, Attempt, Effects, Hand
from oppsync_worker.ledger.recalling import Sent
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.observe.context import JobContext, job_context
from oppsync_worker.policy.verdicts import Bury, Defer, Doubt, HoldInstance, Retry
from oppsync_worker.runner import counting
from oppsync_worker.runner import runner as module
from oppsync_worker.runner.ends import Abandoned, Dead, Done
from oppsync_worker.runner.ends import Parked as ParkedEnd
from oppsync_worker.runner.reports import Report
from oppsync_worker.runner.runner import Delivery, Runner
from oppsync_worker.runner.settling import REFUSED, effects_of, end_of, fulfil
from oppsync_worker.settings import fingerprint

ACME = InstanceSettings(name="acme", token="t", marker_field="Sync")
CREATE = CreateOpportunity(job_id="j1", instance="acme", funnel_id=7, title="T", crm_column=130, lane="bulk")
UPDATE = UpdateOpportunity(job_id="j2", instance="acme", funnel_id=7, opportunity_id=5, title="T", value="3")
HAND = Hand("tag", "j1", 60)
SEEN = Seen(503, "words")


class Clock:
    """Monotonic time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The runner's."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(counting, "time", made)
    return made


@dataclass
class World:
    """Ledger, CRM and listener in one, each of which keeps everything that it was given."""

    clock: Clock
    begins: list[Answer | Exception] = field(default_factory=list)
    answer: Any = None
    settled: Settled = field(default_factory=lambda: Settled(State.SUCCEEDED))
    state: State | None = State.DEAD
    call_s: float = 0.25
    between_s: float = 0.0
    """Between leave and sending."""
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    sent: list[tuple[Sent, float]] = field(default_factory=list)
    late: list[tuple[str, int, float]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    requests: list[tuple[Any, ...]] = field(default_factory=list)
    told: list[tuple[str, tuple[Any, ...], Mapping[str, Any]]] = field(default_factory=list)
    draws: float = 0.5
    lease_s: float = 30.0
    context: JobContext | None = None
    """Which job a line logged during the request would be of."""

    # The ledger.

    async def begin(self, hand: Hand, job: Any, **given: Any) -> Answer:
        self.asked.append((hand, job.job_id, given))
        answer = self.begins.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.clock.now += self.between_s
        return answer

    async def settle(self, call: Call, *, stopping: asyncio.Event | None = None) -> State | None:
        del stopping
        self.calls.append(call)
        return self.state

    async def settle_sent(self, call: Call, sent: Sent, *, sent_at: float) -> Settled:
        self.calls.append(call)
        self.sent.append((sent, sent_at))
        return self.settled

    async def release(self, tag: str) -> None:
        self.released.append(tag)

    def left_late(self, instance: str, *, counted_at: int, late_s: float) -> None:
        self.late.append((instance, counted_at, late_s))

    # The CRM.

    async def send(self, job: Any, instance: InstanceSettings, **given: Any) -> Any:
        self.requests.append((job, instance, given))
        current()()
        self.context = job_context.get()
        self.clock.now += self.call_s
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    # The listener.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **given: self.told.append((name, args, given))

    def runner(self, instances: Mapping[str, InstanceSettings] | None = None) -> Runner:
        return Runner(
            book=self,  # type: ignore[arg-type]
            sender=self,
            instances={"acme": ACME} if instances is None else instances,
            reporter=self,  # type: ignore[arg-type]
            ttl_s=60,
            lease_s=self.lease_s,
            draw=lambda: self.draws,
        )

    async def deliver(self, job: Any, **given: Any) -> Any:
        return await self.runner().deliver(delivery(job, **given))


def delivery(job: Any, **given: Any) -> Delivery:
    """A claimed message of a job."""
    return Delivery("tag", job.kind.value, job.job_id, (), kwargs_of(job), **given)


def found(opportunity_id: int = 99, *, landed: bool | None = None, status: int | None = 201) -> Any:
    """A record, as the CRM's client gives it."""
    return SimpleNamespace(
        opportunity_id=opportunity_id, kept={"id": opportunity_id}, marker_landed=landed, status=status
    )


def pairs(call: Call) -> dict[str, Any]:
    """What a script is given by name."""
    _, _, _, _, *rest = call.arguments
    return dict(zip(map(str, rest[::2]), rest[1::2], strict=True))


# --- A success ------------------------------------------------------------------------------------------------------


async def test_a_success_is_settled_with_all_its_figures(clock: Clock) -> None:
    """Attempts, replays, and three times in milliseconds; the history has the HTTP status."""
    go = Go(3, None, 12_345, 2, 777, asked_at=clock.now, counted_at=9)
    world = World(clock, [go], found(landed=True))

    end = await world.deliver(CREATE)

    (call,) = world.calls
    assert (call.script, call.arguments[:4]) == ("settle", ("tag", "j1", "succeeded", 60))
    given = pairs(call)
    result = {
        "state": "succeeded",
        "job_id": "j1",
        "kind": "opportunities.create",
        "instance": "acme",
        "opportunity_id": 99,
        "attempts": 3,
        "replays": 2,
        "record": {"id": 99},
        "timings": {"age_ms": 12_345, "slot_wait_ms": 0, "call_ms": 250},
    }
    assert end == Done(result)
    assert json.loads(given.pop("result")) == result
    attempt = json.loads(given.pop("attempt"))
    assert attempt.pop("at").endswith("Z")
    assert attempt == {"attempt": 3, "ms": 250, "status": 201, "error": None, "message": None}
    assert given == {"opportunity_id": 99, "funnel": 7, "marker": "lands", "beat": 1}
    assert world.sent == [(Sent(CREATE, lease_ms=30_000, marker_field="Sync", own=False), 1_000.0)]
    assert world.requests == [(CREATE, ACME, {"marker": "j1", "opportunity_id": None})]
    assert world.late == []
    ((name, (report, opportunity_id), more),) = world.told
    assert (name, opportunity_id, more) == ("succeeded", 99, {"stale": False})
    assert report == Report("j1", "opportunities.create", "acme", "bulk", 3, 2, 12_345, 0, 250)


async def test_an_updates_success_says_what_it_wrote(clock: Clock) -> None:
    """And nothing of a marker, which it never bears."""
    world = World(clock, [Go(1, 5, 0, 0, asked_at=clock.now)], found(5))

    await world.deliver(UPDATE)

    given = pairs(world.calls[0])
    assert json.loads(given["wrote"]) == ["title", "value"]
    assert not {"funnel", "marker", "unmarked", "unsure"} & given.keys()
    assert world.requests == [(UPDATE, ACME, {"marker": None, "opportunity_id": 5})]


async def test_a_success_that_another_claim_has_overtaken_is_told_as_stale(clock: Clock) -> None:
    """Nothing changed in the ledger."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found(), settled=Settled(None))

    assert isinstance(await world.deliver(CREATE), Done)

    assert [(name, given) for name, _, given in world.told] == [("succeeded", {"stale": True})]


@pytest.mark.parametrize(
    ("settled", "told"),
    [
        (Settled(State.SUCCEEDED), []),
        (Settled(State.SUCCEEDED, recalled=True), [("notice", ("recalled",), {"job_id": "j1", "instance": "acme"})]),
        (Settled(State.SUCCEEDED, recalled=True, surplus=True, other=5), [("surplus", (99, 5), {})]),
        (Settled(State.SUCCEEDED, surplus=True), [("surplus", (99, None), {})]),
    ],
)
async def test_what_a_ledger_that_forgot_brings_to_light_is_told(clock: Clock, settled: Settled, told: Any) -> None:
    """A record more than the job stands for, or only that it had been forgotten."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found(landed=True), settled=settled)

    await world.deliver(CREATE)

    heard = [(name, tuple(one for one in args if not isinstance(one, Report)), more) for name, args, more in world.told]
    assert heard == [*told, ("succeeded", (99,), {"stale": False})]
    assert all(isinstance(args[0], Report) for name, args, _ in world.told if name != "notice")


async def test_a_failure_that_a_ledger_had_forgotten_is_told_too(clock: Clock) -> None:
    """Nobody knows then of a record."""
    settled = Settled(State.IN_DOUBT, surplus=True, other=5)
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], AnswerLost(SEEN), settled=settled)

    assert await world.deliver(CREATE) == ParkedEnd(State.IN_DOUBT)

    name, (_, *facts), _ = world.told[0]
    assert (name, facts) == ("surplus", [None, 5])


async def test_a_marker_that_did_not_land_is_an_alarm_with_its_funnel(clock: Clock) -> None:
    """The instance's setting names a field that does not exist there."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found(landed=False))

    await world.deliver(CREATE)

    assert [(name, args[1:]) for name, args, _ in world.told] == [("marker_lost", (7,)), ("succeeded", (99,))]


async def test_what_is_logged_meanwhile_names_the_job(clock: Clock) -> None:
    """With its instance, kind and lane; and nothing afterwards does."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found())

    await world.deliver(CREATE)

    assert world.context == JobContext("j1", instance="acme", kind="opportunities.create", lane="bulk")
    assert job_context.get() is None


async def test_a_ledger_that_is_away_is_told_with_the_job(clock: Clock) -> None:
    """And what it said; then that nothing was sent, with all that a job that nobody has begun needs to be filed."""
    world = World(clock, [LedgerUnavailable("away")], state=State.WAITING)

    assert await world.deliver(CREATE) == ParkedEnd(State.WAITING)

    assert world.told[0] == ("notice", ("ledger_unavailable",), {"job_id": "j1", "message": "away"})
    assert [call.arguments[:3] for call in world.calls] == [("tag", "j1", "waiting")]
    facts = {"kind": "opportunities.create", "instance": "acme", "lane": "bulk", "refund": 1, "cause": "not_begun"}
    assert pairs(world.calls[0]).items() >= facts.items()
    assert world.runner()._under_way == {}


async def test_what_the_ledger_refuses_to_begin_is_told_with_the_job(clock: Clock) -> None:
    """And left to its lease."""
    world = World(clock, [LedgerRefused("illegal")])

    assert await world.deliver(CREATE) == Abandoned("illegal")

    assert world.told == [("notice", ("ledger_unavailable",), {"job_id": "j1", "message": "illegal"})]
    assert world.calls == []


# --- A failure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "to", "facts"),
    [
        (NotSent(SEEN), "scheduled", {"delay": 2_000, "cause": "NotSent", "detail": "words", "beat": 0}),
        (NotSent(SEEN, retry_after_s=10), "scheduled", {"delay": 10_500}),
        (Throttled(SEEN), "waiting", {"cool_ms": 68_250, "refund": 1, "cause": "throttled", "detail": "words"}),
        (Throttled(SEEN, retry_after_s=20, limit=50), "waiting", {"cool_ms": 21_000, "limit": 50}),
        (AnswerLost(SEEN), "in_doubt", {"cause": "answer_lost", "detail": "words", "beat": 0}),
        (Rejected(SEEN), "dead", {"cause": "rejected", "detail": "HTTP 503: words", "beat": 1}),
        (CredentialRefused(SEEN), "held", {"cause": "credential", "fingerprint": fingerprint(ACME)}),
    ],
)
async def test_a_failure_is_settled_in_milliseconds(
    clock: Clock, error: AttemptError, to: str, facts: dict[str, Any]
) -> None:
    """Its delay or its pause, counted by the ledger from now; the history has what was said."""
    settled = Settled(State(to))
    world = World(clock, [Go(2, None, 0, 0, asked_at=clock.now)], error, settled=settled)

    end = await world.deliver(CREATE)

    (call,) = world.calls
    assert call.arguments[:4] == ("tag", "j1", to, 60)
    given = pairs(call)
    assert {name: given.get(name) for name in facts} == facts
    attempt = json.loads(given["attempt"])
    assert attempt.pop("at").endswith("Z")
    assert attempt == {"attempt": 2, "ms": 250, "status": 503, "error": type(error).__name__, "message": "words"}
    assert world.sent == [(Sent(CREATE, lease_ms=30_000, marker_field="Sync", own=False), 1_000.0)]
    assert end == (Dead(Cause.REJECTED, "HTTP 503: words") if to == "dead" else ParkedEnd(State(to)))
    ((name, (report, raised, verdict, state), _),) = world.told
    assert (name, raised, state) == ("failed", error, State(to))
    assert (report.attempt, report.duration_ms) == (2, 250)
    assert isinstance(verdict, Retry | Defer | HoldInstance | Doubt | Bury)


@pytest.mark.parametrize(("trying_ms", "to"), [(86_399_999, "scheduled"), (86_400_000, "dead")])
async def test_a_jobs_time_is_counted_from_its_first_attempt_in_milliseconds(
    clock: Clock, trying_ms: int, to: str
) -> None:
    """A day by default; how long it waited for its turn before does not count."""
    world = World(clock, [Go(1, None, 10**9, 0, trying_ms, asked_at=clock.now)], NotSent(SEEN))

    await world.deliver(CREATE)

    assert world.calls[0].arguments[2] == to


@pytest.mark.parametrize(("attempt", "to"), [(11, "scheduled"), (12, "dead")])
async def test_a_jobs_attempts_are_counted(clock: Clock, attempt: int, to: str) -> None:
    """Twelve by default."""
    world = World(clock, [Go(attempt, None, 0, 0, asked_at=clock.now)], NotSent(SEEN))

    await world.deliver(CREATE)

    assert world.calls[0].arguments[2] == to


async def test_the_draw_decides_the_delay(clock: Clock) -> None:
    """So that a herd does not come back as one."""
    delays = []
    for draw in (0.25, 0.75):
        world = World(clock, [Go(3, None, 0, 0, asked_at=clock.now)], NotSent(SEEN), draws=draw)
        await world.deliver(CREATE)
        delays.append(pairs(world.calls[0])["delay"])

    assert delays == [2_000, 6_000]


@pytest.mark.parametrize(("job", "to"), [(CREATE, "in_doubt"), (UPDATE, "scheduled")])
async def test_a_defect_while_sending_is_an_answer_lost(clock: Clock, job: Any, to: str) -> None:
    """It may have left: a create is in doubt, an update is sent again, and the defect is reported with its job."""
    bug = ZeroDivisionError("secret words")
    world = World(clock, [Go(1, 5, 0, 0, asked_at=clock.now)], bug)

    await world.deliver(job)

    assert world.calls[0].arguments[2] == to
    attempt = json.loads(pairs(world.calls[0])["attempt"])
    assert (attempt["status"], attempt["message"]) == (None, "internal error while sending: ZeroDivisionError")
    name, (error, report), _ = world.told[0]
    assert (name, error, report.job_id) == ("unexpected", bug, job.job_id)


# --- Time that passes in between ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("between_s", "leaves"), [(29.9, True), (30.0, True), (30.1, False)])
async def test_a_worker_that_stood_still_for_longer_than_a_lease_sends_nothing(
    clock: Clock, between_s: float, *, leaves: bool
) -> None:
    """Counted from its question; and nothing is said of the instance, of which nothing is known."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found(), between_s=between_s, state=State.SCHEDULED)

    end = await world.deliver(CREATE)

    assert len(world.requests) == leaves
    if not leaves:
        assert end == ParkedEnd(State.SCHEDULED)
        given = pairs(world.calls[0])
        assert not {"beat", "wrote", "unsure"} & given.keys()
        assert "stood still for longer than a lease" in given["detail"]
        assert world.sent == [], "nothing has left, so there is nothing to recall"
    assert world.late == ([("acme", 0, pytest.approx(between_s))] if leaves else [])


async def test_how_long_a_slot_was_waited_for_is_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds; each wait as long as the ledger says, and then it is asked again."""
    waits: list[float] = []

    @asynccontextmanager
    async def timeout(seconds: float) -> Any:
        waits.append(seconds)
        clock.now += seconds
        raise TimeoutError
        yield  # pragma: no cover

    world = World(clock, [Soon(125), Soon(250), Go(1, None, 0, 0, asked_at=clock.now)], found())
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(timeout=timeout, Event=asyncio.Event))

    end = await world.deliver(CREATE)

    assert waits == [0.125, 0.25]
    assert len(world.asked) == 3
    assert isinstance(end, Done)
    assert end.result["timings"]["slot_wait_ms"] == 375


@pytest.mark.parametrize("own", [True, False])
async def test_the_question_carries_what_the_ledger_needs(clock: Clock, *, own: bool) -> None:
    """A quarter of a second may be waited for here; the marker's field is written down before anything leaves."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found())

    await world.deliver(CREATE, own=own)

    assert world.asked == [(HAND, "j1", {"horizon_ms": 250, "marker_field": "Sync", "own": own})]


@pytest.mark.parametrize("why", ["waiting", "not_replicated", "copy"])
async def test_what_is_parked_is_told_with_its_reason(clock: Clock, why: str) -> None:
    """Replicas that do not keep up are worth a line of their own."""
    world = World(clock, [Parked(State.WAITING, why)])

    assert await world.deliver(CREATE) == ParkedEnd(State.WAITING)

    notices = [(args, more) for name, args, more in world.told if name == "notice"]
    assert notices == ([(("not_replicated",), {"job_id": "j1", "instance": "acme"})] if why == "not_replicated" else [])
    name, (report, state), more = world.told[-1]
    assert (name, report.job_id, state, more) == ("parked", "j1", State.WAITING, {"cause": why})
    assert (world.requests, world.calls, world.late) == ([], [], [])


async def test_a_stopping_worker_asks_nothing(clock: Clock) -> None:
    """It gives the claim back."""
    world = World(clock)
    one = world.runner()
    one.stop()

    assert await one.deliver(delivery(CREATE)) == ParkedEnd(State.QUEUED)
    assert (world.asked, world.released) == ([], ["tag"])


async def test_a_job_that_is_under_way_here_is_waited_for(clock: Clock) -> None:
    """A ledger that forgot hands it out again; it is asked only when the first request is over, well or badly."""
    world = World(clock, [Go(1, None, 0, 0, asked_at=clock.now)], found())
    sending, over = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any, **__: Any) -> Any:
        sending.set()
        await over.wait()
        raise Rejected(SEEN)

    world.send = slow  # type: ignore[method-assign]
    one = world.runner()
    first = asyncio.ensure_future(one.deliver(delivery(CREATE)))
    await sending.wait()
    world.begins.append(Parked(State.DEAD, "copy"))
    second = asyncio.ensure_future(one.deliver(delivery(CREATE)))
    other = asyncio.ensure_future(one.deliver(delivery(CREATE.model_copy(update={"job_id": "j9"}))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert [job_id for _, job_id, _ in world.asked] == ["j1", "j9"]

    world.begins.append(Parked(State.DEAD, "copy"))
    over.set()
    await asyncio.gather(first, second, other)

    assert [job_id for _, job_id, _ in world.asked] == ["j1", "j9", "j1"]
    assert one._under_way == {}


# --- What is never begun ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "shown"), [(State.DEAD, State.DEAD), (None, State.HELD)])
async def test_an_unknown_instance_is_held_with_all_that_is_known(clock: Clock, state: Any, shown: State) -> None:
    """So that the right worker finds it, in its lane."""
    world = World(clock, state=state)

    end = await world.runner({}).deliver(delivery(CREATE))

    assert end == ParkedEnd(shown)
    assert world.calls == [ends.hold_unknown_instance(HAND, kind="opportunities.create", instance="acme", lane="bulk")]
    ((name, (report, told), more),) = world.told
    assert (name, report.job_id, told, more) == ("parked", "j1", shown, {"cause": "unknown_instance"})


async def test_a_bad_message_is_buried_with_its_instance_if_that_can_be_told(clock: Clock) -> None:
    """Only where the job was a job; and the listener hears the sentence."""
    world = World(clock)
    good = kwargs_of(CREATE)
    bad = ({**good, "title": ""}, {**good, "title": "", "instance": 5}, {**good, "v": 9})
    ends_told = [await world.runner().deliver(Delivery("tag", "opportunities.create", "j1", (), one)) for one in bad]

    assert [pairs(call).get("instance") for call in world.calls] == ["acme", None, None]
    for end, call, (name, args, _) in zip(ends_told, world.calls, world.told, strict=True):
        given = pairs(call)
        assert call.arguments[:4] == ("tag", "j1", "dead", 60)
        assert (given["cause"], given["kind"]) == ("invalid", "opportunities.create")
        assert end == Dead(Cause.INVALID, given["detail"])
        assert (name, args) == ("buried_unread", ("j1", "opportunities.create", Cause.INVALID, given["detail"]))


async def test_a_defect_in_reading_a_job_is_that_jobs_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buried with the defect's name and no word of it, for nobody knows what it quotes."""
    bug = ZeroDivisionError("a customer's words")

    def broken(*_: object) -> Any:
        raise bug

    monkeypatch.setattr(module, "decode", broken)
    world = World(clock)

    end = await world.deliver(CREATE)

    said = "an error of the worker's own, before anything was sent: ZeroDivisionError"
    assert end == Dead(Cause.INTERNAL, said)
    assert world.calls == [ends.bury(HAND, cause=Cause.INTERNAL, detail=said, kind="opportunities.create")]
    assert world.told == [
        ("unexpected", (bug, None), {}),
        ("buried_unread", ("j1", "opportunities.create", Cause.INTERNAL, said), {}),
    ]


async def test_a_defect_in_beginning_a_job_names_its_instance(clock: Clock) -> None:
    """And leaves nothing under way."""
    world = World(clock, [ZeroDivisionError("x")])
    one = world.runner()

    await one.deliver(delivery(CREATE))

    assert (pairs(world.calls[0])["instance"], pairs(world.calls[0])["kind"]) == ("acme", "opportunities.create")
    assert one._under_way == {}


# --- From a verdict to a script --------------------------------------------------------------------------------------

ATTEMPT = Attempt(at="2026-01-01T00:00:00.000Z", number=2, duration_ms=7, status=503, error="X", message="words")
EFFECTS = Effects(answers=False, wrote=("title",), unsure=True)


@pytest.mark.parametrize(
    ("verdict", "call"),
    [
        (Retry(1.25), ends.reschedule(HAND, delay_ms=1_250, attempt=ATTEMPT, effects=EFFECTS)),
        (Retry(0.1), ends.reschedule(HAND, delay_ms=100, attempt=ATTEMPT, effects=EFFECTS)),
        (Defer(65.5, 50), ends.wait(HAND, cool_down_ms=65_500, limit=50, attempt=ATTEMPT)),
        (Defer(1.0, None), ends.wait(HAND, cool_down_ms=1_000, limit=None, attempt=ATTEMPT)),
        (Doubt(), ends.doubt(HAND, attempt=ATTEMPT, effects=EFFECTS)),
        (
            Bury(Cause.EXHAUSTED, "why"),
            ends.bury(HAND, cause=Cause.EXHAUSTED, detail="why", attempt=ATTEMPT, effects=EFFECTS),
        ),
        (
            HoldInstance(),
            ends.refuse_credential(
                HAND, fingerprint=fingerprint(ACME), attempt=ATTEMPT, max_refusals=5, max_delay_ms=900_000
            ),
        ),
    ],
)
def test_a_verdict_is_one_script_with_its_figures_in_milliseconds(verdict: Any, call: Call) -> None:
    """And with what the request did to its record and its instance."""
    assert fulfil(verdict, HAND, ACME, ATTEMPT, EFFECTS) == call


@pytest.mark.parametrize(
    ("error", "create", "update"),
    [
        (Rejected(SEEN), Effects(answers=True), Effects(answers=True)),
        (NotSent(SEEN), Effects(answers=False), Effects(answers=False)),
        (AnswerLost(SEEN), Effects(answers=False), Effects(answers=False)),
        (
            Unavailable(SEEN),
            Effects(answers=False, unsure=True),
            Effects(answers=False, wrote=("title", "value"), unsure=True),
        ),
        (Throttled(SEEN), NOTHING, NOTHING),
        (CredentialRefused(SEEN), NOTHING, NOTHING),
    ],
)
def test_what_a_failure_says_of_the_instance_and_of_the_record(
    error: AttemptError, create: Effects, update: Effects
) -> None:
    """A refusal is a sign of life; an update of unknown fate may have written its fields."""
    assert effects_of(CREATE, error) == create
    assert effects_of(UPDATE, error) == update


@pytest.mark.parametrize(
    ("verdict", "state", "end"),
    [
        (Bury(Cause.REJECTED, "why"), State.DEAD, Dead(Cause.REJECTED, "why")),
        (Bury(Cause.REJECTED, "why"), State.SUCCEEDED, ParkedEnd(State.SUCCEEDED)),
        (Bury(Cause.REJECTED, "why"), None, ParkedEnd(State.UNKNOWN)),
        (HoldInstance(), State.DEAD, Dead(Cause.REFUSED, REFUSED)),
        (HoldInstance(), State.HELD, ParkedEnd(State.HELD)),
        (Retry(1), State.DEAD, ParkedEnd(State.DEAD)),
        (Retry(1), State.SCHEDULED, ParkedEnd(State.SCHEDULED)),
        (Doubt(), State.IN_DOUBT, ParkedEnd(State.IN_DOUBT)),
    ],
)
def test_what_the_rim_is_told_is_what_the_ledger_did(verdict: Any, state: State | None, end: Any) -> None:
    """Not what was meant."""
    assert end_of(verdict, state) == end


def test_a_report_knows_its_job_and_what_it_took() -> None:
    """Milliseconds from seconds, cut and not rounded."""
    report = Report.of(CREATE)
    assert report == Report("j1", "opportunities.create", "acme", "bulk", 0, 0, 0, 0, 0)

    report.took(Go(4, None, 5_000, 6), 1.2345)

    assert report == Report("j1", "opportunities.create", "acme", "bulk", 4, 6, 5_000, 0, 1_234)
    assert report.as_success("then", 200) == Attempt("then", 4, 1_234, 200, None, None)
    assert report.as_attempt("then", NotSent(SEEN)) == Attempt("then", 4, 1_234, 503, "NotSent", "words")
