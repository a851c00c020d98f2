"""What a bug, a purge or a hand in Redis has left."""

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import World, create, update
from oppsync_worker.ledger import ends, operating, sweeping


def _sweep(w: World, *job_ids: str, patience_ms: int = 1_000) -> None:
    w.run(sweeping.sweep(job_ids, ttl_s=100, patience_ms=patience_ms))


def a_whole_ledger_is_left_alone(w: World) -> None:
    """Only what is queued for long is suspected."""
    w.told(requests=60)
    w.enqueue(
        create("c1"),
        create("c2"),
        update("u1", 5),
        update("u2", "r"),
        update("u3", 6, not_before="2027-01-15T09:00:00Z"),
    )
    w.passes(1_000)
    _sweep(w, "c1", "c2", "u1", "u2", "u3", "nobody")
    w.passes(1)
    _sweep(w, "c1", "c2", "u1", "u2", "u3")
    w.put("HDEL", "oppsync:job:c1", "since")
    _sweep(w, "c1")
    w.put("HDEL", "oppsync:job:c1", "at")
    _sweep(w, "c1", patience_ms=-1)


def jobs_in_no_place_are_put_back(w: World) -> None:
    """Where they stood, as far as that can be known."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"), update("u1", "r"), create("c2", not_before="2027-01-15T09:00:00Z"))
    w.run(operating.hold("acme", cause="asked", note=""))
    w.enqueue(create("c3"), create("c4", lane="interactive"))
    for place in ("waiting:acme", "held:acme", "blocked", "schedule", "holding"):
        w.put("DEL", f"oppsync:{place}")
    _sweep(w, "c1", "u1", "c2", "c3", "c4")
    w.run(operating.unhold("acme"))
    w.put("SREM", "oppsync:releasing", "acme")
    w.put("ZREM", "oppsync:held:acme", "c3")
    w.put("HDEL", "oppsync:job:u1", "at")
    w.put("ZREM", "oppsync:blocked", "u1")
    _sweep(w, "c3", "u1")


def letters_and_doubts_are_put_back(w: World) -> None:
    """With or without a message; a doubt is looked into again, unless a person decides."""
    w.told()
    first, second, third = w.sends(create("c1"), create("c2"), create("c3"))
    w.bury(first)
    for hand in (second, third):
        w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.put("HSET", "oppsync:job:c1", "message", "")
    w.put("HDEL", "oppsync:job:c2", "message")
    w.put("HSET", "oppsync:job:c3", "doubt", "person")
    w.put("DEL", "oppsync:dead", "oppsync:in_doubt", "oppsync:probes")
    _sweep(w, "c1", "c2", "c3")


def jobs_without_a_message_are_lost(w: World) -> None:
    """Their producers are told; the line goes on."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"), update("u1", 5), update("u2", 5))
    w.put("HDEL", "oppsync:job:c1", "message")
    w.put("HSET", "oppsync:job:u1", "message", "")
    _sweep(w, "c1", "u1")


def jobs_that_nobody_sends_are_found(w: World) -> None:
    """A create is in doubt; an update is lost, and the next of its record waits a while."""
    w.told()
    w.sends(create("c1"), update("u1", 5))
    w.enqueue(update("u2", 5))
    _sweep(w, "c1", "u1")
    for key in sorted(w.client.keys("oppsync:claim:*")):
        w.put("DEL", key)
    _sweep(w, "c1", "u1")


def ended_jobs_are_forgotten_in_time(w: World) -> None:
    """Their message too."""
    w.told()
    (hand,) = w.sends(create("c1", idempotency_key="k", external_ref="r"))
    w.succeed(hand)
    _sweep(w, "c1")
    w.put("PERSIST", "oppsync:job:c1")
    w.put("HSET", "oppsync:job:c1", "message", "x")
    w.put("HSET", "oppsync:making:acme", "r", "c1")
    _sweep(w, "c1")


