"""Taking messages, keeping them, handing them back."""

import base64
import hashlib
import json

from integration.ledger.desk import LANES
from integration.ledger.scenarios.world import START_MS, World, create, update
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, operating, presence, sweeping
from oppsync_worker.ledger.scripts import Call


def _message(
    job_id: str, call: object, *, task: str = "opportunities.create", encoded: bool = True, **other: object
) -> str:
    body = call if isinstance(call, str) else json.dumps(call)
    headers: dict[str, object] = {"id": job_id, "task": task, "origin": "gen1@elsewhere"}
    message: dict[str, object] = {
        "headers": headers | other.pop("headers", {}),  # type: ignore[operator]
        "properties": {"body_encoding": "base64"} if encoded else {},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "body": base64.b64encode(body.encode()).decode() if encoded else body,
    }
    return json.dumps(message | other)


_GOOD = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130}
_REST = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def _create(job_id: str, *, headers: dict[str, object] | None = None, **given: object) -> str:
    kwargs = {name: value for name, value in {**_GOOD, **given}.items() if value != "-"}
    return _message(job_id, [[], kwargs, _REST], headers=headers or {})


def _update(job_id: str, **given: object) -> str:
    kwargs = {"instance": "acme", "funnel_id": 7, "title": "U", **given}
    return _message(job_id, [[], kwargs, _REST], task="opportunities.update")


def _claims(w: World, *messages: str, most: int = 50) -> None:
    for one in messages:
        w.put("LPUSH", LANES[1], one)
    w.claim(most)


def oldest_first_interactive_before_bulk(w: World) -> None:
    """The same question is answered the same again; each tag is new."""
    w.told()
    w.enqueue(create("c1"), create("c2", lane="interactive"), create("c3"))
    w.put("LPUSH", LANES[0] + "\x06\x163", _update("u4", opportunity_id=5, bad=1))
    w.claim(2, question="a")
    w.passes(10)
    w.claim(2, question="a")
    w.claim(1, question="b")
    w.put("DEL", "oppsync:asked:w")
    for hand in w.claim(5, question="b"):
        w.run(claims.release(hand.tag))
    w.claim(5, question="b")
    w.claim(5, question="c")


def what_is_no_message_is_buried(w: World) -> None:
    """Each with what is wrong with it."""
    _claims(
        w,
        "not json",
        "3",
        "{}",
        json.dumps({"headers": {"id": "x"}}),
        json.dumps({"headers": {"task": "t", "id": 5}}),
        json.dumps({"headers": {"task": "t", "id": "raw-1"}}),
        json.dumps({"headers": {"task": "t", "id": "x" * 129}}),
        json.dumps({"headers": {"task": "t", "id": "x" * 128}}),
        json.dumps({"headers": {"task": "t", "id": "a b"}}),
        json.dumps({"headers": {"task": "t", "id": "x"}, "properties": {}}),
        json.dumps({"headers": {"task": "t", "id": "y"}, "body": ""}),
        json.dumps({"headers": {"task": "t", "id": "z"}, "body": "", "properties": {}}),
    )


def what_is_too_large_is_buried(w: World) -> None:
    """By its length in bytes."""
    for length in (30, 31):
        w.put("LPUSH", LANES[1], "x" * length)
    w.run(Call("claim", (10, 60_000, "w", "q", 30, "v", *LANES)))


def foreign_jobs_are_filed(w: World) -> None:
    """What can be read goes to where it waits; its lane, times, reference and key are known."""
    w.told(requests=60)
    w.put("HSET", "oppsync:refs:acme", "r9", 99)
    _claims(
        w,
        _create("c1", value="1.00"),
        _create("c0", funnel_id=1),
        _create("c2", external_ref="r2", idempotency_key="k2", lane="interactive"),
        _create("c3", headers={"eta": "2027-01-15T09:00:00+00:00", "expires": "2027-01-15T09:00:01.5Z"}),
        _create("c4", headers={"eta": None}, deadline="2027-01-16 10:00:00.25+02:30", fields=None),
        _create("c5", headers={"expires": "2028-02-29T23:59:59-01:00"}),
        _create("c6", headers={"eta": "2027-01-15T08:00:00Z"}),
        _update("u7", opportunity_id=5),
        _update("u8", opportunity_id=5, lane="interactive"),
        _update("u9", external_ref="r9"),
        _message("c10", [[], _GOOD, {}], encoded=False),
        _message("c11", [[], _GOOD], encoded=False),
    )
    w.claim(50)


