"""What the engine asks for when it claims, how much it takes, and what it remembers of a claim."""

from typing import Any

import pytest
from celery.worker import state as celery_state
from redis.exceptions import ConnectionError as RedisConnectionError

from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.engine import engine as engines
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.hands import Hold
from oppsync_worker.engine.retrying import Asked, put_back
from oppsync_worker.instances import RetrySettings
from oppsync_worker.ledger.connect import LedgerUnavailable
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.policy.verdicts import Retry
from oppsync_worker.runner.ends import Abandoned, Dead, Done, End, Parked
from oppsync_worker.runner.reports import Report
from oppsync_worker.runner.runner import Delivery


class Listener:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def buried_unread(self, *told: object) -> None:
        """A letter."""
        self.heard.append(told)

    def parked(self, report: Report, state: State, *, cause: str) -> None:
        """Nothing was sent."""
        self.heard.append((report.job_id, state, cause))


class Scripts:
    """Redis, as the consumer thread reaches it."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.answer: Any = [[], [], 0]

    def run(self, _: object, call: Call) -> Any:
        """One script."""
        self.asked.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Scripts:
    """In Redis' place."""
    one = Scripts()
    monkeypatch.setattr(engines, "run", one.run)
    return one


def engine(*, lease_s: float = 1.5, concurrency: int = 10) -> Any:
    """Of a worker that has just started."""
    url = "redis://127.0.0.1:1/0"
    return Engine(redis_url=url, lease_s=lease_s, ttl_s=600, concurrency=concurrency, reporter=Listener())  # type: ignore[arg-type]


def test_a_claim_is_asked_for_with_its_lease_in_milliseconds(scripts: Scripts) -> None:
    """For this process, at most a hundred at once."""
    one = engine()

    one.claim(["a", "b"], 500)
    one.claim(["a"], 7)

    first, second = (call.arguments for call in scripts.asked)
    assert first[:3] == (100, 1_500, one.name)
    assert first[-2:] == ("a", "b")
    assert second[0] == 7


def test_a_question_is_asked_again_until_its_answer_was_heard(scripts: Scripts) -> None:
    """Claims may have been made of which nobody has heard: the same question gives the same ones."""
    one = engine()
    scripts.answer = RedisConnectionError()
    with pytest.raises(RedisConnectionError):
        one.claim(["a"], 1)
    scripts.answer = [[], [], 0]
    for _ in range(2):
        one.claim(["a"], 1)

    lost, again, other = (str(call.arguments[3]) for call in scripts.asked)
    assert lost == again != other
    assert other.split("-")[0] == lost.split("-")[0]
    assert engine()._asker != one._asker


def test_claims_are_in_hand_and_letters_are_told(scripts: Scripts) -> None:
    """What was filed away is progress as well."""
    one = engine()
    scripts.answer = [[[b"7", b"a", b"m"], [b"8", b"a", b"m"]], [[b"raw-1", b"malformed", b"d"]], 0]

    claimed = one.claim(["a"], 5)

    assert [each.tag for each in claimed] == one.hands.to_renew() == ["7", "8"]
    assert one.reporter.heard == [("raw-1", "", Cause.MALFORMED, "d")]
    assert one.hands.moves == 2
    scripts.answer = [[], [], 3]
    one.claim(["a"], 5)
    assert one.hands.moves == 3


@pytest.mark.parametrize(("held", "room"), [(0, 13), (12, 1), (13, 1), (39, 1), (40, 0), (41, 0)])
def test_there_is_room_for_what_was_announced_and_then_one_by_one(held: int, room: int) -> None:
    """A quarter more than the concurrency; four times that at most."""
    one = engine(concurrency=10)
    for number in range(held):
        one.hands.take(str(number))

    assert one.room() == room


@pytest.mark.parametrize(
    ("stop", "terminate", "closing", "stopping"),
    [
        (None, None, False, False),
        (False, False, False, False),
        (0, None, False, True),
        (None, 0, False, True),
        (True, None, False, True),
        (None, None, True, True),
    ],
)
def test_a_worker_that_was_told_to_stop_knows_it(
    monkeypatch: pytest.MonkeyPatch, stop: object, terminate: object, *, closing: bool, stopping: bool
) -> None:
    """An exit code of 0 is one."""
    monkeypatch.setattr(celery_state, "should_stop", stop)
    monkeypatch.setattr(celery_state, "should_terminate", terminate)
    one = engine()
    one.closing = closing

    assert one.stopping is stopping


def test_stopping_calls_all_that_were_to_be_told() -> None:
    """Each once."""
    one, told = engine(), []
    one.stoppers += [lambda: told.append(1), lambda: told.append(2)]

    one.stop()

    assert told == [1, 2]


@pytest.mark.parametrize(
    ("end", "hold"),
    [
        (Done({}), Hold.SETTLED),
        (Dead(Cause.INVALID, "d"), Hold.SETTLED),
        (Parked(State.HELD), Hold.SETTLED),
        (Abandoned("x"), Hold.ABANDONED),
    ],
)
async def test_a_delivery_ends_with_its_claim_settled_or_left_to_its_lease(end: End, hold: Hold) -> None:
    """What is settled must not be settled again when Celery acknowledges it."""

    class Runner:
        async def deliver(self, _: Delivery) -> End:
            return end

    one = engine()
    one.runner = Runner()
    one.hands.take("7")

    assert await one.deliver(Delivery("7", Kind.CREATE.value, "j1", (), {}, False)) is end
    assert one.hands.drop("7") is hold


