"""The breaker of an instance: open after failures in a row, then one trial at a time; waiting costs no attempt."""

import pytest
import redis

from integration.ledger.desk import ATTEMPT, Desk, change, deal
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import ends, keys
from oppsync_worker.ledger.begin import Go, Parked, Soon, begin, begun
from stage import told

FAILED = ends.Effects(answers=False)
WORKS = ends.Effects(answers=True)


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """Three failures open it for a minute."""
    desk = Desk(ledger)
    desk.run(told("acme", breaker_failures=3, open_ms=60_000, max_open_ms=600_000))
    return desk


def fail(desk: Desk, count: int) -> None:
    """So many requests in a row are not answered."""
    for _ in range(count):
        desk.enqueue(change(len(desk.jobs) + 1))
        hand, _, _ = desk.send_next()
        desk.run(ends.reschedule(hand, delay_ms=600_000, attempt=ATTEMPT, effects=FAILED))


def open_for_s(desk: Desk) -> float:
    """How long it stays open."""
    return float(desk.client.hget(keys.budget("acme"), "open_until") or 0) / 1000 - desk.now_s()


def opened_is_over(desk: Desk) -> None:
    """The pause passes."""
    desk.client.hset(keys.budget("acme"), "open_until", 1)


def test_it_opens_after_so_many_failures_in_a_row(desk: Desk) -> None:
    """Jobs wait, and no attempt is spent."""
    fail(desk, 3)
    job = deal()
    desk.enqueue(job)

    assert desk.state(job) == "waiting"
    assert desk.field(job, "attempts") == ""
    assert 55 <= open_for_s(desk) <= 60
    desk.line_moves()
    assert desk.claim() == []


def test_an_answer_in_between_begins_the_count_anew(desk: Desk) -> None:
    """A refusal is an answer too."""
    fail(desk, 2)
    desk.enqueue(deal())
    hand, _, _ = desk.send_next()
    desk.run(ends.bury(hand, cause=ends.Cause.REJECTED, detail="", attempt=ATTEMPT, effects=WORKS))
    fail(desk, 2)
    desk.enqueue(deal())

    assert isinstance(desk.begin(*desk.one()), Go)


def test_a_throttle_is_neither(desk: Desk) -> None:
    """It has a pause of its own."""
    fail(desk, 2)
    desk.enqueue(deal())
    hand, _, _ = desk.send_next()
    desk.run(ends.wait(hand, cool_down_ms=0, limit=None, attempt=ATTEMPT))

    assert desk.client.hget(keys.budget("acme"), "failures") == b"2"


def test_one_trial_at_a_time_when_the_pause_is_over(desk: Desk) -> None:
    """All others go on waiting for what comes of it."""
    fail(desk, 3)
    desk.enqueue(*[deal() for _ in range(5)])
    for taken in desk.claim():
        desk.begin(*taken)
    opened_is_over(desk)

    desk.line_moves()
    (trial,) = desk.claim()
    assert isinstance(desk.begin(*trial), Go)
    late = deal()
    desk.enqueue(late)

    assert desk.state(late) == "waiting"
    desk.line_moves()
    assert desk.claim() == []


def test_a_trial_that_works_closes_it(desk: Desk) -> None:
    """Everybody goes on at once."""
    fail(desk, 3)
    desk.enqueue(*[deal() for _ in range(5)])
    for taken in desk.claim():
        desk.begin(*taken)
    opened_is_over(desk)
    desk.line_moves()
    (trial,) = desk.claim()
    desk.begin(*trial)

    desk.succeed(*trial)

    desk.run(told("acme", breaker_failures=3))
    desk.line_moves()
    assert [type(desk.begin(*taken)) for taken in desk.claim()] == [Go] * 4
    assert not desk.client.hexists(keys.budget("acme"), "trips")


def test_each_trial_that_fails_doubles_the_pause(desk: Desk) -> None:
    """Up to the most."""
    fail(desk, 3)
    pauses = []
    desk.enqueue(*[deal() for _ in range(7)])
    for taken in desk.claim():
        desk.begin(*taken)
    for _ in range(5):
        opened_is_over(desk)
        desk.line_moves()
        (trial,) = desk.claim()
        assert isinstance(desk.begin(*trial), Go)
        desk.run(ends.doubt(trial[0], attempt=ATTEMPT, effects=FAILED))
        pauses.append(round(open_for_s(desk) / 60))

    assert pauses == [2, 4, 8, 10, 10]


def test_a_trial_that_says_nothing_makes_room_for_another(desk: Desk) -> None:
    """Its worker stopped, or the CRM throttled it."""
    fail(desk, 3)
    desk.enqueue(deal(), deal())
    for taken in desk.claim():
        desk.begin(*taken)
    opened_is_over(desk)
    desk.line_moves()
    desk.claim()

    desk.silence()

    desk.line_moves()
    (trial,) = desk.claim()
    assert isinstance(desk.begin(*trial), Go), "another may try, or the first one once more"


def test_calls_that_were_in_flight_when_it_opened_say_nothing_new(desk: Desk) -> None:
    """Or one outage would count many times."""
    jobs = [change(n + 100) for n in range(6)]
    desk.enqueue(*jobs)
    taken = [desk.send_next() for _ in jobs]
    for hand, _, _ in taken:
        desk.run(ends.reschedule(hand, delay_ms=600_000, attempt=ATTEMPT, effects=FAILED))

    assert desk.client.hget(keys.budget("acme"), "trips") == b"1"
    assert 55 <= open_for_s(desk) <= 60


def test_a_slot_from_before_is_void(desk: Desk) -> None:
    """Whoever was about to send waits."""
    desk.run(told("acme", requests=600, breaker_failures=3, open_ms=60_000))
    fail(desk, 2)
    jobs = [deal(), deal()]
    desk.enqueue(*jobs)
    first = desk.send_next()
    second = desk.one()

    desk.run(ends.doubt(first[0], attempt=ATTEMPT, effects=FAILED))

    assert desk.begin(*second) == Parked(State.WAITING, "waiting")


def test_of_those_who_have_slots_already_only_one_tries(desk: Desk) -> None:
    """When the pause is over before they come to send."""
    desk.run(told("acme", requests=500, breaker_failures=3, open_ms=60_000))
    jobs = [deal(), deal(), deal()]
    desk.enqueue(*jobs)
    *taken, first = desk.claim()
    assert isinstance(desk.begin(*first), Go)
    for hand, job in taken:
        assert isinstance(begun(desk.run(begin(hand, job, horizon_ms=250, number=1))), Soon)
    desk.client.hset(keys.budget("acme"), mapping={"trips": 1, "open_until": 1})

    answers = [desk.begin(*one) for one in taken]

    assert [type(answer) for answer in answers] == [Go, Parked]


def test_it_can_be_switched_off(desk: Desk) -> None:
    """With 0."""
    desk.run(told("acme", breaker_failures=0))
    fail(desk, 20)
    desk.enqueue(deal())

    assert isinstance(desk.begin(*desk.one()), Go)
