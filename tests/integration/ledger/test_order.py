"""Updates of one record: one at a time, in the order of enqueueing, whatever happens to them."""

from datetime import UTC, datetime

import pytest
import redis

from integration.ledger.desk import Desk, change, deal, titles
from oppsync import UpdateOpportunity
from oppsync_ops.redis_server import url_at
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from stage import eventually, time_passes, told


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def buried_and_sent(desk: Desk) -> tuple[UpdateOpportunity, UpdateOpportunity, ends.Hand]:
    """An old update that is a dead letter, a newer one of the same record that is being sent, and in whose hand."""
    old, newer = change(5, title="old"), change(5, title="new")
    desk.enqueue(old, newer)
    hand, _, _ = desk.send_next()
    desk.bury(hand)
    hand, _, _ = desk.send_next()
    return old, newer, hand


def test_only_one_update_of_a_record_is_in_flight(desk: Desk) -> None:
    """The others are blocked, and go on one by one."""
    updates = [change(5, title=f"{n}") for n in range(20)]
    desk.enqueue(*updates)

    answers = [desk.begin(*taken) for taken in desk.claim()]

    assert [type(answer) for answer in answers] == [Go]
    assert desk.states(updates[1:]) == ["blocked"] * 19


def test_they_go_in_the_order_in_which_they_were_enqueued(desk: Desk) -> None:
    """Also when many were enqueued within one millisecond."""
    updates = [change(5, title=f"{n}") for n in range(60)]
    desk.enqueue(*updates)
    (first, *others) = desk.claim(59)
    for taken in (first, *reversed(others)):
        desk.begin(*taken)
    desk.succeed(*first)

    sent = desk.work_off()

    assert titles(sent) == titles(updates[1:])


def test_other_records_are_not_kept_waiting(desk: Desk) -> None:
    """A line per record, and per instance."""
    desk.run(told("globex"))
    desk.enqueue(change(5), change(6), change(5, instance="globex"))

    assert [type(desk.begin(*taken)) for taken in desk.claim()] == [Go, Go, Go]


def test_an_update_by_reference_and_one_by_id_are_of_one_record(desk: Desk) -> None:
    """Once the create has succeeded, both names stand for the same line."""
    create = deal(external_ref="r")
    desk.enqueue(create, change("r", title="0"), change("r", title="1"))
    hand, job, _ = desk.send_next()
    desk.succeed(hand, job, opportunity_id=5)
    desk.enqueue(change(5, title="2"), change("r", title="3"))

    sent = desk.work_off()

    assert titles(sent) == ["0", "1", "2", "3"]


def test_updates_wait_for_their_create_and_then_for_each_other(desk: Desk) -> None:
    """Blocked while the create is on its way, in doubt, dead or replayed; in order afterwards."""
    create, updates = deal(external_ref="r"), [change("r", title=f"{n}") for n in range(30)]
    desk.enqueue(*updates, create)
    hand, job, _ = desk.send_next()
    assert job == create
    assert set(desk.states(updates)) == {"blocked"}
    desk.bury(hand)
    assert desk.work_off() == []
    assert desk.replay(create) == "dead"

    sent = desk.work_off()

    assert titles(sent) == ["T", *titles(updates)]


def test_a_retry_comes_before_its_successors(desk: Desk) -> None:
    """Whose turn comes only when it has ended."""
    first, second = change(5, title="first"), change(5, title="second")
    desk.enqueue(first, second)
    hand, job, _ = desk.send_next()
    desk.fail(hand, job, delay_ms=60_000)
    for taken in desk.claim():
        assert desk.begin(*taken) == Parked(State.BLOCKED, "blocked")

    desk.pass_time()
    sent = desk.work_off()

    assert titles(sent) == ["first"]
    assert desk.state(second) == "scheduled", "the first one's lost answer may still be carried out"
    desk.settle_down()
    desk.pass_time()
    assert titles(desk.work_off()) == ["second"]


def test_a_lost_worker_does_not_change_the_order(desk: Desk) -> None:
    """Whether it died before or while sending."""
    first, second = change(5, title="first"), change(5, title="second")
    desk.enqueue(first, second)
    hand, job = desk.one()
    desk.silence()
    assert isinstance(desk.begin(hand, job), Parked), "a stale claim sends nothing"
    desk.send_next()
    desk.silence()
    desk.pass_time()

    assert titles(desk.work_off()) == ["first"]
    assert desk.field(second, "cause") == "unsettled", "what the lost worker sent may still be carried out"
    desk.settle_down()
    desk.pass_time()
    assert titles(desk.work_off()) == ["second"]


