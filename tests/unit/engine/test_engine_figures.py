"""What the engine hands to the ledger, to kombu and to listeners, with its units; Redis is a list of calls here."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal

import click
import pytest
import redis
from celery import Celery
from celery.exceptions import Ignore, Retry
from celery.worker import state as celery_state
from kombu.transport import redis as stock
from kombu.transport import virtual
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost

from oppsync_worker.contract import failures
from oppsync_worker.contract.names import MAX_MESSAGE_BYTES, Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import ORIGIN
from oppsync_worker.engine import engine as engine_module
from oppsync_worker.engine import retrying, transport
from oppsync_worker.engine.engine import TAG_HEADER, Engine
from oppsync_worker.engine.hands import Hands, Hold
from oppsync_worker.engine.retrying import Asked, put_back
from oppsync_worker.engine.transport import Channel, QoS, Transport
from oppsync_worker.instances import InstanceSettings, RetrySettings
from oppsync_worker.ledger.claims import Claimed
from oppsync_worker.ledger.connect import LedgerUnavailable, connection_options
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.policy import verdicts
from oppsync_worker.runner.ends import Abandoned, Dead, Done, Parked
from oppsync_worker.runner.reports import Report
from oppsync_worker.runner.runner import Delivery
from oppsync_worker.tasks import OpportunityTask, register
from oppsync_worker.version import release

NOTHING_CLAIMED: Any = [[], [], 0]


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.told.append((name, *args, *sorted(kwargs.items())))


class Ledger:
    """Redis as the consumer thread reaches it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[Any] = []
        self.job: Any = b"j1"
        self.entry: Any = [b"queued", b""]
        self.closed = False

    def run(self, _client: object, call: Call) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def hget(self, key: str, name: str) -> Any:
        assert (key, name) == ("oppsync:claim:7", "job")
        if isinstance(self.job, Exception):
            raise self.job
        return self.job

    def hmget(self, key: str, names: list[str]) -> Any:
        assert (key, names) == ("oppsync:job:j1", ["state", "kind"])
        if isinstance(self.entry, Exception):
            raise self.entry
        return self.entry

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger that remembers what it was asked."""
    one = Ledger()
    monkeypatch.setattr(engine_module, "run", one.run)
    return one


@pytest.fixture
def one(ledger: Ledger) -> Engine:
    """An engine with a claim in hand: 30 s of lease, a minute of outcomes, four calls at once."""
    made = Engine(
        redis_url="redis://127.0.0.1:1/3",
        lease_s=30.5,
        ttl_s=60,
        concurrency=4,
        reporter=Listener(),  # type: ignore[arg-type]
    )
    made._redis = ledger  # type: ignore[assignment]
    made.hands.take("7")
    return made


def told(one: Engine) -> list[tuple[Any, ...]]:
    """What its listener heard."""
    return one.reporter.told  # type: ignore[attr-defined,no-any-return]


# Claiming.


def test_it_connects_with_bounded_patience() -> None:
    """Once more at once, and with the options of everybody."""
    made = Engine(redis_url="redis://127.0.0.1:1/3", lease_s=1, ttl_s=1, concurrency=1, reporter=Listener())  # type: ignore[arg-type]
    given = made._redis.connection_pool.connection_kwargs

    retry = made._redis.get_retry()
    assert retry is not None
    assert retry._retries == 1
    assert isinstance(retry._backoff, NoBackoff)
    options = connection_options("redis://h")
    assert {name: given[name] for name in options} == options
    assert given["db"] == 3
    assert made.redis_url == "redis://127.0.0.1:1/3"


def test_claims_are_asked_for_with_the_lease_in_milliseconds(one: Engine, ledger: Ledger) -> None:
    """A hundred at most; a question that was not answered is asked again, another is new."""
    ledger.answers = [NOTHING_CLAIMED, Lost(), NOTHING_CLAIMED, NOTHING_CLAIMED]

    one.claim(["a", "b"], 3)
    with pytest.raises(Lost):
        one.claim(["a"], 100)
    one.claim(["a"], 100)
    one.claim(["a"], 101)

    questions = [call.arguments[3] for call in ledger.calls]
    assert [call.script for call in ledger.calls] == ["claim"] * 4
    assert ledger.calls[0].arguments == (3, 30_500, one.name, questions[0], MAX_MESSAGE_BYTES, release(), "a", "b")
    assert [call.arguments[0] for call in ledger.calls] == [3, 100, 100, 100]
    assert questions[1] == questions[2]
    assert len({questions[0], questions[1], questions[3]}) == 3
    another = Engine(redis_url="redis://h:1/0", lease_s=1, ttl_s=1, concurrency=1, reporter=Listener())  # type: ignore[arg-type]
    ledger.answers = [NOTHING_CLAIMED]
    another.claim(["a"], 1)
    assert ledger.calls[-1].arguments[3] not in questions


def test_what_was_claimed_is_in_hand_and_what_was_buried_is_told(one: Engine, ledger: Ledger) -> None:
    """Each claim is a move; so is what went out of a lane for want of a slot."""
    ledger.answers = [
        [[[b"8", b"q", b"m"], [b"9", b"q", b"n"]], [[b"raw-1", b"malformed", b"why"]], 0],
        [[], [], 5],
        NOTHING_CLAIMED,
    ]

    assert one.claim(["q"], 2) == [Claimed("8", "q", b"m"), Claimed("9", "q", b"n")]
    assert one.hands.to_renew() == ["7", "8", "9"]
    assert told(one) == [("buried_unread", "raw-1", "", Cause.MALFORMED, "why")]
    moves = []
    for _ in range(2):
        one.claim(["q"], 2)
        moves.append(one.hands.moves)
    assert moves == [4, 4]


@pytest.mark.parametrize(("held", "room"), [(0, 5), (1, 4), (4, 1), (5, 1), (6, 1), (15, 1), (16, 0), (17, 0)])
def test_there_is_room_for_what_was_announced_and_then_for_one_more(one: Engine, held: int, room: int) -> None:
    """Four calls at once announce five; at sixteen it is full."""
    one.hands.drop("7")
    for number in range(held):
        one.hands.take(str(number))

    assert one.room() == room


@pytest.mark.parametrize(
    ("closing", "stop", "terminate", "stopping"),
    [
        (False, None, None, False),
        (False, False, False, False),
        (True, None, None, True),
        (False, 0, None, True),
        (False, None, 0, True),
        (False, 1, False, True),
        (False, True, None, True),
    ],
)
def test_a_worker_is_stopping_when_it_was_told_to(
    one: Engine, monkeypatch: pytest.MonkeyPatch, closing: Any, stop: Any, terminate: Any, stopping: Any
) -> None:
    """By Celery's exit codes, of which 0 is one, or by its own."""
    monkeypatch.setattr(celery_state, "should_stop", stop)
    monkeypatch.setattr(celery_state, "should_terminate", terminate)
    one.closing = closing

    assert one.stopping is stopping


