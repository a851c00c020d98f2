"""What a throttle may teach and for how long, what look-ups may take from jobs, and how a person ends a pause."""

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.ledger.desk import ATTEMPT, Desk, deal
from oppsync_ops.overview.budgets import LiveBudget, read_budgets
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import ends, keys, looking, operating
from oppsync_worker.ledger.begin import Go, Parked
from stage import told

FAILED = ends.Effects(answers=False)
WORKS = ends.Effects(answers=True)
PROBES = f"{keys.PREFIX}probes"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """600 requests a minute, of which a throttle can take four fifths."""
    desk = Desk(ledger)
    desk.run(told("acme", requests=600, learned_least=120, learned_ms=60_000, probe_ms=0))
    return desk


def throttle(desk: Desk, *, limit: int | None, cool_down_ms: int = 0) -> None:
    """A request that was one too many."""
    desk.enqueue(deal())
    hand, _, _ = desk.send_next()
    desk.run(ends.wait(hand, cool_down_ms=cool_down_ms, limit=limit, attempt=ATTEMPT))


def spacing_ms(desk: Desk) -> float:
    """How far apart the next two slots are, long after the cool-down."""
    desk.client.hset(keys.budget("acme"), mapping={"next": 0, "cool_until": 1})
    desk.client.delete(f"{keys.PREFIX}sent:acme")
    desk.pass_time()
    for hand, job in desk.claim():
        desk.begin(hand, job)
    before = desk.now_s() * 1000
    desk.client.hset(keys.budget("acme"), "next", f"{before:.3f}")
    desk.enqueue(deal())
    desk.begin(*desk.one())
    return float(desk.client.hget(keys.budget("acme"), "next") or 0) - before


def live(desk: Desk) -> LiveBudget:
    """What is shown of the budget."""
    return read_budgets(desk.client, ["acme"], now=int(desk.now_s() * 1000))[0]


@pytest.mark.parametrize(("limit", "requests"), [(1, 120), (100, 120), (400, 360), (10**9, 600), (2**53 - 1, 600)])
def test_no_limit_teaches_less_than_the_floor_nor_more_than_the_settings(desk: Desk, limit: int, requests: int) -> None:
    """Nine tenths of what was disclosed, in between; and what is shown is what is done."""
    throttle(desk, limit=limit)

    assert live(desk).taught == limit
    assert live(desk).interval_ms == pytest.approx(60_000 / requests * 1.01)
    assert spacing_ms(desk) == pytest.approx(60_000 / requests * 1.01, abs=30)


def test_it_is_believed_for_as_long_as_the_settings_say(desk: Desk) -> None:
    """A minute here; then the configured pace is tried again."""
    throttle(desk, limit=1)
    at = float(desk.client.hget(keys.budget("acme"), "learned_at") or 0)

    desk.client.hset(keys.budget("acme"), "learned_at", int(at - 60_000))

    assert live(desk).learned is None
    assert spacing_ms(desk) == pytest.approx(101, abs=30)


def test_what_the_version_before_learned_has_a_floor_too(desk: Desk) -> None:
    """It kept no floor: it is looked at when it is read."""
    desk.client.hset(keys.budget("acme"), mapping={"learned": 1, "learned_at": int(desk.now_s() * 1000)})

    assert spacing_ms(desk) == pytest.approx(505, abs=30)


@pytest.mark.parametrize("cool_down_ms", [900_000, 30_000], ids=["longer than a window", "shorter"])
def test_a_person_ends_a_cool_down(desk: Desk, cool_down_ms: int) -> None:
    """Whoever waits goes on at once, and what was learned stays."""
    throttle(desk, limit=300, cool_down_ms=cool_down_ms)
    desk.line_moves()
    assert desk.claim() == []
    dry = operating.taken_away(desk.run(operating.resume("acme", dry_run=True)))
    desk.line_moves()
    assert desk.claim() == []

    taken = operating.taken_away(desk.run(operating.resume("acme")))

    assert taken == dry
    assert set(taken or {}) == {"cool_until"}
    desk.line_moves()
    assert isinstance(desk.begin(*desk.one()), Go)
    assert live(desk).learned == 270
    assert operating.taken_away(desk.run(operating.resume("acme"))) == {}


def test_a_person_closes_a_breaker(desk: Desk) -> None:
    """And has what was learned forgotten."""
    throttle(desk, limit=1)
    now_ms = int(desk.now_s() * 1000)
    opened = {"trips": 3, "open_until": now_ms + 300_000, "failures": 5, "failed_sends": 5, "trial": "x"}
    desk.client.hset(keys.budget("acme"), mapping=opened)

    desk.run(operating.resume("acme"))
    forgotten = operating.taken_away(desk.run(operating.forget("acme")))

    assert not live(desk).is_failing
    assert live(desk).learned is None
    assert set(forgotten or {}) == {"learned", "learned_at", "taught"}
    assert operating.taken_away(desk.run(operating.forget("nobody"))) is None
    assert not desk.client.exists(keys.budget("nobody"))