def test_a_hold_does_not_change_the_order(desk: Desk) -> None:
    """Held in any order, released in any order."""
    updates = [change(5, title=f"{n}", lane="bulk" if n % 2 else "interactive") for n in range(10)]
    desk.enqueue(*updates)
    desk.run(operating.hold("acme", cause="operator", note=""))
    for taken in reversed(desk.claim()):
        assert desk.begin(*taken) == Parked(State.HELD, "held")
    desk.run(operating.unhold("acme"))

    sent = desk.work_off()

    assert titles(sent) == titles(updates)


def test_an_update_from_another_application_is_filed_when_it_is_claimed(desk: Desk) -> None:
    """Two workers may begin them in any order."""
    updates = [change(5, title=f"{n}") for n in range(4)]
    desk.push(*updates)
    taken = [*desk.claim(2, worker="w1"), *desk.claim(2, worker="w2")]

    assert [job.title for _, job in taken] == ["0"]
    assert isinstance(desk.begin(*taken[0]), Go)
    assert desk.states(updates[1:]) == ["blocked"] * 3
    desk.succeed(*taken[0])
    assert titles(desk.work_off()) == ["1", "2", "3"]


def test_a_base64_message_from_another_application_is_filed_too(desk: Desk) -> None:
    """What stock Celery sends."""
    from celery import Celery  # noqa: PLC0415 - only here

    app = Celery(broker=url_at(desk.client.connection_pool.connection_kwargs["port"]))
    for title in ("Ação é", "second"):
        kwargs = {"instance": "acme", "funnel_id": 7, "opportunity_id": 5, "title": title}
        app.send_task("opportunities.update", kwargs=kwargs, queue="opportunities.bulk")

    assert titles(desk.work_off()) == ["Ação é", "second"]


def test_one_that_waits_for_its_time_takes_its_place_when_it_is_due(desk: Desk) -> None:
    """It keeps nobody waiting until then."""
    later = change(5, title="later", not_before="2100-01-01T00:00:00Z")
    desk.enqueue(later, change(5, title="now"))
    assert titles(desk.work_off()) == ["now"]
    due = change(5, title="due", not_before="2020-01-01T00:00:00Z")
    desk.enqueue(due, change(5, title="after"))

    assert titles(desk.work_off()) == ["due", "after"]


def test_those_that_are_due_go_in_the_order_of_their_times(desk: Desk) -> None:
    """Whoever is begun first."""
    times = [datetime.fromtimestamp(desk.now_s() + seconds, UTC) for seconds in (0.2, 0.1)]
    second, first = (change(5, title=f"{n}", not_before=time) for n, time in enumerate(times))
    desk.enqueue(second, first)
    assert desk.states([first, second]) == ["scheduled", "scheduled"]

    def due() -> bool:
        desk.run(time_passes())
        return desk.states([first, second]) == ["queued", "blocked"]

    eventually(due)
    (taken,) = desk.claim()

    assert taken[1].title == "1"
    assert isinstance(desk.begin(*taken), Go)


def test_a_copy_that_takes_over_from_a_lost_worker_leaves_the_same_doubt(desk: Desk) -> None:
    """What that worker sent may still be carried out, when the copy has long ended."""
    first, second = change(5, title="first"), change(5, title="second")
    desk.enqueue(first, second)
    hand, _, _ = desk.send_next()
    desk.client.delete(f"{keys.PREFIX}claim:{hand.tag}")
    desk.client.zrem(keys.LEASES, hand.tag)
    desk.client.rpush("opportunities.interactive", encode(first))

    assert titles(desk.work_off()) == ["first"]

    assert desk.field(second, "cause") == "unsettled"


def test_an_interactive_update_lends_its_lane_to_those_before_it(desk: Desk) -> None:
    """Or it would wait behind everybody else's backlog."""
    desk.run(told("acme", requests=6))
    backlog = [deal(lane="bulk", title=f"{n}") for n in range(20)]
    before = change(5, title="before", lane="bulk")
    desk.enqueue(*backlog, before)
    for taken in desk.claim():
        desk.begin(*taken)
    urgent = change(5, title="urgent", lane="interactive")
    desk.enqueue(urgent)
    assert desk.state(urgent) == "blocked"

    first = desk.client.zrange(keys.waiting("acme"), 0, 0)

    assert first == [before.job_id.encode()]