def test_a_stop_reaches_everybody_and_a_poll_is_timed(one: Engine, ledger: Ledger) -> None:
    """On the monotonic clock."""
    stopped: list[int] = []
    one.stoppers = [lambda: stopped.append(1), lambda: stopped.append(2)]
    before = time.monotonic()

    one.stop()
    assert one.polled_at is None
    one.polled()

    assert stopped == [1, 2]
    assert one.polled_at is not None
    assert before <= one.polled_at <= time.monotonic()
    assert one.__json__() == one.name
    assert one.name.count(":") == 1
    assert one.consumed() == []
    one.close()
    assert ledger.closed


# Delivering and giving up.

DELIVERY = Delivery("7", Kind.CREATE.value, "j1", (), {}, own=True)


@pytest.mark.parametrize(
    ("end", "hold"),
    [
        (Done({}), Hold.SETTLED),
        (Dead(Cause.LOST, "why"), Hold.SETTLED),
        (Parked(State.HELD), Hold.SETTLED),
        (Abandoned("why"), Hold.ABANDONED),
    ],
)
async def test_a_delivery_that_came_to_an_end_is_settled(one: Engine, end: Any, hold: Hold) -> None:
    """One that did not is left to its lease."""

    async def deliver(given: Delivery) -> Any:
        assert given is DELIVERY
        return end

    one.runner = SimpleNamespace(deliver=deliver)  # type: ignore[assignment]

    assert await one.deliver(DELIVERY) is end
    assert one.hands.drop("7") is hold


async def test_a_worker_that_is_not_open_yet_delivers_nothing(one: Engine) -> None:
    """The claim is left to its lease."""
    assert await one.deliver(DELIVERY) == Abandoned("the worker is not open yet")
    assert one.hands.drop("7") is Hold.ABANDONED


def test_burying_hands_over_what_the_message_says(one: Engine, ledger: Ledger) -> None:
    """Its task, to two hundred characters; the outcome is kept for as long as outcomes are."""
    one.bury("7", {"task": "t" * 300}, cause=Cause.MALFORMED, detail="why")

    assert ledger.calls == [
        Call(
            "settle",
            (
                *("7", "j1", "dead", 60, "cause", "malformed", "detail", "why", "version", release()),
                *("kind", "t" * 200),
            ),
        )
    ]
    assert told(one) == [("buried_unread", "j1", "t" * 200, Cause.MALFORMED, "why")]
    assert one.hands.drop("7") is Hold.SETTLED


@pytest.mark.parametrize("message", [None, {}, {"task": None}])
def test_a_message_that_names_no_task_is_buried_without(one: Engine, ledger: Ledger, message: Any) -> None:
    """Not as `None`."""
    one.bury("7", message, cause=Cause.MALFORMED, detail="why")

    assert ledger.calls[0].arguments[-2:] == ("kind", "")


@pytest.mark.parametrize("break_", ["job", "settle"])
@pytest.mark.parametrize("verb", ["bury", "acknowledged"])
def test_a_redis_that_is_away_leaves_the_claim_to_its_lease(
    one: Engine, ledger: Ledger, caplog: pytest.LogCaptureFixture, break_: str, verb: str
) -> None:
    """With a line, and nothing is told to be buried."""
    if break_ == "job":
        ledger.job = Lost()
    else:
        ledger.answers = [Lost()]

    if verb == "bury":
        one.bury("7", None, cause=Cause.MALFORMED, detail="why")
        assert one.hands.drop("7") is Hold.ABANDONED
    else:
        one.acknowledged("7")
    assert told(one) == []
    assert caplog.messages == ["claim 7 left to its lease: ConnectionError"]