def months_and_leap_years(w: World) -> None:
    """Days that there are, and none that there are not."""
    days = (
        "2028-02-29 2027-02-29 2100-02-29 2400-02-29 2027-04-30 2027-04-31 2027-06-31 2027-09-31 2027-11-31 2027-12-31 "
    )
    days += "2027-01-32 2027-13-01 2027-00-01 2027-01-00 1969-12-31 1970-01-01 2027-03-01 2027-02-28 2028-03-01"
    times = [
        "23:59:59Z",
        "24:00:00Z",
        "00:60:00Z",
        "00:00:60Z",
        "00:00:00",
        "00:00:00z",
        "00:00:00.1239Z",
        "10:00:00+1:00",
    ]
    moments = [f"{day}T00:00:00Z" for day in days.split()] + [f"2027-03-01T{time}" for time in times]
    _claims(w, *(_create(f"c{n}", deadline=moment) for n, moment in enumerate(moments)))


def what_cannot_be_read_is_left_to_a_worker(w: World) -> None:
    """It says why; here nothing is known of the job, but its place among updates."""
    w.told()
    w.put("SET", "oppsync:idem:acme:taken", "c0")
    long = "é" * 200
    _claims(
        w,
        _create("c1", unknown=1),
        _create("c2", instance="-acme"),
        _create("c3", instance="a" * 64),
        _create("c4", instance=5),
        _create("c5", instance="a b"),
        _create("c6", v=2),
        _create("c7", funnel_id=0),
        _create("c8", funnel_id=1.5),
        _create("c9", funnel_id=2**53),
        _create("c10", external_ref=" "),
        _create("c11", external_ref="a\0"),
        _create("c12", external_ref=long + "x"),
        _create("c13", external_ref=long, instance="a" * 63),
        _create("c14", idempotency_key=5),
        _create("c15", lane="other"),
        _create("c16", opportunity_id=5),
        _create("c17", title=5),
        _create("c18", crm_column="x"),
        _create("c19", idempotency_key="taken"),
        _create("c20", headers={"eta": "soon"}),
        _create("c21", headers={"eta": "2027-01-15T09:00:00Z"}, not_before="2027-01-15T09:00:00Z"),
        _create("c22", not_before="2027-01-15T09:00:00Z", deadline="2027-01-15T09:00:00Z"),
        _create("c23", headers={"compression": "zlib"}),
        _create("c36", deadline=5),
        _update("u1", opportunity_id=0),
        _update("u2", opportunity_id="x", external_ref="r"),
        _update("u3"),
        _update("u4", external_ref="r"),
        _message("c24", [[], _GOOD, _REST], task="other.task"),
        _message("c25", [[1], _GOOD, _REST]),
        _message("c26", [[], _GOOD, {"chain": ["x"]}]),
        _message("c27", [[], 5, _REST]),
        _message("c28", "{"),
        _message("c29", 5),
        _message("c30", [5, _GOOD]),
        _message("c31", [[], _GOOD, _REST], **{"content-type": "text/plain"}),
        _message("c32", [[], _GOOD, _REST], **{"content-encoding": "latin-1"}),
        _message("c33", [[], _GOOD | {"title": "T" * 90_113}, _REST]),
        _message("c34", "ZZ", encoded=False, properties={"body_encoding": "base64"}),
        _message("c35", "Z*ZZ", encoded=False, properties={"body_encoding": "base64"}),
        most=100,
    )


