"""Somebody has put values of another type under keys of an instance: the others are served all the same."""

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.ledger import ends, operating, sweeping


def _meddle(w: World, *names: str) -> None:
    for name in names:
        w.put("DEL", f"oppsync:{name}")
        w.put("SET", f"oppsync:{name}", "x")


def a_lane_is_no_list(w: World) -> None:
    """The next one is read."""
    w.told()
    w.put("SET", "opportunities.interactive", "x")
    w.enqueue(create("c1"))
    w.claim()


def a_lane_is_no_list_for_a_worker_without_room(w: World) -> None:
    """It looks at the next, and files what is there. An entry that is no entry is looked at more closely."""
    w.told()
    w.put("SET", "opportunities.interactive", "x")
    w.push(create("f1"))
    w.claim(0)
    w.put("DEL", "opportunities.interactive")
    w.enqueue(create("c1"))
    w.put("DEL", "oppsync:job:c1")
    w.put("SET", "oppsync:job:c1", "x")
    w.claim(0)


def messages_that_cannot_be_filed(w: World) -> None:
    """Dead letters: under their own id, unless it is their entry that is broken."""
    w.told()
    w.put("SET", "oppsync:waiting:acme", "x")
    w.put("SET", "oppsync:job:f2", "x")
    w.push(create("f1"), create("f2"))
    w.put(
        "HSET", "oppsync:job:c1", "state", "queued", "kind", "opportunities.create", "instance", "acme", "lane", "bulk"
    )
    w.push(create("c1"), origin="oppsync")
    w.claim()


def a_line_that_no_slot_can_be_given_in(w: World) -> None:
    """Messages are filed into it, and no slot is given."""
    w.told(concurrency=1)
    w.put("SET", "oppsync:inflight:acme", "x")
    w.push(create("f1"))
    w.claim()


def what_time_decides_for_others(w: World) -> None:
    """Due jobs, lines, jobs that are released, look-ups: each is tried again in a minute."""
    w.told(concurrency=1, probe_ms=0)
    (hand,) = w.sends(create("c1"))
    w.enqueue(create("c2"), create("c3", not_before="2027-01-15T08:00:01Z"))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.promote()
    w.put("ZADD", "oppsync:granted", 1, "c1")
    w.put("SADD", "oppsync:releasing", "acme")
    w.passes(1_000)
    _meddle(w, "waiting:acme", "held:acme", "inflight:acme")
    w.promote(takes=1)
    w.promote(takes=1)


def claims_of_lost_workers(w: World) -> None:
    """They are kept for another minute."""
    w.told(requests=60)
    w.told("globex")
    for job in (create("c1"), create("c2", instance="globex")):
        w.enqueue(job)
    w.claim()
    _meddle(w, "waiting:acme")
    w.passes(60_000)
    w.restore()
    for _ in range(3):
        w.passes(60_000)
        w.restore(crashes=0)


def entries_that_cannot_be_held_against_their_place(w: World) -> None:
    """The next one is."""
    w.told()
    w.run(operating.hold("acme", cause="asked", note=""))
    w.enqueue(update("u1", 5), create("c2"))
    _meddle(w, "record:acme:id:5")
    w.put("DEL", "oppsync:held:acme")
    w.run(sweeping.sweep(["u1", "c2"], ttl_s=100, patience_ms=1_000))
