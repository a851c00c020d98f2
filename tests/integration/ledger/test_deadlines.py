"""Deadlines: which one is in force, and what is said when one has passed."""

import pytest
import redis

from integration.ledger.desk import Desk, change, deal
from oppsync import State
from oppsync_ops.letters.mending import Mending
from oppsync_ops.letters.replay import replay
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Parked
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
    assert in_force(desk, job) == (str(after or ""), None)
    assert desk.begin(*desk.one()) == Parked(State(waits), waits)

    assert in_force(desk, job) == (str(after or ""), after)


def test_a_replay_without_another_deadline_leaves_it(desk: Desk) -> None:
    """Another field was mended, or none."""
    for assignments in ([], ["title=Mended"]):
        job = change(5, title="T", deadline=SOON)
        dead(desk, job)

        replay(desk.client, [job.job_id], by="me", mending=Mending.parse(assignments) if assignments else None)

        assert in_force(desk, job) == ("4102444800000", None)
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
