"""More jobs have a slot than workers have hands: each instance may always have one call, and instances are many."""

import itertools
from collections import deque

import pytest
import redis

from integration.ledger.desk import A_MINUTE_MS, LANES, TTL_S, Desk, deal
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger import claims, ends
from stage import time_passes, told

HANDS = 10
BUSY = 20


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_who_came_first_is_not_left_behind(ledger: redis.Redis, lane: str) -> None:
    """Twenty instances have interactive jobs for ever; a job that came before all of them is sent all the same."""
    desk = Desk(ledger)
    busy = [f"busy{number}" for number in range(BUSY)]
    for instance in busy:
        desk.run(told(instance, concurrency=1))
    ours = deal(lane=lane)
    desk.enqueue(ours)
    desk.enqueue(*[deal(instance=instance, lane="interactive") for instance in busy for _ in range(2)])
    in_hand: deque[claims.Claimed] = deque()
    sent: list[str] = []

    for step in itertools.count(1):
        room = HANDS - len(in_hand)
        call = claims.claim(LANES, most=room, lease_ms=A_MINUTE_MS, worker="w", question=f"w-{step}")
        in_hand += claims.claimed(desk.run(call))[0]
        one = in_hand.popleft()
        job = read_message(one.message)
        hand = ends.Hand(one.tag, job.job_id, TTL_S)
        desk.begin(hand, job)
        desk.succeed(hand, job)
        sent.append(job.job_id)
        if job.job_id == ours.job_id:
            break
        desk.enqueue(deal(instance=job.instance, lane="interactive"))
        desk.run(time_passes())
        assert step < 30 * BUSY, "it waits for others for ever"

    assert len(sent) < 10 * BUSY