def fails(desk: Desk, count: int) -> None:
    """So many creates in a row of which the answers were lost."""
    for _ in range(count):
        desk.enqueue(deal())
        hand, _, _ = desk.send_next()
        desk.run(ends.doubt(hand, attempt=ATTEMPT, effects=FAILED))


def look_up(desk: Desk, effects: ends.Effects) -> None:
    """One of the doubts is looked into, and stays."""
    look = desk.look()
    assert isinstance(desk.leave(look), looking.LookNow)
    desk.run(looking.again(look, looking.Told("{}", effects), inquiry="{}", delay_ms=600_000))


def test_a_list_that_answers_does_not_hide_creates_that_fail(desk: Desk) -> None:
    """A create that always answers 500, and look-ups that are answered in between: five of them open the breaker."""
    desk.run(told("acme", breaker_failures=5, open_ms=60_000, probe_ms=0))
    for _ in range(5):
        fails(desk, 1)
        if not live(desk).is_failing:
            look_up(desk, WORKS)

    assert live(desk).is_failing


def test_nor_does_it_close_their_breaker_and_a_job_that_is_answered_does(desk: Desk) -> None:
    """The look-up was one trial; the next is a job's."""
    desk.run(told("acme", breaker_failures=5, open_ms=60_000, probe_ms=10_000_000))
    fails(desk, 4)
    desk.run(told("acme", breaker_failures=5, open_ms=60_000, probe_ms=0))
    fails(desk, 1)
    desk.client.hset(keys.budget("acme"), "open_until", 1)

    look_up(desk, WORKS)
    assert live(desk).is_failing
    job = deal()
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.succeed(hand, job)

    assert not live(desk).is_failing
    assert not desk.client.hexists(keys.budget("acme"), "failed_sends")


def test_a_list_that_fails_and_answers_again_is_well(desk: Desk) -> None:
    """Look-ups alone open and close it as ever."""
    desk.run(told("acme", breaker_failures=2, open_ms=60_000, probe_ms=0))
    fails(desk, 1)
    hand, job, _ = (desk.enqueue(deal()), desk.send_next())[1]
    desk.succeed(hand, job)
    desk.client.hset(keys.budget("acme"), "failures", 1)
    look_up(desk, FAILED)
    assert live(desk).is_failing
    desk.client.hset(keys.budget("acme"), "open_until", 1)
    for member in desk.client.zrange(PROBES, 0, -1):
        desk.client.zadd(PROBES, {member: 1})

    look_up(desk, WORKS)

    assert not live(desk).is_failing


@given(gap=st.integers(1, 6), jobs=st.integers(0, 30), doubts=st.integers(0, 12))
@settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_look_ups_take_their_share_and_no_more_while_jobs_wait(
    ledger: redis.Redis, gap: int, jobs: int, doubts: int
) -> None:
    """So many jobs go between two of them; whoever is left alone gets everything."""
    ledger.flushall()
    desk = Desk(ledger)
    desk.run(told("acme", probe_ms=10_000_000))
    for _ in range(doubts):
        desk.enqueue(deal())
        hand, _, _ = desk.send_next()
        desk.run(ends.doubt(hand, attempt=ATTEMPT))
    desk.run(told("acme", requests=60, probe_ms=10_000_000, look_gap=gap))
    desk.client.hset(keys.budget("acme"), "next", f"{(desk.now_s() + 50) * 1000}")
    desk.enqueue(*[deal() for _ in range(jobs)])
    for taken in desk.claim():
        assert desk.begin(*taken) == Parked(State.WAITING, "waiting")
    for member in desk.client.zrange(PROBES, 0, -1):
        desk.client.zadd(PROBES, {member: 1})
    desk.looks(takes=0)

    order = ""
    while len(order) < jobs + doubts:
        desk.client.hset(keys.budget("acme"), "next", 0)
        desk.client.zadd(keys.SLOTS, {"acme": 1})
        order += "L" * len(desk.looks()) + "J" * len(desk.claim())

    together = order[: order.rindex("J") + 1] if "J" in order else ""
    assert order.count("J") == jobs
    assert all(len(between) >= gap for between in together.split("L")[1:-1]), order
    assert "J" * (gap + 1) not in order[: order.rindex("L")] if "L" in order else True, order


def test_how_often_it_was_proved_absent_is_counted_until_it_is_replayed(desk: Desk) -> None:
    """The look-ups of the next doubt are told."""
    desk.run(told("acme", probe_ms=0))
    fails(desk, 1)
    (job,) = desk.jobs.values()
    look = desk.look()
    assert desk.leave(look).absences == 0  # type: ignore[union-attr]
    desk.run(looking.resend(look, looking.Told("{}", WORKS), why="not there"))
    desk.pass_time()
    hand, _, _ = desk.send_next()
    desk.run(ends.doubt(hand, attempt=ATTEMPT))
    look = desk.look()
    assert desk.leave(look).absences == 1  # type: ignore[union-attr]
    assert desk.field(job, "place") == "", "once absent, it keeps its place"
    desk.run(looking.bury(look, looking.Told("{}", WORKS), detail="again"))
    assert desk.field(job, "absent") == "2"
    assert float(desk.field(job, "place")) > float(desk.field(job, "at"))

    desk.replay(job)

    assert desk.field(job, "absent") == ""
