"""What a person does to jobs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.ledger.desk import ATTEMPT
from integration.ledger.scenarios.world import START_MS, World, create, update
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import claims, ends, operating
from oppsync_worker.ledger.ends import Effects, State


def _dead(w: World, job: Any, **given: Any) -> None:
    w.enqueue(job)
    hand = w.take(job.job_id)
    w.begin(hand, job)
    w.bury(hand, **given)


def a_dead_letter_is_replayed(w: World) -> None:
    """Its outcome is forgotten, its count begins anew, it stands where it stood by its age."""
    w.told(requests=60)
    _dead(w, create("c1", deadline=datetime.fromtimestamp((START_MS + 90_000) / 1000, UTC)))
    fields = ("crashes", "retries", "refused", "refused_in", "refused_alone", "place", "absent", "slot_at")
    w.put("HSET", "oppsync:job:c1", *(part for name in fields for part in (name, 1)))
    w.passes(2_000)
    w.run(operating.replay("c1", by="me"))
    w.run(operating.replay("c1", by="me"))
    w.run(operating.replay("c9", by="me"))


def what_has_changed_since_it_was_seen_is_left_alone(w: World) -> None:
    """A letter that died once more, a doubt that was sent once more or is looked into again."""
    w.told()
    _dead(w, create("c1"))
    w.passes(5)
    w.run(operating.replay("c1", by="me", seen=START_MS + 1))
    w.run(operating.discard("c1", state=State.DEAD, by="me", ttl_s=9, seen=START_MS + 1))
    w.run(operating.replay("c1", by="me", seen=START_MS))
    w.put("HDEL", "oppsync:job:c1", "since")
    w.run(operating.discard("c1", state=State.QUEUED, by="me", ttl_s=9, seen=START_MS))
    w.enqueue(create("c2"))
    hand = w.take("c2")
    w.begin(hand, create("c2"))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    seen = START_MS + 5
    w.run(operating.adopt("c2", opportunity_id=5, result={}, by="me", ttl_s=9, seen=seen + 1))
    w.run(operating.discard("c2", state=State.IN_DOUBT, by="me", ttl_s=9, seen=seen, is_a_persons=True))
    w.put("HSET", "oppsync:job:c2", "doubt", "person")
    w.run(operating.discard("c2", state=State.IN_DOUBT, by="me", ttl_s=9, seen=seen, is_a_persons=True))


def a_replay_on_hold_is_held(w: World) -> None:
    """No slot is looked for."""
    w.told(requests=60)
    _dead(w, create("c1"))
    w.enqueue(create("c2"))
    w.run(operating.hold("acme", cause="asked", note=""))
    w.run(operating.replay("c1", by="me"))


def what_cannot_be_read_is_not_replayed(w: World) -> None:
    """Raw bytes, and a message that is nowhere, unless somebody gives another."""
    w.told()
    w.put("LPUSH", "opportunities.bulk", "x")
    w.claim()
    for key in w.client.keys("oppsync:job:raw-*"):
        w.run(operating.replay(key.decode().removeprefix("oppsync:job:"), by="me"))
        w.run(operating.replay(key.decode().removeprefix("oppsync:job:"), by="me", message=encode(create("c1"))))
    _dead(w, create("c1"))
    w.put("HSET", "oppsync:job:c1", "message", "")
    w.run(operating.replay("c1", by="me"))
    w.run(operating.replay("c1", by="me", message=encode(create("c1"))))


def a_mended_job_has_its_new_deadline(w: World) -> None:
    """Or none any more."""
    w.told()
    deadline = datetime.fromtimestamp((START_MS + 90_000) / 1000, UTC)
    for job_id, new in (("c1", None), ("c2", deadline)):
        _dead(w, create(job_id, deadline=deadline))
        w.put("ZADD", "oppsync:expiring", 5, job_id)
        w.run(operating.hold("acme", cause="asked", note=""))
        w.run(operating.replay(job_id, by="me", message=encode(create(job_id, title="M")), deadline=new))
        w.run(operating.unhold("acme"))


def a_replayed_update_stands_where_it_stood(w: World) -> None:
    """Before newer ones, whose lane it inherits; unless they have written all of its fields."""
    w.told(requests=600)
    old = update("u1", 5)
    _dead(w, old, effects=Effects(wrote=("title",), unsure=True))
    w.enqueue(update("u2", 5, lane="interactive"), update("u3", 5))
    w.run(operating.replay("u1", by="me", writes=old.written()))
    w.passes(2_000)
    w.promote()
    hand = w.take("u1")
    w.begin(hand, old)
    w.bury(hand)
    w.passes(70_000)
    w.put("DEL", "oppsync:unsure:acme:id:5")
    w.promote()
    hand = w.take("u2")
    w.begin(hand, update("u2", 5))
    w.succeed(hand, effects=Effects(wrote=("title",)))
    w.run(operating.replay("u1", by="me", writes=("title", "value")))
    hand = w.take("u1")
    w.bury(hand)
    w.run(operating.replay("u1", by="me", writes=("title",)))
    w.run(operating.replay("u1", by="me"))


def a_mended_update_waits_for_its_own_former_self(w: World) -> None:
    """What it said before may be carried out yet."""
    w.told()
    for job_id, record, mended in (("u1", 5, True), ("u2", 6, False)):
        job = update(job_id, record)
        _dead(w, job, effects=Effects(wrote=("title",), unsure=True))
        message = encode(update(job_id, record, title="M")) if mended else None
        w.run(operating.replay(job_id, by="me", message=message, writes=("title",)))
        w.begin(w.take(job_id), job)


def a_job_is_discarded(w: World) -> None:
    """In the state that was meant; its key is free, unless the record may exist or the key is another's."""
    w.told()
    for job_id in ("c1", "c2"):
        _dead(w, create(job_id, idempotency_key=job_id, external_ref=job_id))
    w.put("SET", "oppsync:idem:acme:c2", "c9")
    w.run(operating.discard("c9", state=State.DEAD, by="me", ttl_s=9))
    w.run(operating.discard("c1", state=State.IN_DOUBT, by="me", ttl_s=9))
    for job_id in ("c1", "c2"):
        w.run(operating.discard(job_id, state=State.DEAD, by="me", ttl_s=9))
    w.enqueue(create("c3"), update("u1", 5), update("u2", 5))
    w.put("HSET", "oppsync:job:u1", "since", 1)
    w.run(operating.discard("u1", state=State.QUEUED, by="me", ttl_s=0))