async def test_without_a_runner_a_claim_is_left_to_its_lease() -> None:
    """The worker is not open yet."""
    one = engine()
    one.hands.take("7")

    assert isinstance(await one.deliver(Delivery("7", Kind.CREATE.value, "j1", (), {}, False)), Abandoned)
    assert one.hands.drop("7") is Hold.ABANDONED


@pytest.mark.parametrize("answer", [b"released", RedisConnectionError()])
def test_a_claim_that_is_handed_back_has_left_our_hands(scripts: Scripts, answer: object) -> None:
    """Also when Redis is away: its lease does the same."""
    one = engine()
    one.hands.take("7")
    scripts.answer = answer

    one.release("7")

    assert scripts.asked == [Call("release", ("7",))]
    assert len(one.hands) == 0


REPORT = Report("j1", "opportunities.create", "acme", "bulk")
SETTINGS = RetrySettings(max_attempts=4, first_delay_seconds=2, max_delay_seconds=100)


class Book:
    """The ledger, as the loop reaches it."""

    def __init__(self, stood: list[Any], state: State | Exception | None) -> None:
        self.stood = stood
        self.state = state
        self.calls: list[Call] = []

    async def surely(self, call: Call) -> Any:
        """How it stands."""
        assert call == Call("stand", ("7", "j1"))
        return self.stood

    async def settle(self, call: Call) -> State | None:
        """The end."""
        self.calls.append(call)
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


async def put(book: Book | None, asked: Asked) -> tuple[Any, Any, dict[str, Any], Any]:
    """What became of it, where it goes, the rest by name, and what the claim is."""
    one = engine()
    one.book = book
    one.hands.take("7")
    end = await put_back(one, "7", REPORT, asked, SETTINGS, draw=0.5)
    arguments = book.calls[0].arguments if book and book.calls else (None,) * 4
    assert arguments in ((None,) * 4, ("7", "j1", arguments[2], 600, *arguments[4:]))
    return end, arguments[2], dict(zip(arguments[4::2], arguments[5::2], strict=True)), one


@pytest.mark.parametrize(("state", "unsure"), [(b"queued", None), (b"sending", 1)])
async def test_a_retry_is_put_on_the_schedule_in_milliseconds(state: bytes, unsure: int | None) -> None:
    """What was being sent may be carried out all the same: the record's next update waits."""
    kind = b"opportunities.update"
    end, to, given, one = await put(Book([state, kind, 1, 2], State.SCHEDULED), Asked(1.5, 9, "Boom"))

    assert (end, to) == (Retry(1.5), "scheduled")
    assert (given["delay"], given["put_back"], given.get("unsure")) == (1_500, 1, unsure)
    assert (given["kind"], given["instance"], given["lane"]) == ("opportunities.create", "acme", "bulk")
    assert (given["cause"], given["detail"]) == ("Boom", "its task asked for another try")
    assert '"attempt": 3, "ms": 0, "status": null, "error": "Boom"' in given["attempt"]
    assert one.hands.drop("7") is Hold.SETTLED
    assert one.reporter.heard == []


async def test_a_create_that_is_being_sent_is_put_into_doubt() -> None:
    """And told as parked there."""
    end, to, given, one = await put(
        Book([b"sending", b"opportunities.create", 1, 0], State.IN_DOUBT), Asked(1.5, 9, "Boom")
    )

    assert (end, to, given["cause"]) == (Parked(State.IN_DOUBT), "in_doubt", "answer_lost")
    assert one.reporter.heard == [("j1", State.IN_DOUBT, "put_back")]


async def test_a_job_that_was_put_back_often_enough_is_dead() -> None:
    """With its kind and instance, and told as a letter."""
    end, to, given, one = await put(Book([b"queued", b"", 1, 3], State.DEAD), Asked(1.5, None, "Boom"))

    said = "put back 3 times by its task; the last: Boom"
    assert (end, to) == (Dead(Cause.EXHAUSTED, said), "dead")
    assert (given["cause"], given["detail"]) == ("exhausted", said)
    assert (given["kind"], given["instance"]) == ("opportunities.create", "acme")
    assert '"attempt": 4' in given["attempt"]
    assert one.reporter.heard == [("j1", "opportunities.create", Cause.EXHAUSTED, said)]


@pytest.mark.parametrize(("state", "told"), [(State.EXPIRED, State.EXPIRED), (None, State.UNKNOWN)])
async def test_a_job_that_went_elsewhere_is_parked(state: State | None, told: State) -> None:
    """Its deadline passed, or the claim was stale."""
    end, *_, one = await put(Book([b"queued", b"", 1, 0], state), Asked(1.5, None, "Boom"))

    assert end == Parked(told)
    assert one.reporter.heard == [("j1", told, "put_back")]


async def test_a_job_that_is_not_ours_is_left_alone() -> None:
    """And the claim is done with."""
    book = Book([b"succeeded", b"opportunities.create", 0, 0], None)
    end, _, _, one = await put(book, Asked(1.5, None, "Boom"))

    assert (end, book.calls) == (Parked(State.SUCCEEDED), [])
    assert one.hands.drop("7") is Hold.SETTLED


@pytest.mark.parametrize("book", [None, Book([b"queued", b"", 1, 0], LedgerUnavailable("away"))])
async def test_without_the_ledger_the_claim_is_left_to_its_lease(book: Book | None) -> None:
    """Nothing is lost: it is restored."""
    end, *_, one = await put(book, Asked(1.5, None, "Boom"))

    assert end == Abandoned("away" if book else "the worker is not open")
    assert one.hands.drop("7") is Hold.ABANDONED