def lines_that_nobody_looks_at_are_found(w: World) -> None:
    """Unless their instance is on hold."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"))
    w.put("DEL", "oppsync:slots")
    _sweep(w, "c1")
    w.put("DEL", "oppsync:slots")
    w.run(operating.hold("acme", cause="asked", note=""))
    _sweep(w, "c1")


def updates_out_of_their_line_stand_in_it_again(w: World) -> None:
    """And whoever is first and blocked goes on."""
    w.told(requests=60)
    w.enqueue(update("u1", 5), update("u2", 5), update("u3", 6))
    w.put("ZREM", "oppsync:record:acme:id:5", "u1")
    _sweep(w, "u2")
    w.put("DEL", "oppsync:record:acme:id:6", "oppsync:record:acme:id:5")
    _sweep(w, "u1", "u3")


def whoever_waits_for_a_known_record_goes_on(w: World) -> None:
    """Seen from the update, or from the create whose end was told by halves."""
    w.told()
    w.enqueue(update("u1", "r"), update("u2", "s"), update("u3", "t"), update("u4", "x"))
    w.put("HSET", "oppsync:refs:acme", "r", 5)
    _sweep(w, "u1", "u2")
    for ref, job_id in (("s", "c2"), ("t", "c3"), ("x", "c4")):
        (hand,) = [one for one in w.sends(create(job_id, external_ref=ref)) if one.job_id == job_id]
        if ref == "s":
            w.succeed(hand, 6)
            w.put("HDEL", "oppsync:refs:acme", "s")
            w.put("ZADD", "oppsync:record:acme:ref:s", 2, "u2")
            w.put("HSET", "oppsync:job:u2", "state", "blocked", "record", "ref:s", "message", "x")
            w.put("ZADD", "oppsync:blocked", 2, "u2")
            w.put("LREM", "opportunities.bulk", 0, "x")
        else:
            w.run(ends.doubt(hand, attempt=ATTEMPT))
            w.put("HSET", f"oppsync:job:{job_id}", "state", "succeeded")
            w.put("ZREM", "oppsync:in_doubt", job_id)
            last = '{"event":"adopted","opportunity_id":7}' if ref == "t" else '{"event":"other"}'
            w.put("RPUSH", f"oppsync:attempts:{job_id}", last)
    _sweep(w, "c2", "c3", "c4", "u1", "u2")


def members_of_places_that_are_no_jobs_are_struck_off(w: World) -> None:
    """And claims without a lease are restored."""
    w.told(requests=60)
    w.enqueue(create("c0"), create("c1"))
    (hand,) = w.claim()
    w.put("ZADD", "oppsync:waiting:acme", 1, "c0", 2, "nobody")
    w.run(sweeping.ghosts("waiting", "oppsync:waiting:acme", ["c0", "c1", "nobody", "absent"]))
    w.run(sweeping.ghosts("claim", "", [hand.tag, "9-9"]))
    w.put("DEL", "oppsync:leases")
    w.run(sweeping.ghosts("claim", "", [hand.tag, "9-9"]))


def a_job_whose_message_is_nowhere_is_lost(w: World) -> None:
    """If it is still queued since then."""
    w.told()
    w.enqueue(create("c1"), update("u1", 5), update("u2", 5))
    for job_id, since in (("c1", "5"), ("c1", str(w.now)), ("c1", str(w.now)), ("u1", str(w.now)), ("nobody", "5")):
        w.run(sweeping.lose(job_id, since=since))


def what_has_ended_otherwise_is_forgotten_in_time(w: World) -> None:
    """Dropped, or expired, or a success of which no more is known: nobody is told anything new."""
    w.told()
    w.enqueue(create("c1"), create("c2"), create("c3"))
    for job_id, state in (("c1", "discarded"), ("c2", "expired"), ("c3", "succeeded")):
        w.put("HSET", f"oppsync:job:{job_id}", "state", state)
    w.put("HDEL", "oppsync:job:c3", "kind")
    w.put("HSET", "oppsync:job:c1", "opportunity_id", 5)
    _sweep(w, "c1", "c2", "c3")


def an_update_that_nobody_sends_and_whose_line_is_not_known_is_lost(w: World) -> None:
    """Its entry was damaged."""
    w.told()
    w.sends(update("u1", 5))
    w.put("HDEL", "oppsync:job:u1", "record", "number")
    for key in sorted(w.client.keys("oppsync:claim:*")):
        w.put("DEL", key)
    _sweep(w, "u1")
