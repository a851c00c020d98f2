"""The right that is taken away may be the one that takes an aborted script's writes back.

What is left then is put right by the caller's repeat and by the sweep: no job is lost, none is stuck, and the laws of
the ledger hold again.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from integration.ledger import laws
from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal
from integration.ledger.snapshot import Snapshot
from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.engine.sweep import Sweep
from oppsync_worker.ledger import claims, ends, operating, rights
from oppsync_worker.ledger.begin import Answer, Go, Stale
from oppsync_worker.ledger.connect import explain
from oppsync_worker.ledger.scripts import Call, run
from stage import time_passes, told


class Shorn(Desk):
    """Lacks a right; whoever is refused gets it back and asks again."""

    def __init__(self, client: redis.Redis, shorn: redis.Redis) -> None:
        self.shorn = shorn
        self.refused: list[str] = []
        super().__init__(client)

    def run(self, call: Call) -> Any:
        """With what rights there are, and then with all."""
        try:
            return run(self.shorn, call)
        except redis.ResponseError as error:
            if "does not permit" not in explain(error):
                raise
            self.refused.append(call.script)
            return run(self.client, call)

    def begin(self, hand: ends.Hand, job: AnyJob) -> Answer:
        """What was refused may have left the number of the question: as a worker does, it asks with another."""
        while isinstance(answer := super().begin(hand, job), Stale):
            pass
        return answer


def succeeds(desk: Desk) -> None:
    """A create with all its names, an update that waited for it, and one of another application that a worker read."""
    desk.enqueue(deal(external_ref="r", idempotency_key="k"), change("r"))
    desk.push(change("r"))
    # What was put back at the other end of its lane comes in another order.
    taken = sorted(desk.claim(), key=lambda one: one[1].kind)
    desk.begin(*taken[1])
    hand, job = taken[0]
    assert isinstance(desk.begin(hand, job), Go)
    desk.succeed(hand, job)
    hand, job = desk.one()
    assert isinstance(desk.begin(hand, job), Go)
    desk.fail(hand, job)


def waits(desk: Desk) -> None:
    """For a slot, and for a time; one lives on until its deadline."""
    desk.run(told("acme", requests=1, concurrency=1))
    desk.enqueue(deal(deadline="2100-01-01T00:00:00Z"), deal(), deal(), deal(not_before="2100-01-01T00:00:00Z"))
    for hand, job in desk.claim(3):
        desk.begin(hand, job)
    desk.run(told("acme", requests=0, concurrency=0))
    desk.pass_time()


def doubts(desk: Desk) -> None:
    """One is adopted, one is sent again, one is discarded."""
    creates = [deal(external_ref=name) for name in "abc"]
    desk.enqueue(*creates, change("a"))
    for hand, job in desk.claim():
        if isinstance(desk.begin(hand, job), Go):
            desk.run(ends.doubt(hand, attempt=ATTEMPT))
    desk.run(operating.adopt(creates[0].job_id, opportunity_id=9, result={}, by="me", ttl_s=TTL_S, though_taken=True))
    desk.run(operating.resend(creates[1].job_id, by="me"))
    desk.run(operating.discard(creates[2].job_id, state=State.IN_DOUBT, by="me", ttl_s=TTL_S))


def letters(desk: Desk) -> None:
    """One is replayed."""
    desk.enqueue(first := change(5), change(5))
    desk.push(change(5))
    hand, job = desk.one()
    assert isinstance(desk.begin(hand, job), Go)
    assert desk.claim() == []
    desk.bury(hand)
    desk.replay(first)


def holds(desk: Desk) -> None:
    """An instance is held and released."""
    desk.enqueue(deal(), change(5))
    desk.run(operating.hold("acme", cause="operator", note=""))
    for hand, job in desk.claim():
        desk.begin(hand, job)
    desk.run(operating.unhold("acme"))
    desk.run(time_passes())


def dies(desk: Desk) -> None:
    """A worker does, while it sends, and before; another hands back what it has."""
    desk.enqueue(deal(), change(5), deal())
    (hand, job), (update_hand, update), (other, _) = desk.claim()
    assert isinstance(desk.begin(hand, job), Go)
    assert isinstance(desk.begin(update_hand, update), Go)
    desk.run(claims.release(other.tag))
    desk.silence()


STORIES: list[Callable[[Desk], None]] = [succeeds, waits, doubts, letters, holds, dies]
COMMANDS = sorted(rights.WRITES.keys() & set(rights.commands(rights.ROLES["worker"])) | {"persist"})


@pytest.fixture
def shorn(ledger: redis.Redis, redis_url: str) -> Iterator[redis.Redis]:
    """A user with all rights, for now."""
    ledger.execute_command("ACL", "SETUSER", "shorn", "reset", "on", ">p", "~*", "&*", "+@all")
    with redis.Redis.from_url(re.sub(r"//[^@]*@", "//shorn:p@", redis_url)) as client:
        yield client
    ledger.execute_command("ACL", "DELUSER", "shorn")


class Nobody:
    """Hears of strays."""

    def strays(self, counts: object, some: str) -> None:
        """They are expected."""


async def sweep(redis_url: str) -> dict[str, int]:
    """One whole sweep, which suspects every queued job."""
    async with Redis.from_url(redis_url) as client:
        return await Sweep(
            client,
            worker="w",
            reporter=Nobody(),  # type: ignore[arg-type]
            every_s=60,
            ttl_s=60,
            patience_s=-1,
        ).sweep()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("command", COMMANDS)
async def test_what_cannot_be_taken_back_is_put_right(
    ledger: redis.Redis, shorn: redis.Redis, redis_url: str, command: str, story: Callable[[Desk], None]
) -> None:
    """Whichever one right it is that somebody has taken away."""
    desk = Shorn(ledger, shorn)
    ledger.execute_command("ACL", "SETUSER", "shorn", f"-{command}")

    story(desk)

    ledger.execute_command("ACL", "SETUSER", "shorn", f"+{command}")
    await sweep(redis_url)
    await sweep(redis_url)
    assert await sweep(redis_url) == {}
    seen = Snapshot.of(ledger)
    laws.every_job_is_in_exactly_one_place(seen, desk.jobs, ())
    laws.updates_stand_in_the_line_of_their_record(seen)
    laws.letters_are_remembered_while_they_can_be_replayed(seen)
    laws.doubts_are_looked_into(seen)
    laws.deadlines_are_watched(seen)
    laws.leases_and_slots_belong_to_somebody(seen, {"acme": 100}, ())
    desk.silence()
    for _ in range(20):
        desk.settle_down()
        desk.pass_time()
        desk.work_off()
    unfinished = {job_id: desk.state(job) for job_id, job in desk.jobs.items() if desk.state(job) not in laws.ENDED}
    doubted = {job_id for job_id, state in unfinished.items() if state == "in_doubt"}
    later = {job.job_id for job in desk.jobs.values() if job.not_before}
    assert all(isinstance(desk.jobs[one], CreateOpportunity) for one in doubted)
    # An update whose create is in doubt or discarded waits for a person, as it does without any of this.
    blocked = {job_id for job_id, state in unfinished.items() if state == "blocked"} if doubted else set()
    assert set(unfinished) - doubted - later - blocked == set()
