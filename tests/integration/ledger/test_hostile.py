"""What a hostile reading of the scripts found: lost answers, a clock set back, letters mended or found again."""

import pytest
import redis

from integration.ledger.desk import Desk, change, deal, titles
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, ends, keys, operating, sweeping
from oppsync_worker.ledger.begin import Go, Parked, Stale, begin, begun, left_late
from stage import told


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def purged(desk: Desk, *jobs: AnyJob) -> list[bytes]:
    """The lane is emptied by hand, and the sweep gives its jobs up."""
    messages = desk.client.lrange("opportunities.interactive", 0, -1)
    desk.client.delete("opportunities.interactive")
    for job in jobs:
        assert desk.run(sweeping.lose(job.job_id, since=desk.field(job, "at"))) == 1
    return messages


class TestALeaveWhoseAnswerWasLost:
    """`begin` was carried out, its answer was lost, and the worker asks again: it has not sent yet."""

    def test_it_goes_at_once_if_that_was_just_now(self, desk: Desk) -> None:
        """As one attempt."""
        desk.run(told("acme", window_ms=600_000))
        job = deal()
        desk.enqueue(job)
        hand, _, _ = desk.send_next()

        again = desk.begin(hand, job)

        assert isinstance(again, Go)
        assert again.attempt == 1

    def test_it_stands_in_line_again_if_that_is_long_ago(self, desk: Desk) -> None:
        """It counts in the window in which it is sent, and a doubt's settle time begins with the request."""
        desk.run(told("acme", requests=2))
        job = deal()
        desk.enqueue(job)
        hand, _, _ = desk.send_next()
        desk.client.hincrby(keys.job(job.job_id), "since", -50_000)

        assert desk.begin(hand, job) == Parked(State.WAITING, "waiting")

        desk.client.hset(f"{keys.PREFIX}budget:acme", "next", 0)
        desk.line_moves()
        _, again, go = desk.send_next()
        assert (again, go.attempt) == (job, 1)
        assert float(desk.field(job, "sent_at")) >= (desk.now_s() - 10) * 1000
        assert desk.client.llen(f"{keys.PREFIX}sent:acme") == 2

    def test_a_short_window_is_over_sooner(self, desk: Desk) -> None:
        """What may be late is a share of the window: by so much its slots are further apart than they need to be."""
        desk.run(told("acme", requests=20, window_ms=10_000))
        job = deal()
        desk.enqueue(job)
        hand, _, _ = desk.send_next()
        desk.client.hincrby(keys.job(job.job_id), "since", -100)

        assert desk.begin(hand, job) == Parked(State.WAITING, "waiting")

    @pytest.mark.parametrize("long_ago_ms", [0, 50_000])
    def test_a_question_that_is_delivered_late_moves_nothing(self, desk: Desk, long_ago_ms: int) -> None:
        """A link stood still with it, and the same one was answered over another: its job is on its way by then."""
        job = deal()
        desk.enqueue(job)
        hand, _ = desk.one()
        question = begin(hand, job, horizon_ms=250, number=next(desk.questions))
        assert isinstance(begun(desk.run(question)), Go)
        desk.client.hincrby(keys.job(job.job_id), "since", -long_ago_ms)

        late = begun(desk.run(question))

        assert late == Stale()
        assert desk.state(job) == State.SENDING
        assert desk.claim() == []
        desk.succeed(hand, job)
        assert desk.state(job) == State.SUCCEEDED


def test_a_request_that_left_late_is_counted_when_it_left(desk: Desk) -> None:
    """The CRM's window begins when it comes: the next one but the budget must not be early for it."""
    desk.run(told("acme", requests=2, window_ms=60_000))
    desk.enqueue(deal(), deal())
    _, _, go = desk.send_next()
    desk.client.hset(f"{keys.PREFIX}budget:acme", "next", 0)
    desk.line_moves()
    _, _, second = desk.send_next()
    sent = f"{keys.PREFIX}sent:acme"
    assert desk.client.lrange(sent, 0, -1) == [b"%d" % go.counted_at, b"%d" % second.counted_at]

    a_second_ago = go.counted_at - 1_000
    desk.client.lset(sent, 0, str(a_second_ago))

    moved = desk.run(left_late("acme", counted_at=a_second_ago, late_ms=700))

    assert moved == 1
    assert desk.client.lrange(sent, 0, -1) == [b"%d" % (a_second_ago + 700), b"%d" % second.counted_at]
    assert desk.run(left_late("acme", counted_at=1, late_ms=700)) == 0, "one that nobody remembers"


def test_a_request_that_was_granted_twice_counts_from_the_second_time(desk: Desk) -> None:
    """Its worker did not hear the first answer, so it has not left before; and what it tells of being late is found."""
    desk.run(told("acme", requests=2, window_ms=60_000))
    desk.enqueue(deal())
    hand, job, first = desk.send_next()
    desk.a_moment_passes()

    second = begun(desk.run(begin(hand, job, horizon_ms=250, number=next(desk.questions))))

    assert isinstance(second, Go)
    assert second.counted_at > first.counted_at
    sent = f"{keys.PREFIX}sent:acme"
    assert desk.client.lrange(sent, 0, -1) == [b"%d" % second.counted_at]
    assert int(desk.client.hget(keys.job(job.job_id), "sent_at") or 0) == second.counted_at
    assert desk.run(left_late("acme", counted_at=second.counted_at, late_ms=1)) == 1