def a_person_adopts(w: World) -> None:
    """A record that is no other job's, unless that is meant; the marker of a doubt is gone."""
    w.told()
    w.put("SET", "oppsync:made:acme:5", "c9")
    w.put("SET", "oppsync:made:acme:6", "c2")
    w.enqueue(update("u1", "r"))
    for job_id in ("c1", "c2"):
        w.enqueue(create(job_id, external_ref="r"))
    w.run(operating.adopt("c1", opportunity_id=5, result={}, by="me", ttl_s=9))
    w.run(operating.adopt("c0", opportunity_id=5, result={}, by="me", ttl_s=9))
    for job_id in ("c1", "c2"):
        hand = w.take(job_id)
        w.begin(hand, create(job_id, external_ref="r"))
        w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.run(operating.adopt("c1", opportunity_id=5, result={}, by="me", ttl_s=9))
    w.run(operating.adopt("c1", opportunity_id=5, result={}, by="me", ttl_s=9, though_taken=True))
    w.run(operating.adopt("c2", opportunity_id=6, result={}, by="me", ttl_s=9))


def a_person_sends_again(w: World) -> None:
    """A create in doubt whose message is there."""
    w.told()
    w.run(operating.resend("c9", by="me"))
    for job_id in ("c1", "c2"):
        (hand,) = w.sends(create(job_id))
        w.run(operating.resend(job_id, by="me"))
        w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.put("HSET", "oppsync:job:c1", "message", "", "sightings", "[]")
    w.put("HDEL", "oppsync:job:c2", "message")
    w.run(operating.resend("c1", by="me"))
    w.run(operating.resend("c2", by="me"))
    w.put("HSET", "oppsync:job:c1", "message", encode(create("c1")))
    w.run(operating.resend("c1", by="me"))


def letters_remember_what_newer_updates_wrote(w: World) -> None:
    """As long as there are letters of the record, and only newer ones count."""
    w.told()
    for job_id in ("u1", "u2"):
        _dead(w, update(job_id, 5))
    (hand,) = w.sends(update("u3", 5))
    w.succeed(hand, effects=Effects(wrote=("title", "value")))
    w.run(operating.replay("u1", by="me"))
    hand = w.take("u1")
    w.begin(hand, update("u1", 5))
    w.succeed(hand, effects=Effects(wrote=("title", "value")))
    w.run(operating.discard("u2", state=State.DEAD, by="me", ttl_s=9))


def with_letters_waited_for_a_replay_frees_the_line(w: World) -> None:
    """Or its being dropped."""
    w.told(after_dead="wait")
    _dead(w, update("u1", 5))
    w.enqueue(update("u2", 5))
    w.run(operating.discard("u1", state=State.DEAD, by="me", ttl_s=9))
    w.claim()


