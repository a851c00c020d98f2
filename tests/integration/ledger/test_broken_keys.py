"""Somebody has put a value of another type under a key of the ledger: whoever needs that key waits, and nobody else."""

from typing import Any

import pytest
import redis

from integration.ledger.desk import A_MINUTE_MS, ATTEMPT, LANES, TTL_S, Desk, change, deal
from oppsync_ops.overview.broken import broken_keys
from oppsync_worker.ledger import claims, ends, enqueuing, keys, operating
from oppsync_worker.ledger.promoting import promoted
from oppsync_worker.ledger.scripts import run
from stage import claiming, time_passes, told

OF_AN_INSTANCE = ["waiting", "held", "hold", "looking", "inflight", "sent", "budget", "making", "refs"]
MET_BY_ALL = {"waiting", "held", "looking", "inflight", "budget"}
"""Keys that every round for the instance needs; the others are met when a job needs them."""


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """Two instances."""
    desk = Desk(ledger)
    desk.run(told("globex", concurrency=2, requests=600, probe_ms=0))
    return desk


def meddle(client: redis.Redis, key: str) -> None:
    """By hand: what stood there is gone, as it is with SET."""
    kind = client.type(key)
    client.delete(key)
    if kind == b"string":
        client.rpush(key, "what")
    else:
        client.set(key, "what")


def full(desk: Desk) -> None:
    """Jobs of an instance in every place in which its keys are needed."""
    made: dict[str, Any] = {"instance": "globex"}
    desk.enqueue(deal(**made), deal(**made), deal(**made))
    taken = desk.claim(3)
    desk.begin(*taken[0])
    desk.run(ends.doubt(taken[0][0], attempt=ATTEMPT))
    desk.begin(*taken[1])
    desk.run(operating.hold("globex", cause="asked", note=""))
    desk.enqueue(deal(**made))
    desk.run(operating.unhold("globex"))
    desk.enqueue(deal(**made, external_ref="r"), change("r", **made), change(7, **made), change(7, **made))
    desk.push(deal(**made), change(8, **made))
    desk.client.zadd(keys.SCHEDULE, {taken[1][1].job_id: 1})


def go_round(desk: Desk) -> list[str]:
    """All that workers do on the side; whom they have found to be broken."""
    found = []
    for place in (keys.SCHEDULE, keys.SLOTS, keys.PROBES, "oppsync:expiring"):
        for member in desk.client.zrange(place, 0, -1):
            desk.client.zadd(place, {member: 1}, xx=True)
    for tag in desk.client.zrange(keys.LEASES, 0, -1):
        desk.client.zadd(keys.LEASES, {tag: 1})
    found += promoted(desk.run(time_passes(takes=5))).broken
    answer = desk.run(claims.restore(most=100, crashes=3, ttl_s=TTL_S))
    found += claims.broken(answer, usual=3)
    return found


@pytest.mark.parametrize("name", OF_AN_INSTANCE)
def test_a_key_of_an_instance_holds_up_nobody_else(desk: Desk, name: str) -> None:
    """Whatever of it waits anywhere: its neighbour's jobs are claimed, sent and settled."""
    full(desk)
    meddle(desk.client, f"oppsync:{name}:globex")
    for _ in range(3):
        go_round(desk)
        desk.run(claiming(LANES, most=1, lease_ms=A_MINUTE_MS, worker="other"))
    ours = deal()
    desk.push(ours)

    sent = []
    for _ in range(30):
        go_round(desk)
        for hand, job in desk.claim(10):
            if job.instance == "acme":
                desk.begin(hand, job)
                desk.succeed(hand, job)
                sent.append(job.job_id)

    assert sent == [ours.job_id]
    if name in MET_BY_ALL:
        assert any(said.startswith("globex: ") for said in broken_keys(desk.client))


@pytest.mark.parametrize("suffix", ["", "\x06\x163"])
def test_a_lane_that_is_no_list_does_not_stop_the_other_one(desk: Desk, suffix: str) -> None:
    """And it is named."""
    meddle(desk.client, LANES[0] + suffix)
    job = deal(lane="bulk")
    desk.enqueue(job)

    answer = desk.run(claiming(LANES, most=1, lease_ms=A_MINUTE_MS, worker="w"))

    assert [one.message for one in claims.claimed(answer)[0]] != []
    assert set(claims.broken(answer, usual=3)) == {LANES[0] + suffix}
    assert [said.split(":")[0] for said in broken_keys(desk.client)] == [LANES[0] + suffix]


@pytest.mark.parametrize("key", ["oppsync:waiting:globex", "oppsync:job:one"])
def test_a_message_that_cannot_be_filed_is_a_dead_letter(desk: Desk, key: str) -> None:
    """Under its own id, so that it can be replayed, unless its entry is what is broken; the next one has its turn."""
    desk.run(told("globex", concurrency=1))
    desk.enqueue(deal(instance="globex"), deal(instance="globex"))
    meddle(desk.client, key)
    ours = deal()
    desk.push(deal(job_id="one", instance="globex"), ours)

    assert [job.job_id for _, job in desk.claim() + desk.claim() if job.instance == "acme"] == [ours.job_id]

    (letter,) = (one.decode() for one in desk.client.zrange(keys.DEAD, 0, -1))
    entry = desk.client.hgetall(keys.job(letter))
    assert (letter == "one") == (key != "oppsync:job:one")
    assert (entry[b"cause"], b"another type" in entry[b"detail"]) == (b"internal", True)
    if letter == "one":
        desk.client.delete(key)
        assert operating.word(desk.run(operating.replay("one", by="me"))) == "dead"
        desk.run(operating.hold("acme", cause="asked", note=""))
        assert [job.job_id for _, job in desk.claim()] == ["one"]


def test_a_producer_of_the_instance_is_told(desk: Desk) -> None:
    """Nothing is taken that nobody could keep."""
    meddle(desk.client, "oppsync:inflight:globex")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        run(desk.client, enqueuing.enqueue(deal(instance="globex")))


def test_a_part_that_fails_leaves_nothing_behind(desk: Desk) -> None:
    """What it had done is taken back, and it is tried again in a minute."""
    job = change(5, instance="globex")
    desk.enqueue(job)
    hand, _ = desk.one()
    desk.begin(hand, job)
    desk.run(ends.reschedule(hand, delay_ms=0, attempt=ATTEMPT, effects=ends.Effects()))
    meddle(desk.client, "oppsync:waiting:globex")
    before = desk.client.hgetall(keys.job(job.job_id))

    assert go_round(desk) == ["globex"]

    assert desk.client.hgetall(keys.job(job.job_id)) == before
    due = desk.client.zscore(keys.SCHEDULE, job.job_id)
    assert due
    assert due > desk.now_s() * 1000 + 50_000