class TestDeadLetters:
    """An earlier update that died."""

    def test_later_updates_go_on(self, desk: Desk) -> None:
        """Unless the instance says otherwise."""
        desk.enqueue(change(5, title="dies"), change(5, title="goes on"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)

        assert titles(desk.work_off()) == ["goes on"]

    def test_or_wait_where_the_instance_says_so(self, desk: Desk) -> None:
        """Until somebody replays it, or drops it."""
        desk.run(told("acme", after_dead="wait"))
        letters = [change(5, title="replayed"), change(5, title="dropped")]
        desk.enqueue(*letters, change(5, title="waits"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        assert desk.work_off() == []

        assert desk.replay(letters[0]) == "dead"
        hand, job, _ = desk.send_next()
        desk.succeed(hand, job)
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        assert desk.work_off() == []
        desk.run(operating.discard(letters[1].job_id, state=State.DEAD, by="me", ttl_s=60))

        assert titles(desk.work_off()) == ["waits"]

    def test_a_replay_does_not_overwrite_what_was_written_since(self, desk: Desk) -> None:
        """Only the fields that nobody has changed are sent."""
        old = change(5, title="old", value="1.00", fields={"A": "old", "B": "old"})
        desk.enqueue(old, change(5, title="new", fields={"B": "new"}))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        desk.work_off()

        assert desk.replay(old) == "dead"
        _, job, go = desk.send_next()

        assert set(go.overwritten) == {"title", "fields.B"}
        assert job.without(go.overwritten).document() == {"value": old.value, "fields": {"A": "old"}}

    def test_a_replay_with_nothing_left_to_write_is_refused(self, desk: Desk) -> None:
        """The letter stays as it is."""
        old = change(5, title="old")
        desk.enqueue(old, change(5, title="new", value="2.00"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        desk.work_off()

        assert desk.replay(old) == "superseded"
        assert desk.state(old) == "dead"

    def test_a_replay_waits_for_the_newer_one_that_is_in_flight(self, desk: Desk) -> None:
        """And is dropped when that one has written everything."""
        old = change(5, title="old")
        desk.enqueue(old, change(5, title="new"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        newer = desk.send_next()
        assert desk.replay(old) == "dead"
        assert desk.state(old) == "blocked"

        desk.succeed(newer[0], newer[1])

        assert desk.begin(*desk.one()) == Parked(State.DISCARDED, "superseded")
        assert desk.field(old, "cause") == "superseded"

    def test_a_replay_waits_for_the_retry_of_a_newer_one(self, desk: Desk) -> None:
        """What was sent once may have been carried out: nothing older may come after it."""
        old = change(5, title="old", value="1.00")
        desk.enqueue(old, change(5, title="new"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        hand, job, _ = desk.send_next()
        desk.fail(hand, job, delay_ms=60_000)
        assert desk.replay(old) == "dead"
        assert desk.state(old) == "blocked"

        desk.pass_time()
        assert titles(desk.work_off()) == ["new"]
        desk.settle_down()
        desk.pass_time()

        _, _, go = desk.send_next()
        assert go.overwritten == ("title",)

    def test_a_replay_goes_before_newer_ones_that_were_never_sent(self, desk: Desk) -> None:
        """Their values come last, as they were enqueued."""
        old = change(5, title="old")
        desk.enqueue(old)
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        desk.enqueue(change(5, title="new"))

        assert desk.replay(old) == "dead"

        assert titles(desk.work_off()) == ["old", "new"]

    def test_what_may_have_been_written_counts_as_written(self, desk: Desk) -> None:
        """A newer update that is dead itself, but whose last answer was lost."""
        old, newer, hand = buried_and_sent(desk)
        effects = ends.Effects(answers=False, wrote=newer.written(), unsure=True)
        desk.run(ends.bury(hand, cause=Cause.EXHAUSTED, detail="words", effects=effects))

        assert desk.replay(old) == "superseded"
        assert desk.replay(newer) == "dead"

    def test_so_does_what_one_wrote_that_took_its_workers_down(self, desk: Desk) -> None:
        """It was sent each time, and nobody has heard what became of it."""
        old, newer, _ = buried_and_sent(desk)
        desk.silence(crashes=0)
        assert desk.states([old, newer]) == ["dead", "dead"]

        assert desk.replay(old) == "superseded"

    def test_one_that_is_mended_for_another_record_stands_in_its_line(self, desk: Desk) -> None:
        """At the end of it."""
        wrong = change(5, title="mended")
        desk.enqueue(wrong)
        hand, _, _ = desk.send_next()
        desk.enqueue(change(6, title="there before"))
        desk.bury(hand)
        mended = wrong.model_copy(update={"opportunity_id": 6})

        assert desk.replay(mended, message=encode(mended)) == "dead"

        assert titles(desk.work_off()) == ["there before", "mended"]
        assert list(desk.client.scan_iter(f"{keys.PREFIX}letters:*")) == []

    def test_one_that_is_mended_to_name_its_record_otherwise_overwrites_nothing(self, desk: Desk) -> None:
        """By its reference instead of its id: the record is the same, and so is its place among the updates."""
        create = deal(external_ref="r")
        desk.enqueue(create)
        hand, job, _ = desk.send_next()
        desk.succeed(hand, job, opportunity_id=5)
        old = change(5, title="old", value="1.00")
        desk.enqueue(old, change(5, title="new"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        assert titles(desk.work_off()) == ["new"]
        mended = old.model_copy(update={"opportunity_id": None, "external_ref": "r"})

        assert desk.replay(mended, message=encode(mended)) == "dead"

        answer = desk.begin(*desk.one())
        assert isinstance(answer, Go)
        assert (answer.opportunity_id, answer.overwritten) == (5, ("title",))

    def test_nothing_is_remembered_once_no_letter_is_left(self, desk: Desk) -> None:
        """The memory of fields goes with the last letter."""
        old = change(5, title="old", value="1.00")
        desk.enqueue(old, change(5, title="new"))
        hand, _, _ = desk.send_next()
        desk.bury(hand)
        desk.work_off()
        assert list(desk.client.scan_iter(f"{keys.PREFIX}newer:*"))

        desk.replay(old)
        desk.work_off()

        assert not list(desk.client.scan_iter(f"{keys.PREFIX}newer:*"))
        assert not list(desk.client.scan_iter(f"{keys.PREFIX}record:*"))


def test_after_a_lost_answer_the_next_update_waits_until_it_cannot_be_carried_out(desk: Desk) -> None:
    """SprintHub may put the older values over the newer ones otherwise."""
    desk.run(told("acme", settle_ms=60_000))
    first, second = change(5, title="first"), change(5, title="second")
    desk.enqueue(first, second)
    hand, job, _ = desk.send_next()
    desk.fail(hand, job)
    assert titles(desk.work_off()) == ["first"], "its own retry need not wait"

    assert desk.state(second) == "scheduled"
    assert desk.field(second, "cause") == "unsettled"
    assert 50_000 < float(desk.client.zscore(keys.SCHEDULE, second.job_id)) - desk.client.time()[0] * 1000 <= 61_000


def test_a_blocked_update_expires_at_its_deadline(desk: Desk) -> None:
    """It is not forgotten because nobody looks at it."""
    lonely = change("nobody", deadline="2100-01-01T00:00:00Z")
    desk.enqueue(lonely)
    assert desk.state(lonely) == "blocked"
    desk.client.zadd(f"{keys.PREFIX}expiring", {lonely.job_id: 1})

    desk.pass_time()

    assert desk.state(lonely) == "expired"
    assert b"JobExpired" in (desk.client.get(f"celery-task-meta-{lonely.job_id}") or b"")


def test_who_stands_in_two_lines_holds_up_neither(desk: Desk) -> None:
    """Its entry was removed by hand, and its id used again for another instance."""
    desk.run(told("globex"))
    stray, behind = change(5, job_id="stray", title="a"), change(5, title="b")
    desk.enqueue(stray)
    desk.client.delete(keys.job("stray"), "opportunities.interactive")
    desk.client.zrem(keys.waiting("acme"), "stray")
    again = stray.model_copy(update={"instance": "globex", "opportunity_id": 7})
    desk.enqueue(change(7, instance="globex"), again)
    desk.enqueue(behind)

    hand, job, _ = desk.send_next()
    desk.succeed(hand, job)

    assert {behind.job_id, "stray"} <= {one.job_id for one in [job, *desk.work_off()]}
