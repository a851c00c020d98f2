"""Deadlines: which one is in force, and what is said when one has passed."""

import pytest
import redis

from integration.ledger.desk import Desk, change, deal
from oppsync import State
from oppsync_ops.letters.mending import Mending
from oppsync_ops.letters.replay import replay
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from oppsync_worker.ledger.promoting import promote, promoted
from stage import time_passes

SOON, LATER, PAST = "2100-01-01T00:00:00Z", "2100-06-01T00:00:00Z", "2020-01-01T00:00:00Z"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """A ledger with everybody who uses it."""
    return Desk(ledger)


def in_force(desk: Desk, job: AnyJob) -> tuple[str, float | None]:
    """The deadline that the ledger knows, and the one that it watches."""
    return desk.field(job, "deadline"), desk.client.zscore(f"{keys.PREFIX}expiring", job.job_id)


def dead(desk: Desk, job: AnyJob) -> None:
    """The job is a dead letter."""
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.bury(hand)


@pytest.mark.parametrize(
    ("given", "before", "after"), [(LATER, SOON, 4115491200000), ("", SOON, None), (SOON, None, 4102444800000)]
)
@pytest.mark.parametrize("waits", ["held", "blocked"])
def test_a_replay_puts_the_new_deadline_in_force(
    desk: Desk, given: str, before: str | None, after: int | None, waits: str
) -> None:
    """A later one, none at all, or one where there was none; also while it waits."""
    job = change(5, title="T", **({"deadline": before} if before else {}))
    dead(desk, job)
    if waits == "held":
        desk.run(operating.hold("acme", cause="operator", note=""))
    else:
        desk.enqueue(change(5, title="first"))
        desk.send_next()

    counts = replay(desk.client, [job.job_id], by="me", mending=Mending.parse([f"deadline={given}"]))
    assert counts.done == 1
    assert in_force(desk, job) == (str(after or ""), after)
    # Where it goes may be mended too: what it waits for besides a hold, its worker reads.
    if waits == "blocked":
        assert desk.begin(*desk.one()) == Parked(State.BLOCKED, waits)

    assert (desk.state(job), desk.claim()) == (waits, [])
    assert in_force(desk, job) == (str(after or ""), after)


def test_a_replay_without_another_deadline_leaves_it(desk: Desk) -> None:
    """Another field was mended, or none."""
    for assignments in ([], ["title=Mended"]):
        job = change(5, title="T", deadline=SOON)
        dead(desk, job)

        replay(desk.client, [job.job_id], by="me", mending=Mending.parse(assignments) if assignments else None)

        assert in_force(desk, job) == ("4102444800000", 4102444800000)
        desk.work_off()


def passes(desk: Desk, job: AnyJob) -> str:
    """The deadline passes while the job waits; what is said of it."""
    desk.client.zadd(f"{keys.PREFIX}expiring", {job.job_id: 1})
    desk.run(time_passes())
    assert desk.state(job) == "expired"
    result = desk.client.get(f"celery-task-meta-{job.job_id}") or b""
    assert desk.field(job, "detail").encode() in result
    return desk.field(job, "detail")


def test_an_update_that_may_have_been_carried_out_does_not_say_that_it_was_not_sent(desk: Desk) -> None:
    """Its answers were lost."""
    job = change(5, title="T", deadline=SOON)
    desk.enqueue(job)
    for _ in range(2):
        hand, _, _ = desk.send_next()
        desk.fail(hand, job)
        desk.pass_time()
    hand, _ = desk.one()
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.begin(hand, job)

    assert passes(desk, job) == (
        "its deadline passed after it was sent 2 times without a certain answer: SprintHub may have carried it out"
    )


def test_an_update_whose_worker_was_lost_may_have_been_carried_out(desk: Desk) -> None:
    """Nobody heard what became of it."""
    job = change(5, title="T", deadline=SOON)
    desk.enqueue(job)
    desk.send_next()
    desk.silence()
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.begin(*desk.one())

    assert "sent once without a certain answer" in passes(desk, job)


def test_attempts_that_never_left_are_told_as_such(desk: Desk) -> None:
    """A refused connection is no reason to look into the CRM."""
    job = deal(deadline=SOON)
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.run(ends.reschedule(hand, delay_ms=60_000, attempt=ends.Attempt("", 1, 1, None, "NotSent", "refused")))

    assert "after 1 attempt, of which none is known to have been carried out" in passes(desk, job)


def test_one_that_was_never_sent_says_so(desk: Desk) -> None:
    """As ever."""
    job = change(5, title="T", deadline=PAST)
    desk.enqueue(job)

    assert desk.begin(*desk.one()) == Parked(State.EXPIRED, "expired")
    assert desk.field(job, "detail") == "its deadline passed before it was sent"