def test_nothing_leaves_in_the_future(desk: Desk) -> None:
    """Being late is counted from the question, which Redis may have got late."""
    desk.run(told("acme", requests=2, window_ms=60_000))
    desk.enqueue(deal())
    _, _, go = desk.send_next()

    desk.run(left_late("acme", counted_at=go.counted_at, late_ms=50_000))

    (at,) = desk.client.lrange(f"{keys.PREFIX}sent:acme", 0, -1)
    assert go.counted_at <= int(at) <= desk.now_s() * 1000


def test_a_clock_that_was_set_back_stops_no_instance(desk: Desk) -> None:
    """Requests of the future are none: the window is waited for at most, and never a request too many sent."""
    desk.run(told("acme", requests=2, window_ms=60_000))
    sent = f"{keys.PREFIX}sent:acme"
    hour_ahead = int(desk.now_s() * 1000) + 3_600_000
    desk.client.rpush(sent, hour_ahead - 1, hour_ahead)
    job = deal()
    desk.enqueue(job)

    desk.run(begin(*desk.one(), horizon_ms=250, number=1))

    assert desk.state(job) == "waiting"
    assert float(desk.client.hget(f"{keys.PREFIX}budget:acme", "next") or 0) < (desk.now_s() + 61) * 1000


class TestAMessageThatTurnsUpAgain:
    """The sweep gave its job up."""

    def test_it_does_not_overwrite_what_was_written_since(self, desk: Desk) -> None:
        """An older update, like a replayed one."""
        old = change(5, title="old", value="1.00")
        desk.enqueue(old)
        (message,) = purged(desk, old)
        desk.enqueue(change(5, title="new"))
        assert titles(desk.work_off()) == ["new"]

        desk.client.lpush("opportunities.interactive", message)
        hand, job = desk.one()
        go = desk.begin(hand, job)

        assert isinstance(go, Go)
        assert go.overwritten == ("title",)
        desk.succeed(hand, job)
        assert not list(desk.client.scan_iter(f"{keys.PREFIX}letters:*"))
        assert not list(desk.client.scan_iter(f"{keys.PREFIX}newer:*"))

    def test_a_worker_that_stops_hands_it_back(self, desk: Desk) -> None:
        """Claimed, and not begun."""
        job = deal()
        desk.enqueue(job)
        (message,) = purged(desk, job)
        desk.client.lpush("opportunities.interactive", message)
        hand, _ = desk.one()

        desk.run(claims.release(hand.tag))

        assert isinstance(desk.begin(*desk.one()), Go)

    def test_a_worker_that_dies_leaves_it_to_be_replayed(self, desk: Desk) -> None:
        """Whether it was the message that took it down, nobody knows."""
        job = deal()
        desk.enqueue(job)
        (message,) = purged(desk, job)
        desk.client.lpush("opportunities.interactive", message)
        desk.one()

        desk.silence()

        assert desk.state(job) == "dead"
        call = operating.replay(job.job_id, by="me")
        assert operating.word(desk.run(call)) == "dead"
        assert isinstance(desk.begin(*desk.one()), Go)


class TestAMendedLetter:
    """It is another request than the one that was sent before."""

    def test_waits_until_the_one_before_cannot_be_carried_out(self, desk: Desk) -> None:
        """Its answer was lost, and SprintHub may still carry out what the letter said then."""
        desk.run(told("acme", settle_ms=60_000))
        job = change(5, title="wrong")
        desk.enqueue(job)
        hand, _, _ = desk.send_next()
        effects = ends.Effects(answers=False, wrote=job.written(), unsure=True)
        desk.run(ends.bury(hand, cause=Cause.EXHAUSTED, detail="words", effects=effects))
        mended = job.model_copy(update={"title": "right"})
        assert desk.replay(mended, message=encode(mended)) == "dead"

        desk.begin(*desk.one())

        assert desk.state(job) == "scheduled"
        desk.settle_down()
        desk.pass_time()
        assert titles(desk.work_off()) == ["right"]

    @pytest.mark.parametrize("by", ["reference", "id"])
    def test_for_the_record_of_another_reference_goes_there(self, desk: Desk, by: str) -> None:
        """And not to the record that it was meant for before."""
        for ref, record in (("a", 5), ("b", 6)):
            create = deal(external_ref=ref)
            desk.enqueue(create)
            hand, job, _ = desk.send_next()
            desk.succeed(hand, job, opportunity_id=record)
        wrong = change("a" if by == "reference" else 5, title="mended")
        desk.enqueue(wrong)
        hand, _, go = desk.send_next()
        assert go.opportunity_id == 5
        desk.bury(hand)
        mended = wrong.model_copy(update={"opportunity_id": None, "external_ref": "b"})
        assert desk.replay(mended, message=encode(mended)) == "dead"

        _, _, go = desk.send_next()

        assert go.opportunity_id == 6