def keys_are_counted_in_characters(w: World) -> None:
    """Of valid UTF-8, 200 of them at most."""
    good = ["a" * 200, "é" * 200, "€" * 200, "😀" * 200, "\ud7ff\ue000\u0800", "\U0010ffff"]
    bad = ["a" * 201, "€" * 201, "😀" * 201]
    _claims(w, *(_create(f"c{n}", instance=f"i{n}", external_ref=key) for n, key in enumerate(good + bad)), most=50)
    for n, raw in enumerate(
        (b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xff")
    ):
        message = _message(f"d{n}", "BODY", encoded=False).encode()
        body = json.dumps([[], {**_GOOD, "external_ref": "REF"}, _REST]).replace("REF", "~").encode()
        body = json.dumps(body.decode()).encode()[1:-1].replace(b"~", raw)
        w.client.lpush(LANES[1], message.replace(b"BODY", body))
    w.claim(50)


def a_worker_without_room_files_what_needs_none(w: World) -> None:
    """And leaves the rest where it was, in order; bells ring for whoever has room."""
    w.told()
    for n in range(22):
        w.put("LPUSH", LANES[1], _create(f"x{n}", unknown=1))
    w.put("LPUSH", LANES[1], _create("c2"))
    w.claim(0)
    w.claim(1)
    w.claim(0)
    w.claim(30)


def a_worker_without_room_leaves_what_has_a_slot(w: World) -> None:
    """It is not taken out to be looked at. What somebody else wrote, or has no slot, is filed from behind it."""
    w.told()
    w.enqueue(create("c1"), create("c2"), create("c3"), create("c4"))
    w.claim(0)
    w.claim(1)
    w.push(create("c5"))
    w.claim(0)
    w.claim(1)
    w.put("HDEL", "oppsync:job:c3", "slot_at")
    w.claim(0)
    w.claim(2)


def very_many_are_taken_in_helpings(w: World) -> None:
    """So that nobody holds Redis up."""
    w.told(requests=60)
    for n in range(201):
        w.client.lpush(LANES[1], _create(f"c{n}"))
    w.claim(0)
    for n in range(4):
        w.client.lpush(LANES[1], _message(f"d{n}", [[], _GOOD | {"title": "T" * 40_000}, _REST]))
        w.client.lpush(LANES[1], _message(f"e{n}", [[], _GOOD | {"title": "T" * 40_000}, _REST], encoded=False))
    w.claim(50)
    w.claim(50)


def from_the_version_before(w: World) -> None:
    """A backlog that was kept in the lane goes into its line; a stranger's copy does not."""
    w.told(requests=60)
    for job_id, kind in (("c1", "create"), ("u1", "update"), ("c2", "create")):
        job = create(job_id) if kind == "create" else update(job_id, 5)
        w.put(
            "HSET",
            f"oppsync:job:{job_id}",
            "state",
            "queued",
            "kind",
            job.kind.value,
            "instance",
            "acme",
            "lane",
            "bulk",
            "at",
            w.now,
        )
        if kind == "update":
            w.put("HSET", f"oppsync:job:{job_id}", "target", 5)
        message = encode(job)
        w.put("LPUSH", LANES[1], message if job_id != "c2" else message.replace('"oppsync"', '"gen"'))
    w.claim(10)


def leases_are_renewed(w: World) -> None:
    """Of claims that are there still; the others are told."""
    w.told()
    w.enqueue(create("c1"))
    (hand,) = w.claim()
    w.passes(1_000)
    w.run(claims.renew([hand.tag, "9-9"], lease_ms=60_000))


def handed_back_it_is_first_in_line(w: World) -> None:
    """In its instance's line, or in the lane that it came from; what is being sent is not handed back."""
    w.told(requests=60)
    w.enqueue(create("c1"))
    w.passes(1)
    w.enqueue(create("c2"))
    (hand,) = w.claim()
    w.run(claims.release(hand.tag))
    w.run(claims.release(hand.tag))
    w.push(create("c3"), create("c4"), compression="zlib")
    w.claim(0)
    (hand,) = w.claim(1)
    w.run(claims.release(hand.tag))
    w.passes(10_000)
    w.promote()
    for hand in w.claim():
        if hand.job_id == "c1":
            w.begin(hand, create("c1"))
            w.run(claims.release(hand.tag))
    w.put("LPUSH", LANES[1], encode(create("c1")))
    (copy,) = w.claim()
    w.run(claims.release(copy.tag))


def silent_workers_lose_their_claims(w: World) -> None:
    """A create that was being sent is in doubt, an update goes again, what was not begun goes back."""
    w.told()
    made, changed = create("c1"), update("u1", 5)
    w.sends(made, changed)
    w.enqueue(create("c2"), update("u2", 5))
    w.push(create("x1"), create("c2"), compression="zlib")
    w.claim()
    w.passes(59_999)
    w.restore()
    w.passes(1)
    w.restore(not_after_ms=w.now - 1)
    w.restore(not_after_ms=w.now)
    w.restore()


def who_takes_workers_down_is_poison(w: World) -> None:
    """After so many crashes; before that it is spread apart in time from those who were there too."""
    w.told()
    w.enqueue(create("c1"), update("u1", 5))
    w.push(create("x1"), compression="zlib")
    for _ in range(4):
        w.claim()
        w.passes(60_000)
        w.restore(crashes=3)
        w.passes(600_000)
        w.promote()
    w.put("HSET", "oppsync:job:c1", "crashes", 20)


def many_crashes_are_spread_up_to_ten_minutes(w: World) -> None:
    """And no farther."""
    w.told()
    w.enqueue(create("c1"))
    w.put("HSET", "oppsync:job:c1", "crashes", 9)
    w.claim()
    w.passes(60_000)
    w.restore(crashes=30)


def a_claim_without_a_message_is_let_go(w: World) -> None:
    """And what the sweep gave up gets its message back."""
    w.told()
    w.put("ZADD", "oppsync:leases", 1, "9-9")
    w.enqueue(create("c1"))
    w.claim()
    w.run(sweeping.lose("c1", since=str(w.now)))
    w.passes(60_000)
    w.restore()


def workers_tell_that_they_live(w: World) -> None:
    """How many hands all that live have, and what is forgotten of those that do not."""
    w.run(presence.present("a", hands=10))
    w.passes(20_000)
    w.run(presence.present("b", hands=5))
    w.passes(1)
    w.run(presence.present("b", hands=6))
    w.run(presence.present("c"))
    w.passes(86_400_000)
    w.run(presence.present("d", hands=1))
    w.run(presence.gone("d"))


def a_watchdog_counts_what_lies_in_the_queues(w: World) -> None:
    """Steps of priority too."""
    w.run(presence.watch("w", LANES, trace_s=30.0))
    for step in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
        w.put("LPUSH", LANES[1] + step, "x")
    w.run(presence.watch("w", LANES, trace_s=30.0))


def lanes_are_searched_in_stretches(w: World) -> None:
    """An id each, empty where there is none to be read."""
    w.put(
        "RPUSH", LANES[1], encode(create("c1")), "x", "5", '{"headers":{"id":5}}', '{"headers":5}', encode(create("c2"))
    )
    w.client.rpush(LANES[1], json.dumps({"headers": {"id": "long"}, "x": "x" * 1_000_000}))
    w.run(sweeping.lane(LANES[1], first=0, count=3))
    w.run(sweeping.lane(LANES[1], first=3, count=10))
    w.run(sweeping.lane(LANES[1], first=30, count=10))


def the_sweep_is_one_workers_turn(w: World) -> None:
    """In a while; whoever asks first."""
    w.run(sweeping.turn("a", every_ms=1_000))
    w.passes(999)
    w.run(sweeping.turn("b", every_ms=1_000))
    w.passes(1)
    w.run(sweeping.turn("b", every_ms=1_000))


def an_unread_one_on_hold_is_held_when_it_is_read(w: World) -> None:
    """Foreign jobs of an instance on hold stand with the others."""
    w.told()
    w.run(operating.hold("acme", cause="asked", note=""))
    _claims(w, _create("c1"), _update("u1", opportunity_id=5), most=10)
    assert w.now == START_MS


def a_silent_claim_of_what_is_elsewhere_is_let_go(w: World) -> None:
    """The job is left where it is."""
    w.told()
    job = create("c1", not_before="2027-01-16T00:00:00Z")
    w.enqueue(job)
    w.put("LPUSH", LANES[1], encode(job))
    w.claim()
    w.passes(60_000)
    w.restore()


def handed_back_unread_it_goes_where_it_came_from(w: World) -> None:
    """A stranger's copy too; what the sweep gave up as well."""
    w.told()
    w.enqueue(create("c1"))
    hands = w.claim()
    w.push(create("c1"), compression="zlib")
    for hand in [*w.claim(), *hands]:
        w.run(claims.release(hand.tag))
    (hand, *_) = w.claim()
    w.run(sweeping.lose("c1", since=str(w.now)))
    w.run(claims.release(hand.tag))


def a_message_of_ours_that_nobody_knows_may_take_workers_down(w: World) -> None:
    """Redis was purged in between: it is ours all the same when it is known again."""
    w.told()
    w.put("HSET", "oppsync:job:c1", "crashes", 1)
    w.put("LPUSH", LANES[1], encode(create("c1")))
    w.claim()
    w.passes(60_000)
    w.restore()


def whoever_leaves_a_message_behind_rings_for_it(w: World) -> None:
    """Be it the last one; a bell that was heard is gone."""
    w.told()
    w.put("LPUSH", LANES[1], _create("x1", unknown=1), _create("x2", unknown=1))
    w.claim(1)
    w.put("DEL", f"oppsync:bell:{LANES[1]}")
    w.claim(1)


def a_foreign_backlog_of_the_version_before_goes_into_its_line(w: World) -> None:
    """Another message under the id of one of them does not."""
    w.told(requests=60)
    for job_id, asks in (("x1", hashlib.sha1(b"[]", usedforsecurity=False).hexdigest()), ("x2", "other")):
        known = {"state": "queued", "kind": "opportunities.create", "instance": "acme", "lane": "bulk", "at": w.now}
        known |= {"foreign": 1, "asks": asks}
        w.put("HSET", f"oppsync:job:{job_id}", *(part for pair in known.items() for part in pair))
        w.put("LPUSH", LANES[1], _message(job_id, "[]", encoded=False))
    w.claim()


def another_foreign_message_under_its_id_is_no_crash_of_a_job(w: World) -> None:
    """Its worker died over it: it is put aside, and the job goes on."""
    w.told()
    job = create("x1")
    w.push(job, compression="zlib")
    hand = w.take("x1")
    w.begin(hand, job, own=False)
    w.bury(hand)
    w.run(operating.replay("x1", by="me"))
    (hand,) = w.claim()
    w.push(create("x1", title="other"), compression="zlib")
    w.claim()
    w.put("ZREM", "oppsync:leases", hand.tag)
    w.passes(60_000)
    w.restore()


def the_oldest_with_a_slot_has_its_turn(w: World) -> None:
    """With one question in four: of both lanes in turn; what has no slot, or cannot be read, stays."""
    w.told()
    w.enqueue(
        *(create(f"b{number}") for number in range(3)),
        *(create(f"i{number}", lane="interactive") for number in range(3)),
    )
    w.claim(0, question="w-8")
    w.claim(1, question="w-8")
    w.claim(1, question="w-9")
    w.claim(1, question="w-12")
    w.put("LPUSH", "opportunities.bulk", "x")
    w.push(create("f1", lane="interactive"))
    w.put("SET", "oppsync:job:f1", "x")
    w.claim(1, question="w-16")
    w.put("DEL", "opportunities.bulk", "opportunities.interactive")
    w.push(create("f2"))
    w.claim(1, question="w-20")