HOUR_MS = 3_600_000


class Looker:
    """A worker that looks again and again, with a steady clock of its own."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.seen: tuple[int, int] | None = None

    def look(self, *, after_ms: int = 1000, jump_ms: int = 0) -> int:
        """Look, `after_ms` after the last time, and Redis' clock has jumped besides; how far it is ahead."""
        if self.seen is not None:
            self.seen = (self.seen[0] - jump_ms - after_ms, after_ms)
        call = promote(most=100, horizon_ms=250, ttl_s=86_400, takes=0, look_ms=60_000, seen=self.seen)
        done = promoted(self.desk.run(call))
        self.seen = (done.clock_ms, 0)
        return done.ahead_ms


def due_in(desk: Desk, ms: int) -> AnyJob:
    """A job whose deadline is so far off by Redis' clock; it waits in the schedule."""
    job = deal(not_before=SOON, deadline=LATER)
    desk.enqueue(job)
    at = int(desk.now_s() * 1000) + ms
    desk.client.hset(keys.job(job.job_id), "deadline", at)
    desk.client.zadd(f"{keys.PREFIX}expiring", {job.job_id: at})
    return job


def clock_moves(desk: Desk, ms: int) -> None:
    """Redis' clock jumps: all that it has noted is so much longer ago."""
    for name in ("seen", "at", "pending"):
        if noted := desk.client.hget(keys.CLOCK, name):
            desk.client.hset(keys.CLOCK, name, int(noted) - ms)


def test_a_clock_that_jumps_forward_expires_nothing(desk: Desk) -> None:
    """Two workers see it; what was due an hour from now is still there, and expires when that hour is over."""
    one, two = Looker(desk), Looker(desk)
    for worker in (one, two):
        worker.look()
    early, late = due_in(desk, -1), due_in(desk, -HOUR_MS // 2)

    clock_moves(desk, HOUR_MS // 4)
    ahead = [one.look(jump_ms=HOUR_MS // 4), two.look(jump_ms=HOUR_MS // 4), one.look(), two.look()]

    assert all(abs(seen - HOUR_MS // 4) < 5_000 for seen in ahead)
    assert (desk.state(early), desk.state(late)) == ("scheduled", "expired")


def test_a_clock_that_is_set_right_is_believed_at_once(desk: Desk) -> None:
    """And one that stays as it is, after an hour."""
    for ends_by in ("set back", "an hour"):
        desk.client.delete(keys.CLOCK)
        one = Looker(desk)
        one.look()
        clock_moves(desk, HOUR_MS)
        assert one.look(jump_ms=HOUR_MS) > 0
        job = due_in(desk, -1)
        if ends_by == "set back":
            assert one.look(jump_ms=-HOUR_MS) == 0
        else:
            clock_moves(desk, HOUR_MS + 60_000)
            desk.client.hset(keys.CLOCK, "seen", int(desk.now_s() * 1000))
            assert one.look() == 0
        assert desk.state(job) == "expired"


def test_a_worker_that_is_about_to_send_expires_nothing_by_a_clock_that_jumped(desk: Desk) -> None:
    """Before anybody has told of the jump it waits; after that the job is sent."""
    one = Looker(desk)
    one.look()
    job = change(5, title="T", deadline=PAST)
    desk.enqueue(job)
    past_ms = int(desk.now_s() * 1000) - milliseconds(job.deadline)

    clock_moves(desk, past_ms + HOUR_MS)
    assert desk.begin(*desk.one()) == Parked(State.SCHEDULED, "scheduled")
    one.look(jump_ms=past_ms + HOUR_MS)
    desk.pass_time()

    assert isinstance(desk.begin(*desk.one()), Go)


def test_after_all_workers_were_away_the_clock_is_believed_within_seconds(desk: Desk) -> None:
    """One that was there before may tell of a jump first."""
    Looker(desk).look()
    job = due_in(desk, -1)
    clock_moves(desk, HOUR_MS)
    fresh = Looker(desk)

    fresh.look()
    fresh.look(after_ms=100)
    assert desk.state(job) == "scheduled"
    assert promoted(desk.run(time_passes())).wake_ms > 0, "nothing is to be done until then, and nobody spins"
    clock_moves(desk, 6_000)
    desk.client.hset(keys.CLOCK, "seen", int(desk.now_s() * 1000) - HOUR_MS)
    fresh.look(after_ms=6_000)

    assert desk.state(job) == "expired"


def test_a_link_that_is_slow_or_a_worker_that_is_late_is_no_jump(desk: Desk) -> None:
    """Minutes between two looks are minutes on both clocks."""
    one = Looker(desk)
    one.look()
    clock_moves(desk, 10 * 60_000)

    assert one.look(after_ms=10 * 60_000) == 0