def times_are_written_as_dates(w: World) -> None:
    """Of every century and leap year that may come."""
    w.told()
    days = (
        "1970-01-01 1999-12-31 2000-02-29 2000-03-01 2024-02-29 2027-06-30 2099-12-31 2100-02-28 2100-03-01 2200-03-01"
    )
    for number, day in enumerate(days.split()):
        moment = datetime.fromisoformat(f"{day}T23:59:58.765+00:00")
        w.enqueue(create(f"c{number}"))
        w.passes(round(moment.timestamp() * 1000) - w.now)
        w.run(operating.discard(f"c{number}", state=State.QUEUED, by="me", ttl_s=9))
        (line,) = w.client.lrange(f"oppsync:attempts:c{number}", 0, -1)
        assert moment.isoformat(timespec="milliseconds") in line.decode()
        w.passes(START_MS - w.now)


def a_doubt_is_sent_again_if_it_is_the_one_that_was_seen(w: World) -> None:
    """By its attempts and its replays, and whether it waited for a person."""
    w.told()
    (hand,) = w.sends(create("c1"))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.put("HSET", "oppsync:job:c1", "replays", 2)
    for seen in ((2, 2), (1, 3)):
        w.run(operating.resend("c1", by="me", seen=seen))
    w.run(operating.resend("c1", by="me", seen=(1, 2), is_a_persons=True))
    w.put("HSET", "oppsync:job:c1", "doubt", "person")
    w.run(operating.resend("c1", by="me", seen=(1, 2), is_a_persons=True))
    (hand,) = w.sends(create("c2"))
    w.run(ends.doubt(hand, attempt=ATTEMPT))
    w.put("HDEL", "oppsync:job:c2", "attempts")
    w.run(operating.resend("c2", by="me", seen=(0, 1)))
    w.run(operating.resend("c2", by="me", seen=(0, 0)))


def a_mended_letter_is_another_message_than_it_was(w: World) -> None:
    """What its sender sends again meanwhile is put aside."""
    w.told()
    for job_id in ("x1", "x2"):
        bad = create(job_id)
        w.push(bad, compression="zlib")
        hand = w.take(job_id)
        w.begin(hand, bad, own=False)
        w.bury(hand)
        message = encode(create("x1", title="M")) if job_id == "x1" else None
        w.run(operating.replay(job_id, by="me", message=message))
        w.push(bad, compression="zlib")
        for hand in w.claim():
            w.run(claims.release(hand.tag))


def an_update_inherits_only_from_behind(w: World) -> None:
    """Replayed between others of its record."""
    w.told()
    for record, lane in ((5, "bulk"), (6, "interactive")):
        _dead(w, update(f"u{record}1", record, lane="interactive"))
        _dead(w, update(f"u{record}2", record))
        w.enqueue(update(f"u{record}3", record, lane=lane))
        w.run(operating.replay(f"u{record}1", by="me"))
        w.run(operating.replay(f"u{record}2", by="me"))


def an_update_that_wrote_only_what_newer_ones_wrote_is_not_remembered(w: World) -> None:
    """The newer ones are."""
    w.told()
    old = update("u1", 5, value="1.00")
    for job in (update("u0", 5), old):
        _dead(w, job)
    (hand,) = w.sends(update("u3", 5))
    w.succeed(hand, effects=Effects(wrote=("title",)))
    w.run(operating.replay("u1", by="me"))
    hand = w.take("u1")
    w.begin(hand, old)
    w.succeed(hand, effects=Effects(wrote=("title",)))


def months_begin_and_end_when_they_do(w: World) -> None:
    """Each of them, in the dates that are written."""
    w.told()
    first = datetime(2027, 1, 31, 23, 59, 58, 765_000, tzinfo=UTC)
    for number, moment in enumerate(first + timedelta(days=days) for days in range(366) if _ends(first, days)):
        w.client.set("test:now", round(moment.timestamp() * 1000))
        before = len(w.lines)
        w.enqueue(create(f"c{number}"))
        w.run(operating.discard(f"c{number}", state=State.QUEUED, by="me", ttl_s=9))
        del w.lines[before:]
        (line,) = w.client.lrange(f"oppsync:attempts:c{number}", 0, -1)
        w.lines.append(f"{moment.isoformat(timespec='milliseconds')}: {json.loads(line)['at']}")


def _ends(first: datetime, days: int) -> bool:
    """Whether it is the first or the last day of a month, the 28th of a leap year's February among them."""
    day = first + timedelta(days=days)
    return day.day == 1 or (day + timedelta(days=1)).day == 1


def an_interactive_update_with_very_many_behind_it_hurries_those_before_it(w: World) -> None:
    """And only those."""
    w.told(requests=60)
    old = update("u1", 5, lane="interactive")
    _dead(w, old)
    w.passes(5_000)
    first = update("u0", 5)
    w.enqueue(first, *(update(f"v{number}", 5) for number in range(24)))
    w.put("ZADD", "oppsync:record:acme:id:5", 0.5, "u0")
    w.run(operating.replay("u1", by="me"))
