"""Lanes hold only what can be sent now, and hands are shared: who goes where, and who gets the next place in flight."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from integration.ledger.desk import LANES, Desk, change, deal, push_as_before, titles
from oppsync import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.fields import milliseconds
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, ends, keys, operating, presence
from oppsync_worker.ledger.begin import Go
from stage import claiming, time_passes, told

A_TIME = "2100-01-02T03:04:05.678901+00:00"
CALLS = f"{keys.PREFIX}calls"


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def in_lanes(desk: Desk) -> int:
    """Messages in the lanes."""
    return sum(desk.client.llen(lane) for lane in LANES)


def in_flight(desk: Desk, instance: str) -> int:
    """Places that an instance has."""
    return int(desk.client.zcard(f"{keys.PREFIX}inflight:{instance}"))


def foreign(job: AnyJob, *, headers: dict[str, Any] | None = None, **fields: Any) -> str:
    """A message as another Celery application writes it; a field that is None is left out."""
    message = json.loads(encode(job))
    message["headers"] |= {"origin": "gen1@elsewhere", **(headers or {})}
    args, kwargs, embed = json.loads(message["body"])
    kwargs = {name: value for name, value in {**kwargs, **fields}.items() if value is not None}
    return json.dumps({**message, "body": json.dumps([args, kwargs, embed])})


def pushed(desk: Desk, job: AnyJob, *, most: int = 0, **more: Any) -> None:
    """It is pushed, and a worker that has no room looks at the lanes."""
    desk.jobs[job.job_id] = job
    desk.client.lpush(job.lane.queue, foreign(job, **more))
    desk.run(claiming(LANES, most=most))


class TestWhereAJobGoes:
    """From the start, and in one script."""

    def test_with_a_free_slot_into_its_lane(self, desk: Desk) -> None:
        """And has the slot."""
        job = deal()
        desk.enqueue(job)

        assert (desk.state(job), in_lanes(desk)) == ("queued", 1)
        assert desk.field(job, "slot_at")

    def test_without_one_into_its_instances_line(self, desk: Desk) -> None:
        """However many: the lane stays as it is."""
        desk.run(told("acme", requests=1))
        jobs = [deal(lane="bulk") for _ in range(50)]
        desk.enqueue(*jobs)

        assert in_lanes(desk) == 1
        assert desk.client.zcard(keys.waiting("acme")) == 49
        assert b"message" in desk.client.hkeys(keys.job(jobs[-1].job_id))

    def test_of_an_instance_on_hold_to_those_that_are_held(self, desk: Desk) -> None:
        """And from there to where it really waits, through no lane."""
        desk.run(told("acme", requests=1))
        desk.run(operating.hold("acme", cause="operator", note=""))
        jobs = [deal(), deal(), change(5), change(5)]
        desk.enqueue(*jobs)
        assert desk.states(jobs) == ["held"] * 4

        desk.run(operating.unhold("acme"))
        desk.run(time_passes())

        assert sorted(desk.states(jobs)) == ["blocked", "queued", "waiting", "waiting"]
        assert in_lanes(desk) == 1

    def test_that_is_due_to_its_instances_line(self, desk: Desk) -> None:
        """Where older ones go first."""
        desk.run(told("acme", requests=1))
        desk.enqueue(deal(), deal())
        hand, _, _ = desk.send_next()
        attempt = ends.Attempt("", 1, 1, 500, "E", "said")
        desk.run(ends.reschedule(hand, delay_ms=0, attempt=attempt, effects=ends.Effects()))
        desk.run(time_passes())

        assert desk.client.zcard(keys.waiting("acme")) == 2
        assert in_lanes(desk) == 0

    def test_of_an_instance_that_no_worker_knows_is_kept(self, desk: Desk) -> None:
        """After the first one all others are, without going through a worker; until one knows it."""
        jobs = [deal(instance="nobody") for _ in range(30)]
        desk.enqueue(*jobs)
        for hand, job in desk.claim():
            desk.run(ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane))
        desk.pass_time()
        assert set(desk.states(jobs)) == {"held"}

        desk.run(told("nobody"))
        desk.client.hset(keys.budget("nobody"), "next", 0)
        desk.pass_time()
        desk.line_moves()

        assert set(desk.states(jobs)) == {"queued"}

    def test_of_the_version_before_out_of_the_lane(self, desk: Desk) -> None:
        """By the claim script itself, also when the worker has no room."""
        desk.run(told("acme", requests=1))
        jobs = [deal(lane="bulk") for _ in range(20)] + [change(5, title=f"{n}", lane="bulk") for n in range(3)]
        for job in jobs:
            push_as_before(desk.client, job)

        desk.run(claiming(LANES, most=0))

        assert in_lanes(desk) == 1
        assert sorted(set(desk.states(jobs))) == ["blocked", "queued", "waiting"]


class TestAnotherApplicationsMessage:
    """Filed at first sight."""

    def test_is_filed_like_one_of_ours(self, desk: Desk) -> None:
        """With all that names it and all its times."""
        job = deal(external_ref="Ação 1", idempotency_key="key", deadline=A_TIME, lane="bulk")
        desk.run(told("acme", requests=1))
        desk.enqueue(deal())

        pushed(desk, job)

        assert desk.state(job) == "waiting"
        kept = [desk.field(job, name) for name in ("kind", "instance", "lane", "ref", "key", "deadline", "foreign")]
        assert kept == ["opportunities.create", "acme", "bulk", "Ação 1", "key", str(milliseconds(job.deadline)), "1"]
        assert desk.client.hget(keys.making("acme"), "Ação 1") == job.job_id.encode()
        assert desk.client.get(f"{keys.PREFIX}idem:acme:key") == job.job_id.encode()
        assert desk.client.zscore(f"{keys.PREFIX}expiring", job.job_id) == milliseconds(job.deadline)

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            (A_TIME, datetime(2100, 1, 2, 3, 4, 5, 678901, UTC)),
            ("2100-03-01T00:00:00Z", datetime(2100, 3, 1, tzinfo=UTC)),
            ("2096-02-28T23:59:59.9-03:30", datetime(2096, 2, 29, 3, 29, 59, 900000, UTC)),
            ("2101-12-28 00:00:00+14:00", datetime(2101, 12, 27, 10, tzinfo=UTC)),
            ("2096-02-29T00:00:00Z", datetime(2096, 2, 29, tzinfo=UTC)),
            ("2099-12-31T23:59:59Z", datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ],
    )
    @pytest.mark.parametrize("in_header", [True, False])
    def test_with_a_time_goes_to_the_schedule(self, desk: Desk, text: str, moment: datetime, in_header: bool) -> None:  # noqa: FBT001
        """The same moment that a worker would read."""
        job = deal()

        pushed(desk, job, **({"headers": {"eta": text}} if in_header else {"not_before": text}))

        assert desk.client.zscore(keys.SCHEDULE, job.job_id) == int(moment.timestamp() * 1000)

    @pytest.mark.parametrize(
        "unusual",
        [
            {"title": 5},
            {"unheard_of": 1},
            {"crm_column": "130"},
            {"lane": "fast"},
            {"v": 2},
            {"instance": "a b"},
            {"external_ref": "x" * 201},
            {"external_ref": "\ud800"},
            {"idempotency_key": " "},
            {"not_before": "tomorrow"},
            {"deadline": "2100-02-30T00:00:00Z"},
            {"funnel_id": -1},
        ],
    )
    def test_that_is_unusual_is_left_to_a_worker(self, desk: Desk, unusual: dict[str, Any]) -> None:
        """Who says what is wrong with it."""
        job = deal()
        desk.client.lpush(job.lane.queue, foreign(job, **unusual))
        desk.run(claiming(LANES, most=0))
        assert (desk.state(job), in_lanes(desk)) == ("", 1)

        assert len(desk.run(claiming(LANES, most=10))[0]) == 1

    def test_with_a_callback_is_left_to_a_worker(self, desk: Desk) -> None:
        """Whatever becomes of it is said there."""
        job = deal()
        message = json.loads(foreign(job))
        args, kwargs, embed = json.loads(message["body"])
        message["body"] = json.dumps([args, kwargs, {**embed, "callbacks": [{"task": "x"}]}])
        desk.client.lpush(job.lane.queue, json.dumps(message))

        assert len(desk.run(claiming(LANES, most=10))[0]) == 1

    def test_under_a_key_that_is_taken_is_left_to_a_worker(self, desk: Desk) -> None:
        """It is discarded as a twin there."""
        desk.enqueue(deal(idempotency_key="key"))
        twin = deal(idempotency_key="key")

        pushed(desk, twin)

        assert desk.state(twin) == ""

    def test_that_only_a_worker_can_read_keeps_its_place_in_the_order(self, desk: Desk) -> None:
        """The one in which it was claimed, and not that of its reading."""
        first, second = change(5, title="first"), change(5, title="second")
        desk.client.lpush(first.lane.queue, foreign(first, deadline="2100-01-31T00:00Z"))
        ((hand, job),) = desk.claim(1)
        pushed(desk, second)

        desk.begin(hand, job)

        line = desk.client.zrange(keys.record("acme", "id:5"), 0, -1)
        assert line == [first.job_id.encode(), second.job_id.encode()]


class TestHands:
    """How many calls an instance may have in flight."""

    def busy(self, desk: Desk, instance: str, count: int = 300) -> int:
        """An instance that would take all; how many it gets."""
        desk.run(told(instance))
        desk.enqueue(*[deal(instance=instance) for _ in range(count)])
        for _ in range(10):
            desk.line_moves()
        return in_flight(desk, instance)

    def test_one_alone_gets_the_concurrency_that_was_asked_for(self, desk: Desk) -> None:
        """Four fifths of what is announced."""
        desk.run(presence.present("w", hands=100))

        assert self.busy(desk, "acme") == 80

    def test_the_next_ones_share_what_is_free(self, desk: Desk) -> None:
        """Ever less, but always one; and those who came first give way as their calls end."""
        desk.run(presence.present("w", hands=100))
        got = [self.busy(desk, f"i{number}") for number in range(8)]

        assert got == [80, 16, 8, 8, 8, 8, 8, 8]
        desk.run(presence.present("w", hands=50))
        assert [self.busy(desk, f"late{number}") for number in range(3)] == [1, 1, 1]

    def test_the_hands_of_all_workers_that_live_add_up(self, desk: Desk) -> None:
        """One that stops, or is silent, is not counted."""
        for name, hands in (("w1", 50), ("w2", 50), ("w3", 400)):
            desk.run(presence.present(name, hands=hands))
        desk.run(presence.gone("w3"))
        assert desk.client.get(f"{keys.PREFIX}capacity") == b"100"

        desk.client.zadd(keys.WORKERS, {"w2": 1})
        desk.run(presence.present("w1", hands=50))

        assert desk.client.get(f"{keys.PREFIX}capacity") == b"50"

    def test_a_place_comes_back_when_its_call_has_ended(self, desk: Desk) -> None:
        """To its own line first."""
        desk.run(presence.present("w", hands=10))
        self.busy(desk, "acme", 20)
        assert in_flight(desk, "acme") == 8

        for _ in range(12):
            hand, job, _ = desk.send_next()
            desk.succeed(hand, job)

        assert in_flight(desk, "acme") == desk.client.zcard(CALLS) == 8

    def test_a_place_of_a_worker_that_died_comes_back_in_time(self, desk: Desk) -> None:
        """When its call must be over."""
        desk.run(presence.present("w", hands=10))
        self.busy(desk, "acme", 20)
        for place in (CALLS, f"{keys.PREFIX}inflight:acme"):
            for member in desk.client.zrange(place, 0, -1):
                desk.client.zadd(place, {member: 1})

        assert self.busy(desk, "globex", 20) == 8

    def test_look_ups_count_and_are_as_many_as_there_are_hands(self, desk: Desk) -> None:
        """Not a fixed number for everybody together."""
        desk.run(told("acme", probe_ms=0))
        desk.enqueue(*[deal() for _ in range(40)])
        taken = [(hand, job) for hand, job in desk.claim() if isinstance(desk.begin(hand, job), Go)]
        for hand, _ in taken:
            desk.run(ends.doubt(hand, attempt=ends.Attempt("", 1, 1, None, "E", "said")))
        desk.run(presence.present("w", hands=25))

        assert len(desk.looks(takes=100)) == in_flight(desk, "acme") == 20

        desk.run(told("globex"))
        mine = deal(instance="globex")
        desk.enqueue(mine)
        assert desk.state(mine) == "queued"

    def test_one_round_is_shared(self, desk: Desk) -> None:
        """An instance without a limit does not take all of it."""
        for instance in ("acme", "globex"):
            desk.run(told(instance))
            desk.run(operating.hold(instance, cause="operator", note=""))
            desk.enqueue(*[deal(instance=instance) for _ in range(20)])
            desk.run(operating.unhold(instance))
            # As if they had stood in line all along.
            for job_id in desk.client.zrange(keys.held(instance), 0, -1):
                desk.client.hset(keys.job(job_id.decode()), "state", "waiting")
            desk.client.rename(keys.held(instance), keys.waiting(instance))

        _, granted, *_ = desk.run(time_passes(most=10))

        assert granted == 10
        assert (in_flight(desk, "acme"), in_flight(desk, "globex")) == (5, 5)


class TestHurry:
    """Whoever an interactive update waits for inherits its lane."""

    def test_the_create_of_its_reference(self, desk: Desk) -> None:
        """And the place in the line that goes with it."""
        desk.run(told("acme", requests=1))
        create = deal(external_ref="r", lane="bulk")
        desk.enqueue(*[deal(lane="bulk") for _ in range(5)], create)

        desk.enqueue(change("r", lane="interactive"))

        assert desk.client.zrange(keys.waiting("acme"), 0, 0) == [create.job_id.encode()]
        assert desk.field(create, "lane") == "interactive"

    def test_a_create_that_comes_after_it(self, desk: Desk) -> None:
        """From the start."""
        desk.run(told("acme", requests=1))
        create = deal(external_ref="r", lane="bulk")
        desk.enqueue(change("r", lane="interactive"), *[deal(lane="bulk") for _ in range(5)], create)

        assert desk.client.zrange(keys.waiting("acme"), 0, 0) == [create.job_id.encode()]

    def test_every_update_before_it(self, desk: Desk) -> None:
        """Waiting, blocked or scheduled; three hundred of them too."""
        desk.run(told("acme", requests=1))
        desk.enqueue(deal())
        before = [change(5, title=f"{n}", lane="bulk") for n in range(300)]
        desk.enqueue(*before, change(5, title="urgent", lane="interactive"))

        assert {desk.field(job, "lane") for job in before} == {"interactive"}

    def test_a_replayed_one_that_comes_before_it(self, desk: Desk) -> None:
        """It goes back to its old place, and must not be the one that all wait for."""
        old = change(5, title="old", value="1.00", lane="bulk")
        desk.enqueue(old, change(5, title="new", lane="bulk"))
        hand, _, _ = desk.send_next()
        desk.run(told("acme", requests=1))
        desk.bury(hand)
        desk.enqueue(change(5, title="urgent", lane="interactive"))

        assert desk.replay(old) == "dead"

        assert desk.field(old, "lane") == "interactive"

    def test_not_the_other_way_round(self, desk: Desk) -> None:
        """A bulk update hurries nobody."""
        first, second = change(5, lane="bulk"), change(5, lane="bulk")
        desk.enqueue(first, second)

        assert [desk.field(job, "lane") for job in (first, second)] == ["bulk", "bulk"]


def test_the_order_of_a_record_holds_through_all_of_it(desk: Desk) -> None:
    """Foreign ones, those of the version before, held ones and ours."""
    updates: list[UpdateOpportunity | CreateOpportunity] = [change(5, title=f"{n}") for n in range(4)]
    push_as_before(desk.client, updates[0])
    desk.jobs[updates[0].job_id] = updates[0]
    pushed(desk, updates[1])
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.enqueue(updates[2])
    pushed(desk, updates[3])
    desk.run(operating.unhold("acme"))

    assert titles(desk.work_off()) == ["0", "1", "2", "3"]


def test_a_strangers_copy_that_is_handed_back_does_not_stand_for_the_job(desk: Desk) -> None:
    """Nor when its worker falls silent: what was enqueued is what is sent."""
    desk.run(told("acme", requests=1))
    job = deal(title="ours")
    desk.enqueue(job)
    desk.client.lpush(job.lane.queue, foreign(job, title="theirs"))
    ours, theirs = desk.claim(2)
    desk.run(claims.release(theirs[0].tag))
    ((again, _),) = desk.claim()
    desk.client.zadd(keys.LEASES, {again.tag: 1})

    desk.run(claims.restore(most=10, crashes=3, ttl_s=60))

    (letter,) = desk.client.zrange(keys.DEAD, 0, -1)
    assert letter.startswith(b"raw-"), "it may have taken its worker down, and is given to no other"
    assert ours[1].title == "ours"
    assert isinstance(desk.begin(*ours), Go)


def test_filing_goes_on_behind_what_there_is_no_room_for(desk: Desk) -> None:
    """A worker whose hands are full still clears the lanes; and what it cannot take stays in its order."""
    first, second = deal(), deal()
    desk.enqueue(first, second)
    desk.run(told("acme", requests=1))
    desk.client.hset(keys.budget("acme"), "next", f"{(desk.now_s() + 50) * 1000}")
    theirs = [deal() for _ in range(30)]
    desk.client.lpush(LANES[0], *[foreign(job) for job in theirs])
    before = desk.client.lrange(LANES[0], -2, -1)

    desk.run(claiming(LANES, most=0))

    assert set(desk.states(theirs)) == {"waiting"}
    assert desk.client.lrange(LANES[0], 0, -1) == before


def test_of_those_who_get_slots_together_the_first_in_line_is_claimed_first(desk: Desk) -> None:
    """Hands may be short: the slot of whoever is claimed last grows old."""
    jobs = [deal(title=str(number), job_id=f"job-{number}") for number in range(8)]
    desk.run(operating.hold("acme", cause="operator", note=""))
    desk.enqueue(*jobs)
    desk.run(operating.unhold("acme"))
    desk.run(time_passes())

    assert [job.title for _, job in desk.claim(3) + desk.claim(5)] == [job.title for job in jobs]


def test_a_small_hold_that_is_lifted_does_not_wait_for_large_ones(ledger: redis.Redis) -> None:
    """Of those that are released in one round each gets its part, and not the first that is drawn all of it."""
    desk = Desk(ledger)
    large = [f"large{number}" for number in range(9)]
    for instance in [*large, "small"]:
        desk.run(told(instance))
        desk.run(operating.hold(instance, cause="asked", note=""))
    desk.enqueue(*[deal(instance=instance) for instance in large for _ in range(60)])
    ours = deal(instance="small")
    desk.enqueue(ours)
    for instance in [*large, "small"]:
        desk.run(operating.unhold(instance))

    desk.run(time_passes())

    assert desk.state(ours) == "queued"


def test_lines_of_instances_that_hang_are_not_looked_at_all_the_time(ledger: redis.Redis) -> None:
    """Whoever of theirs ends asks at once, so that thousands of them cost Redis little."""
    desk = Desk(ledger)
    desk.run(told("acme", concurrency=1))
    desk.enqueue(deal(), deal(), deal())
    hand, job = desk.one()
    desk.begin(hand, job)
    desk.line_moves()

    due = desk.client.zscore(keys.SLOTS, "acme")
    assert due
    assert due > desk.now_s() * 1000 + 1_000

    desk.succeed(hand, job)
    assert len(desk.claim()) == 1