@pytest.mark.parametrize("job", [None])
def test_a_claim_that_redis_does_not_know_is_nobody_s(one: Engine, ledger: Ledger, job: None) -> None:
    """Nothing is written."""
    ledger.job = job

    one.bury("7", None, cause=Cause.MALFORMED, detail="why")
    one.acknowledged("7")

    assert ledger.calls == []
    assert told(one) == []


def test_a_claim_is_handed_back(one: Engine, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """It is not in hand any more, whether Redis hears of it or not."""
    one.release("7")
    assert ledger.calls == [Call("release", ("7",))]
    assert len(one.hands) == 0
    ledger.answers = [Lost()]
    one.release("8")
    assert caplog.messages == ["claim 8 left to its lease: ConnectionError"]


@pytest.mark.parametrize("settle", ["settle", "abandon"])
def test_what_is_settled_or_abandoned_is_acknowledged_without_a_word(
    one: Engine, ledger: Ledger, settle: Literal["settle", "abandon"]
) -> None:
    """The scripts, or the lease, have decided."""
    getattr(one.hands, settle)("7")

    one.acknowledged("7")

    assert ledger.calls == []
    assert len(one.hands) == 0


GAVE_UP = "Celery gave the message up before it was settled"
REVOKED = (
    "revoked through Celery's remote control; the workers that heard it refuse the job for three hours, or until they"
    " are started again"
)


@pytest.fixture
def revoked() -> Iterator[None]:
    """Somebody has revoked the job."""
    celery_state.revoked.add("j1")
    yield
    celery_state.revoked.discard("j1")


@pytest.mark.parametrize("said", [GAVE_UP, REVOKED])
def test_a_create_on_its_way_that_celery_gives_up_is_in_doubt(
    one: Engine, ledger: Ledger, request: pytest.FixtureRequest, said: str
) -> None:
    """Never buried: SprintHub may carry it out, and a replay would double it."""
    if said == REVOKED:
        request.getfixturevalue("revoked")
    ledger.entry = [b"sending", b"opportunities.create"]

    one.acknowledged("7")

    (call,) = ledger.calls
    line = f'{{"at": "", "attempt": 0, "ms": 0, "status": null, "error": "GivenUp", "message": "{said}"}}'
    assert call == Call("settle", ("7", "j1", "in_doubt", 60, "attempt", line, "cause", "answer_lost", "detail", said))
    assert told(one) == []
    assert len(one.hands) == 0


def test_an_update_on_its_way_that_celery_gives_up_is_left_to_its_lease(
    one: Engine, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be sent again."""
    ledger.entry = [b"sending", b"opportunities.update"]

    one.acknowledged("7")

    assert ledger.calls == []
    assert caplog.messages == [f"claim 7 left to its lease: {GAVE_UP}"]


@pytest.mark.parametrize(
    "entry",
    [[b"sending", b"opportunities.update"], [b"queued", b"opportunities.create"], [None, None]],
)
def test_a_revoked_job_is_buried_with_who_did_it(one: Engine, ledger: Ledger, revoked: None, entry: Any) -> None:
    """Whatever it was, but for a create on its way."""
    del revoked
    ledger.entry = entry

    one.acknowledged("7")

    (call,) = ledger.calls
    assert call.arguments[2:8] == ("dead", 60, "cause", "internal", "detail", REVOKED)
    assert told(one) == [("buried_unread", "j1", "", Cause.INTERNAL, REVOKED)]


@pytest.mark.parametrize("entry", [[b"queued", b""], [b"queued", b"opportunities.create"], [None, None]])
def test_a_job_that_was_not_begun_and_is_given_up_is_buried(one: Engine, ledger: Ledger, entry: Any) -> None:
    """It must not disappear."""
    ledger.entry = entry

    one.acknowledged("7")

    assert ledger.calls[0].arguments[2:8] == ("dead", 60, "cause", "internal", "detail", GAVE_UP)
    assert told(one) == [("buried_unread", "j1", "", Cause.INTERNAL, GAVE_UP)]


def test_a_job_of_which_nobody_can_tell_how_it_stands_is_left_alone(one: Engine, ledger: Ledger) -> None:
    """Its lease decides."""
    ledger.entry = Lost()

    one.acknowledged("7")

    assert ledger.calls == []
    assert told(one) == []


def test_an_error_in_giving_up_goes_no_further(one: Engine, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Celery would end the worker for it; the log has all of it."""
    ledger.entry = []

    one.acknowledged("7")

    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("claim 7 left to its lease", logging.ERROR)
    assert record.exc_info


# Hands.


def test_every_coming_going_and_changing_is_a_move() -> None:
    """What a watchdog calls progress; what is not in hand does not change."""
    hands, seen = Hands(), []
    for deed in (
        lambda: hands.take("1"),
        lambda: hands.settle("1"),
        lambda: hands.abandon("1"),
        lambda: hands.drop("1"),
        lambda: hands.settle("1"),
        lambda: hands.abandon("1"),
    ):
        deed()
        seen.append((hands.moves, len(hands)))

    assert seen == [(1, 1), (2, 1), (3, 1), (4, 0), (4, 0), (4, 0)]


# `Task.retry`.

REPORT = Report("j1", "opportunities.update", "acme", "bulk")
SETTINGS = RetrySettings(max_attempts=4, first_delay_seconds=2, max_delay_seconds=100)


class Book:
    """The ledger from asyncio."""

    def __init__(self, standing: list[Any], state: State | None) -> None:
        self.standing = standing
        self.state = state
        self.calls: list[Call] = []
        self.away: str | None = None

    async def surely(self, call: Call) -> Any:
        assert call == Call("stand", ("7", "j1"))
        if self.away == "stand":
            raise LedgerUnavailable("away")
        return self.standing

    async def settle(self, call: Call) -> State | None:
        self.calls.append(call)
        if self.away == "settle":
            raise LedgerUnavailable("away")
        return self.state


def put(one: Engine, book: Book | None, delay_s: float | None = 7.25, most: int | None = None) -> Any:
    """Ask for another try."""
    one.book = book  # type: ignore[assignment]
    return asyncio.run(put_back(one, "7", REPORT, Asked(delay_s, most, "Boom"), SETTINGS, draw=0.5))


def settled(call: Call) -> dict[str, Any]:
    """Names and values of what was settled."""
    assert call.arguments[:2] == ("7", "j1")
    assert call.arguments[3] == 60
    return {"to": call.arguments[2], **dict(zip(call.arguments[4::2], call.arguments[5::2], strict=True))}


@pytest.mark.parametrize(("state", "unsure"), [(b"queued", None), (b"sending", 1)])
def test_a_job_that_is_put_back_is_scheduled_in_milliseconds(one: Engine, state: bytes, unsure: int | None) -> None:
    """One that was sent may be carried out all the same: its record's next update is told to wait."""
    book = Book([state, b"opportunities.update", 1, 2], State.SCHEDULED)

    assert put(one, book) == verdicts.Retry(7.25)

    found = settled(*book.calls)
    at = found["attempt"].partition('"at": "')[2].partition('"')[0]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(seconds=30)
    said = "its task asked for another try"
    assert found == {
        "to": "scheduled",
        "delay": 7_250,
        "attempt": f'{{"at": "{at}", "attempt": 3, "ms": 0, "status": null, "error": "Boom", "message": "{said}"}}',
        "cause": "Boom",
        "detail": said,
        "put_back": 1,
        "kind": "opportunities.update",
        "instance": "acme",
        "lane": "bulk",
        **({"unsure": unsure} if unsure else {}),
    }
    assert told(one) == []
    assert one.hands.drop("7") is Hold.SETTLED


@pytest.mark.parametrize(("retries", "delay_s"), [(0, 2.0), (1, 4.0), (2, 8.0)])
def test_without_a_time_of_its_own_a_retry_backs_off(one: Engine, retries: int, delay_s: float) -> None:
    """As the instance's settings say, from the first retry on."""
    book = Book([b"queued", b"", 1, retries], State.SCHEDULED)
    expected = retrying.delay_s(retries + 1, SETTINGS, draw=0.5, retry_after_s=None)

    assert put(one, book, None) == verdicts.Retry(expected)
    assert settled(*book.calls)["delay"] == int(expected * 1000)
    assert delay_s / 2 <= expected <= delay_s


def test_a_time_in_the_past_is_now(one: Engine) -> None:
    """Not a wait of less than nothing."""
    book = Book([b"queued", b"", 1, 0], State.SCHEDULED)

    assert put(one, book, -5.0) == verdicts.Retry(0.0)
    assert settled(*book.calls)["delay"] == 0


@pytest.mark.parametrize(
    ("most", "retries", "dead"), [(None, 2, False), (None, 3, True), (0, 0, True), (1, 0, False), (1, 1, True)]
)
def test_a_job_is_put_back_so_often_and_then_dead(one: Engine, most: int | None, retries: int, dead: Any) -> None:
    """As often as attempts are allowed less the first, unless its task says."""
    book = Book([b"queued", b"", 1, retries], State.DEAD if dead else State.SCHEDULED)
    why = f"put back {retries} times by its task; the last: Boom"

    end = put(one, book, 1.0, most)

    if not dead:
        assert end == verdicts.Retry(1.0)
        return
    assert end == Dead(Cause.EXHAUSTED, why)
    found = settled(*book.calls)
    assert found.pop("attempt").startswith('{"at": "')
    assert found == {
        "to": "dead",
        "cause": "exhausted",
        "detail": why,
        "version": release(),
        "kind": "opportunities.update",
        "instance": "acme",
    }
    assert told(one) == [("buried_unread", "j1", "opportunities.update", Cause.EXHAUSTED, why)]


def test_a_create_on_its_way_that_is_put_back_is_in_doubt(one: Engine) -> None:
    """Whoever listens hears where it is."""
    book = Book([b"sending", b"opportunities.create", 1, 0], State.IN_DOUBT)

    assert put(one, book) == Parked(State.IN_DOUBT)
    found = settled(*book.calls)
    assert (found["to"], found["cause"], found["detail"]) == (
        "in_doubt",
        "answer_lost",
        "its task asked for another try",
    )
    assert told(one) == [("parked", REPORT, State.IN_DOUBT, ("cause", "put_back"))]


@pytest.mark.parametrize(("state", "ends"), [(State.HELD, State.HELD), (None, State.UNKNOWN)])
@pytest.mark.parametrize("retries", [0, 9])
def test_a_job_that_went_elsewhere_is_told_so(one: Engine, state: State | None, ends: State, retries: int) -> None:
    """Somebody else has decided, between the question and the answer."""
    assert put(one, Book([b"queued", b"", 1, retries], state)) == Parked(ends)
    assert told(one) == [("parked", REPORT, ends, ("cause", "put_back"))]


def test_a_job_that_is_not_ours_is_left_where_it_is(one: Engine) -> None:
    """And its claim is over."""
    book = Book([b"succeeded", b"", 0, 0], None)

    assert put(one, book) == Parked(State.SUCCEEDED)
    assert book.calls == []
    assert one.hands.drop("7") is Hold.SETTLED


@pytest.mark.parametrize("away", ["stand", "settle", "no book"])
def test_a_ledger_that_is_away_leaves_the_claim_to_its_lease(one: Engine, away: str) -> None:
    """With the reason."""
    book = Book([b"queued", b"", 1, 0], None)
    book.away = away

    end = put(one, None if away == "no book" else book)

    assert isinstance(end, Abandoned)
    assert end.why == ("away" if away != "no book" else end.why)
    assert one.hands.drop("7") is Hold.ABANDONED


# The two tasks.


@pytest.fixture
def app(one: Engine, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """An app with the two tasks, which no other app of this process is given."""
    monkeypatch.setattr("celery._state._on_app_finalizers", set())
    made = Celery("figures", set_as_current=False, broker="memory://", backend="cache+memory://")
    made.conf.timezone = "America/Sao_Paulo"
    acme = InstanceSettings(name="acme", token="t" * 12, retry=SETTINGS)  # type: ignore[arg-type]
    register(made, one, {"acme": acme})
    return made


def called(task: Any, monkeypatch: pytest.MonkeyPatch, **request: Any) -> Any:
    """The task's request, as a worker would have it."""
    task.push_request(
        id="j1", called_directly=False, is_eager=False, kwargs={"instance": "acme", "lane": "bulk"}, **request
    )
    monkeypatch.setattr("oppsync_worker.tasks.drive", asyncio.run)
    return task


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(("origin", "own"), [(ORIGIN, True), ("gen1@host", False), (None, False)])
def test_a_task_hands_over_what_it_was_called_with(
    app: Celery, one: Engine, monkeypatch: pytest.MonkeyPatch, kind: Kind, origin: str | None, own: Any
) -> None:
    """Under its claim, and who wrote it."""
    seen: list[Delivery] = []

    async def deliver(delivery: Delivery) -> Any:
        seen.append(delivery)
        return Done({"a": 1})

    monkeypatch.setattr(one, "deliver", deliver)
    task = called(app.tasks[kind.value], monkeypatch, **{TAG_HEADER: "7", "origin": origin})

    assert task(1, x=2) is None
    assert seen == [Delivery("7", kind.value, "j1", (1,), {"x": 2}, own)]


@pytest.mark.parametrize("link", [{"callbacks": ["c"]}, {"chain": ["c"]}])
async def test_a_result_is_handed_on_only_if_somebody_reads_it(
    app: Celery, one: Engine, monkeypatch: pytest.MonkeyPatch, link: dict[str, Any]
) -> None:
    """It costs a tenth of a job's time."""

    async def deliver(_: Delivery) -> Any:
        return Done({"a": 1})

    monkeypatch.setattr(one, "deliver", deliver)
    task = called(app.tasks[Kind.CREATE], monkeypatch, **{TAG_HEADER: "7", **link})
    monkeypatch.setattr("oppsync_worker.tasks.drive", lambda coroutine: (coroutine.close(), Done({"a": 1}))[1])

    assert task() == {"a": 1}


@pytest.mark.parametrize(
    ("end", "error", "says"),
    [
        (Dead(Cause.REJECTED, "why"), failures.JobRejected, "why"),
        (Dead(Cause.UNKNOWN_TASK, "why"), failures.JobUnknownTask, "why"),
        (Parked(State.HELD), Ignore, ""),
        (Abandoned("why"), Ignore, ""),
    ],
)
def test_an_end_is_told_in_celery_s_words(
    app: Celery, one: Engine, monkeypatch: pytest.MonkeyPatch, end: Any, error: type[Exception], says: str
) -> None:
    """Failure by cause; what goes on elsewhere is nothing of Celery's."""

    async def deliver(_: Delivery) -> Any:
        return end

    monkeypatch.setattr(one, "deliver", deliver)
    task = called(app.tasks[Kind.CREATE], monkeypatch, **{TAG_HEADER: "7"})

    with pytest.raises(error) as raised:
        task()
    assert type(raised.value) is error
    assert str(raised.value) == says


def test_a_task_without_a_claim_runs_nothing(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it tried again."""
    task = called(app.tasks[Kind.CREATE], monkeypatch)

    for verb in (task, task.retry):
        with pytest.raises(failures.JobFailed, match="it was called without a claim"):
            verb()


def asking(
    app: Celery, monkeypatch: pytest.MonkeyPatch, end: Any, kwargs: Any = None
) -> tuple[Any, list[tuple[Any, ...]]]:
    """A task that may be retried, and what is asked of the ledger for it."""
    asked: list[tuple[Any, ...]] = []

    async def put_back(*args: Any, draw: float) -> Any:
        assert 0 <= draw < 1
        asked.append(args)
        return end

    monkeypatch.setattr("oppsync_worker.tasks.put_back", put_back)
    task = called(app.tasks[Kind.UPDATE], monkeypatch, **{TAG_HEADER: "7"})
    if kwargs is not None:
        task.request.kwargs = kwargs
    return task, asked


def test_a_retry_asks_for_what_it_was_given(app: Celery, one: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In seconds; with the instance's settings, and the error's name alone."""
    task, asked = asking(app, monkeypatch, verdicts.Retry(7.5))

    with pytest.raises(Retry) as raised:
        task.retry(exc=ValueError("Maria"), countdown=5, max_retries=2)
    with pytest.raises(Retry):
        task.retry()

    assert raised.value.when == 7.5
    assert isinstance(raised.value.exc, ValueError)
    assert raised.value.sig is None
    first, second = asked
    assert first == (one, "7", REPORT, Asked(5, 2, "ValueError"), SETTINGS)
    assert second[3] == Asked(None, None, "Retry")
    assert task.retry(throw=False).when == 7.5


def test_how_often_a_task_may_be_retried_is_its_own_to_say(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a call says otherwise; no retry at all is a number too."""
    task, asked = asking(app, monkeypatch, verdicts.Retry(1))
    monkeypatch.setattr(task, "max_retries", 9)

    for given in ({}, {"max_retries": 2}, {"max_retries": 0}):
        with pytest.raises(Retry):
            task.retry(**given)

    assert [one[3].most for one in asked] == [9, 2, 0]


def test_a_task_that_was_called_as_a_function_is_not_put_back(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no job: what it was to be retried for is raised, as Celery does it."""
    task, asked = asking(app, monkeypatch, verdicts.Retry(1))
    task.request.called_directly = True

    with pytest.raises(ValueError, match="x"):
        task.retry(exc=ValueError("x"))

    assert asked == []


@pytest.mark.parametrize(
    ("kwargs", "report", "settings"),
    [
        ({"instance": "other", "lane": "interactive"}, ("other", "interactive"), RetrySettings()),
        ({"instance": 5, "lane": "fast"}, ("", "bulk"), RetrySettings()),
        (["x"], ("", "bulk"), RetrySettings()),
        ({}, ("", "bulk"), RetrySettings()),
    ],
)
def test_a_retry_of_what_nobody_checked_yet(
    app: Celery, monkeypatch: pytest.MonkeyPatch, kwargs: Any, report: tuple[str, str], settings: RetrySettings
) -> None:
    """Has what can be believed of it, and the settings that everybody has."""
    task, asked = asking(app, monkeypatch, verdicts.Retry(1), kwargs)

    with pytest.raises(Retry):
        task.retry()

    assert asked[0][2] == Report("j1", "opportunities.update", *report)
    assert asked[0][4] == settings


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_time_to_retry_at_is_seconds_from_now(app: Celery, monkeypatch: pytest.MonkeyPatch, zone: Any) -> None:
    """One without a time zone is of the app's."""
    task, asked = asking(app, monkeypatch, verdicts.Retry(1))
    at = datetime.now(UTC) + timedelta(seconds=300)
    given = at if zone else at.astimezone(app.timezone).replace(tzinfo=None)

    with pytest.raises(Retry):
        task.retry(eta=given, countdown=1)

    assert 290 < asked[0][3].delay_s <= 300


def test_a_job_cannot_be_changed_by_its_retry(
    app: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them is told, none is looked at."""
    task, _ = asking(app, monkeypatch, verdicts.Retry(1))

    for given in ({"args": ()}, {"kwargs": {}}, {"queue": "q"}, {}):
        with pytest.raises(Retry):
            task.retry(**given)

    said = "a retry cannot change its job: args, kwargs and options given to it are not looked at"
    assert caplog.messages == [said] * 3


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (Dead(Cause.EXHAUSTED, "why"), failures.JobExhausted),
        (Parked(State.DEAD), ValueError),
        (Parked(State.IN_DOUBT), Ignore),
        (Abandoned("why"), Ignore),
    ],
)
def test_a_retry_that_is_none_is_told(
    app: Celery, monkeypatch: pytest.MonkeyPatch, end: Any, error: type[Exception]
) -> None:
    """A job that is dead already, by the error that it was to be retried for."""
    task, _ = asking(app, monkeypatch, end)

    with pytest.raises(error) as raised:
        task.retry(exc=ValueError("x"))

    assert type(raised.value) is error
    if error is failures.JobExhausted:
        assert isinstance(raised.value.__cause__, ValueError)
        assert str(raised.value) == "why"
    with pytest.raises(error if error is failures.JobExhausted else Ignore):
        task.retry()


def test_the_tasks_are_these(app: Celery) -> None:
    """With what Celery reads of them."""
    assert {name for name in app.tasks if not name.startswith("celery.")} == {kind.value for kind in Kind}
    for kind in Kind:
        task = app.tasks[kind.value]
        assert isinstance(task, OpportunityTask)
        assert task.Request == "oppsync_worker.engine.request:Request"
        assert (task.throws, task.max_retries) == ((failures.JobFailed,), None)


# The transport.


def channel(one: Engine, *lanes: str) -> Any:
    """A channel that consumes these, without a connection."""
    made = Channel.__new__(Channel)
    made.engine = one
    made._active_queues = list(lanes)
    made.active_fanout_queues = set()
    made._tag_to_queue = dict(enumerate(lanes))
    made._consumers = set()
    made._closing = False
    made._registered = False
    made._in_poll = None
    return made


class Estimate:
    """How much Celery will take."""

    def __init__(self, room: int | None) -> None:
        self.room = room

    def can_consume_max_estimate(self) -> int | None:
        return self.room


@pytest.mark.parametrize(
    ("estimate", "room", "most"),
    [(None, 250, 100), (None, 3, 3), (2, 3, 2), (0, 3, 0), (250, 250, 100), (5, 0, 0), (100, 100, 100)],
)
def test_a_channel_claims_what_there_is_room_for(
    one: Engine, monkeypatch: pytest.MonkeyPatch, estimate: int | None, room: int, most: int
) -> None:
    """By Celery's count, by the engine's, and a hundred at most; interactive before bulk."""
    asked: list[tuple[list[str], int]] = []
    made = channel(one, "opportunities.bulk", "elsewhere", "opportunities.interactive")
    made._qos = Estimate(estimate)
    monkeypatch.setattr(one, "room", lambda: room)
    monkeypatch.setattr(one, "claim", lambda queues, most: (asked.append((queues, most)), [])[1])

    assert made._claim() == 0
    assert asked == [(["opportunities.interactive", "opportunities.bulk"], most)]


@pytest.mark.parametrize(
    ("pieces", "rounds"), [([99], 1), ([100, 0], 2), ([100, 100, 5], 3), ([100] * 12, 10), ([0], 1)]
)
def test_a_channel_claims_again_while_there_is_a_hundred(
    one: Engine, monkeypatch: pytest.MonkeyPatch, pieces: list[int], rounds: int
) -> None:
    """Ten times in a row at most."""
    left, handed = iter(pieces), []
    made = channel(one, "opportunities.bulk")
    made._qos = Estimate(None)
    monkeypatch.setattr(one, "claim", lambda _queues, _most: [Claimed("7", "q", b"m")] * next(left))
    monkeypatch.setattr(made, "_hand_on", handed.append)

    assert made._claim() == len(handed) == sum(pieces[:rounds])
    assert len(list(left)) == len(pieces) - rounds


def test_a_bell_is_waited_for(one: Engine) -> None:
    """That of each lane, for a quarter of a second; the engine is seen to be awake."""
    sent: list[tuple[Any, ...]] = []
    made = channel(one, "opportunities.bulk", "opportunities.interactive")
    made.brpop_timeout = Transport.brpop_timeout
    made.client = SimpleNamespace(connection=SimpleNamespace(send_command=lambda *args: sent.append(args)))
    before = time.monotonic()

    made._brpop_start()
    made._brpop_start(timeout=0.5)

    bells = ("oppsync:bell:opportunities.interactive", "oppsync:bell:opportunities.bulk")
    assert sent == [("BRPOP", *bells, 0.25), ("BRPOP", *bells, 0.5)]
    assert made._in_poll is made.client.connection
    assert one.polled_at is not None
    assert before <= one.polled_at == made._brpop_sent_at <= time.monotonic()


@pytest.mark.parametrize(("closing", "claimed", "empty"), [(False, 1, False), (False, 0, True), (True, 1, True)])
def test_a_bell_that_rang_is_answered_by_claiming(
    one: Engine, monkeypatch: pytest.MonkeyPatch, closing: Any, claimed: int, empty: Any
) -> None:
    """Not while the channel is closed."""
    asked: list[Any] = []
    made = channel(one, "opportunities.bulk")
    made._closing, made._in_poll = closing, "poll"
    made._flush_brpop_reauth = lambda: asked.append("reauth")
    made.client = SimpleNamespace(connection="c", parse_response=lambda *args, **_: asked.append(args))
    monkeypatch.setattr(made, "_claim", lambda: (asked.append("claim"), claimed)[1])

    if empty:
        with pytest.raises(transport.Empty):
            made._brpop_read()
    else:
        assert made._brpop_read() is True

    assert asked == [("c", "BRPOP"), "reauth", *([] if closing else ["claim"])]
    assert made._in_poll is None


def test_a_bell_that_broke_is_disconnected(one: Engine) -> None:
    """And the error goes on."""
    said: list[str] = []

    def broken(*_: object, **__: object) -> None:
        raise Lost

    made = channel(one, "opportunities.bulk")
    made.connection_errors = (Lost,)
    made._in_poll = "poll"
    made._flush_brpop_reauth = lambda: said.append("reauth")
    connection = SimpleNamespace(disconnect=lambda: said.append("disconnected"))
    made.client = SimpleNamespace(connection=connection, parse_response=broken)

    with pytest.raises(Lost):
        made._brpop_read()
    assert said == ["disconnected", "reauth"]
    assert made._in_poll is None


def test_somebody_else_s_queue_is_read_as_kombu_does(one: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that on which `celery inspect` waits for its answers."""
    said: list[Any] = []
    monkeypatch.setattr(stock.Channel, "_brpop_start", lambda _, timeout=None: said.append(timeout))
    monkeypatch.setattr(stock.Channel, "_brpop_read", lambda _, **options: (said.append(options), 1)[1])
    made = channel(one, "elsewhere")

    made._brpop_start(3)
    assert made._brpop_read(a=1) is True
    assert said == [3, {"a": 1}]


def test_a_queue_is_not_purged(one: Engine) -> None:
    """With what to do instead."""
    with pytest.raises(click.UsageError, match=r"^q is not purged: its jobs would be lost without a trace"):
        channel(one)._purge("q")


@pytest.mark.parametrize(
    ("url", "kind", "database"),
    [
        ("redis://user:secret@h:1/3", redis.Connection, 3),
        ("redis://h", redis.Connection, 0),
        ("rediss://h:1/3", redis.SSLConnection, 3),
        ("unix:///s?db=2", redis.UnixDomainSocketConnection, 2),
    ],
)
def test_a_channel_connects_as_everybody_else(one: Engine, url: str, kind: Any, database: int) -> None:
    """The address as redis-py reads it; the poller is told when its socket goes away."""
    one.redis_url = url
    made = channel(one)
    gone: list[Any] = []
    made._on_connection_disconnect = gone.append

    plain, watched = made._connparams(), made._connparams(asynchronous=True)

    assert plain["connection_class"] is kind
    assert plain["db"] == database
    options = connection_options(url)
    assert {name: plain[name] for name in options} == options
    assert issubclass(watched["connection_class"], kind)
    assert watched["connection_class"] is not kind
    assert plain.get("password") == ("secret" if "secret" in url else None)
    socket = watched["connection_class"](**({"path": "x"} if "unix" in url else {}))
    socket.disconnect()
    assert gone == []
    made._registered = True
    socket.disconnect()
    assert gone == [socket]


@pytest.mark.parametrize(
    ("verb", "args", "asked"),
    [
        ("ack", (), "acknowledged"),
        ("reject", (), "acknowledged"),
        ("reject", (False,), "acknowledged"),
        ("reject", (True,), "release"),
    ],
)
def test_what_celery_is_done_with_the_engine_hears_of(
    monkeypatch: pytest.MonkeyPatch, verb: str, args: tuple[Any, ...], asked: str
) -> None:
    """Before kombu forgets it; handed back only if Celery said so."""
    said: list[Any] = []
    engine = SimpleNamespace(
        acknowledged=lambda tag: said.append(("acknowledged", tag)), release=lambda tag: said.append(("release", tag))
    )
    qos = QoS.__new__(QoS)
    qos.channel = SimpleNamespace(engine=engine)
    monkeypatch.setattr(virtual.QoS, "ack", lambda _, tag: said.append(("kombu", tag)))
    monkeypatch.setattr(virtual.QoS, "append", lambda _, message, tag: said.append((message, tag)))

    getattr(qos, verb)("7", *args)
    qos.append("m", "8")

    assert said == [(asked, "7"), ("kombu", "7"), ("m", "8")]
    assert qos.restore_at_shutdown is False
    assert qos.restore_visible() is qos.restore_unacked() is qos.restore_by_tag("7") is None


def test_what_was_hung_on_the_loop_is_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """That, and no more; once."""
    cancelled: list[str] = []

    def timer(name: str) -> Any:
        return SimpleNamespace(cancel=lambda: cancelled.append(name))

    loop = SimpleNamespace(on_tick={"theirs"})
    monkeypatch.setattr(stock.Transport, "register_with_event_loop", lambda _, __, loop: loop.on_tick.add("ours"))
    monkeypatch.setattr(stock.Transport, "close_connection", lambda _, connection: cancelled.append(connection))
    made = Transport.__new__(Transport)
    made.cycle = SimpleNamespace(a_tref=timer("a"), b_tref=timer("b"), other=timer("other"))

    made.close_connection("c0")
    made.register_with_event_loop("c", loop)
    assert loop.on_tick == {"theirs", "ours"}
    made.close_connection("c1")
    made.close_connection("c2")

    assert loop.on_tick == {"theirs"}
    assert cancelled == ["c0", "c1", "a", "b", "c2"]
    assert (Transport.driver_name, Transport.Channel, Channel.QoS) == ("oppsync", Channel, QoS)
    assert "engine" in Channel.from_transport_options
