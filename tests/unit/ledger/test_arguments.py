"""What each verb hands to its script, argument by argument: their order, their units, and what is left out.

The scripts read by place: two figures that changed places, or seconds for milliseconds, are another ledger.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import MAX_MESSAGE_BYTES
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import digest, encode
from oppsync_worker.ledger import (
    begin,
    claims,
    ends,
    enqueuing,
    looking,
    operating,
    presence,
    promoting,
    recalling,
    standing,
    sweeping,
)
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.version import release

HAND = ends.Hand("41", "j1", 86_400)
CREATE = CreateOpportunity(
    job_id="j1",
    instance="acme",
    funnel_id=7,
    title="T",
    crm_column=130,
    external_ref="order-1",
    idempotency_key="k",
    lane="bulk",
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    deadline=datetime(2026, 1, 2, tzinfo=UTC),
)
UPDATE = UpdateOpportunity(
    job_id="j2", instance="acme", funnel_id=7, opportunity_id=4534, title="T", fields={"A": 1, "B": None}
)
NOT_BEFORE_MS, DEADLINE_MS = 1_767_225_600_000, 1_767_312_000_000
ATTEMPT = ends.Attempt("2026-01-01T00:00:00.000Z", 3, 250, 503, "Failed", "it said ç")
LINE = (
    '{"at": "2026-01-01T00:00:00.000Z", "attempt": 3, "ms": 250, "status": 503, "error": "Failed",'
    ' "message": "it said ç"}'
)
LOOK = promoting.Look("j1", "t9", 0, b"", 0, 0, 1, 0, "{}", "acme", {})
TOLD = looking.Told("line", ends.Effects(answers=True), sightings="[1]", cool_down_ms=7, limit=9)
AROUND_LOOK = ("beat", 1, "attempt", "line", "sightings", "[1]", "cool_ms", 7, "limit", 9)
RECORD = {"state": "succeeded", "record": {"title": "ç"}}
RECORD_TEXT = '{"state":"succeeded","record":{"title":"ç"}}'


@pytest.mark.parametrize(
    ("call", "script", "arguments"),
    [
        # Claims.
        (
            claims.claim(["a", "b"], most=3, lease_ms=30_000, worker="w:1", question="q-7"),
            "claim",
            (3, 30_000, "w:1", "q-7", MAX_MESSAGE_BYTES, release(), "a", "b"),
        ),
        (claims.renew(["1", "2"], lease_ms=30_000), "renew", (30_000, "1", "2")),
        (claims.release("41"), "release", ("41",)),
        (
            claims.restore(most=200, crashes=3, ttl_s=60, not_after_ms=99),
            "restore",
            (200, 3, 60, release(), 99),
        ),
        (claims.restore(most=200, crashes=3, ttl_s=60), "restore", (200, 3, 60, release(), "")),
        # To send, or not.
        (
            begin.begin(HAND, CREATE, horizon_ms=250, number=5, marker_field="oppsync"),
            "begin",
            (
                *("41", "j1", "opportunities.create", "acme", "bulk", "k", "order-1", ""),
                *(NOT_BEFORE_MS, DEADLINE_MS, 250, 86_400, 5, digest(CREATE), "oppsync"),
            ),
        ),
        (
            begin.begin(HAND, CREATE, horizon_ms=250, number=5, own=True),
            "begin",
            (
                *("41", "j1", "opportunities.create", "acme", "bulk", "k", "order-1", ""),
                *(NOT_BEFORE_MS, DEADLINE_MS, 250, 86_400, 5, "", ""),
            ),
        ),
        (
            begin.begin(ends.Hand("41", "j2", 1), UPDATE, horizon_ms=250, number=5, marker_field="oppsync"),
            "begin",
            (
                *("41", "j2", "opportunities.update", "acme", "interactive", "", "", 4534),
                *(0, 0, 250, 1, 5, digest(UPDATE), "title", "fields.A"),
            ),
        ),
        (begin.left_late("acme", counted_at=11, late_ms=70), "late", ("acme", 11, 70)),
        (standing.stand(HAND), "stand", ("41", "j1")),
        # Ends.
        (
            ends.succeed(HAND, opportunity_id=9, result=RECORD),
            "settle",
            ("41", "j1", "succeeded", 86_400, "opportunity_id", 9, "result", RECORD_TEXT),
        ),
        (
            ends.succeed(
                HAND,
                opportunity_id=9,
                result=RECORD,
                attempt=ATTEMPT,
                effects=ends.Effects(answers=True, wrote=("title",), unsure=True),
                marker=ends.Marker(7, lands=None),
            ),
            "settle",
            (
                *("41", "j1", "succeeded", 86_400, "opportunity_id", 9, "result", RECORD_TEXT, "attempt", LINE),
                *("unmarked", 1, "beat", 1, "wrote", '["title"]', "unsure", 1),
            ),
        ),
        (
            ends.succeed(HAND, opportunity_id=9, result=RECORD, marker=ends.Marker(7, lands=True)),
            "settle",
            (
                *("41", "j1", "succeeded", 86_400, "opportunity_id", 9, "result", RECORD_TEXT),
                *("funnel", 7, "marker", "lands"),
            ),
        ),
        (
            ends.succeed(HAND, opportunity_id=9, result=RECORD, marker=ends.Marker(7, lands=False)),
            "settle",
            (
                *("41", "j1", "succeeded", 86_400, "opportunity_id", 9, "result", RECORD_TEXT),
                *("funnel", 7, "marker", "lost", "unmarked", 1),
            ),
        ),
        (
            ends.reschedule(HAND, delay_ms=1_500, attempt=ATTEMPT, effects=ends.Effects(answers=False)),
            "settle",
            (
                *("41", "j1", "scheduled", 86_400, "delay", 1_500, "attempt", LINE),
                *("cause", "Failed", "detail", "it said ç", "beat", 0),
            ),
        ),
        (
            ends.wait(HAND, cool_down_ms=2_000, limit=60, attempt=ATTEMPT),
            "settle",
            (
                *("41", "j1", "waiting", 86_400, "cool_ms", 2_000, "limit", 60, "refund", 1, "attempt", LINE),
                *("cause", "throttled", "detail", "it said ç"),
            ),
        ),
        (
            ends.refuse_credential(HAND, fingerprint="f", attempt=ATTEMPT),
            "settle",
            (
                *("41", "j1", "held", 86_400, "refusals", 3, "cool_ms", 5_000, "own_pause_ms", 10_000),
                *("most_delay_ms", 900_000, "most_alone", 5, "dead_version", release(), "refund", 1, "attempt", LINE),
                *("cause", "credential", "detail", "HTTP 503: it said ç", "hold_note", "HTTP 503: it said ç"),
                *("fingerprint", "f"),
            ),
        ),
        (
            ends.hold_unknown_instance(HAND, kind="k", instance="i", lane="l"),
            "settle",
            (
                *("41", "j1", "held", 86_400, "cause", "unknown_instance"),
                *("detail", "no worker has settings for the instance 'i'", "kind", "k", "instance", "i", "lane", "l"),
            ),
        ),
        (
            ends.bury(HAND, cause=Cause.INVALID, detail="a\nb", attempt=ATTEMPT, kind="k\n", instance="i\n"),
            "settle",
            (
                *("41", "j1", "dead", 86_400, "cause", "invalid", "detail", "a\\nb", "attempt", LINE),
                *("version", release(), "kind", "k\\n", "instance", "i\\n"),
            ),
        ),
        (
            ends.bury(HAND, cause=Cause.INVALID, detail="x" * 1_501, kind="y" * 1_501, instance="z" * 1_501),
            "settle",
            (
                *("41", "j1", "dead", 86_400, "cause", "invalid", "detail", "x" * 1_500 + "...", "version", release()),
                *("kind", "y" * 1_500 + "...", "instance", "z" * 1_500 + "..."),
            ),
        ),
        (
            ends.bury(HAND, cause=Cause.LOST, detail="x" * 1_500, kind="", effects=ends.Effects(answers=True)),
            "settle",
            (
                *("41", "j1", "dead", 86_400, "cause", "lost", "detail", "x" * 1_500, "version", release()),
                *("kind", "", "beat", 1),
            ),
        ),
        (
            ends.doubt(HAND, attempt=ATTEMPT, effects=ends.Effects(answers=False)),
            "settle",
            (
                *("41", "j1", "in_doubt", 86_400, "attempt", LINE, "cause", "answer_lost", "detail", "it said ç"),
                *("beat", 0),
            ),
        ),
        (
            ends.not_replicated(HAND),
            "settle",
            (
                *("41", "j1", "scheduled", 86_400, "delay", 2_000, "refund", 1, "cause", "not_replicated", "detail"),
                "too few replicas of Redis took note in time that it was to be sent; nothing was sent",
            ),
        ),
        # Look-ups.
        (looking.may_look(LOOK, horizon_ms=250), "look", ("j1", "t9", 250)),
        (
            looking.again(LOOK, TOLD, inquiry="{1}", delay_ms=4_000),
            "looked",
            ("j1", "t9", "in_doubt", 0, "inquiry", "{1}", "delay", 4_000, *AROUND_LOOK),
        ),
        (
            looking.ask_person(LOOK, TOLD, inquiry="{1}", why="w"),
            "looked",
            (
                *("j1", "t9", "in_doubt", 0, "inquiry", "{1}", "person", 1, "cause", "undecided", "detail", "w"),
                *AROUND_LOOK,
            ),
        ),
        (
            looking.adopt(LOOK, TOLD, opportunity_id=9, result=RECORD, unmarked=True, ttl_s=60),
            "looked",
            (
                *("j1", "t9", "succeeded", 60, "opportunity_id", 9, "result", RECORD_TEXT, "unmarked", 1),
                *AROUND_LOOK,
            ),
        ),
        (
            looking.adopt(LOOK, TOLD, opportunity_id=9, result=RECORD, unmarked=False, ttl_s=60),
            "looked",
            ("j1", "t9", "succeeded", 60, "opportunity_id", 9, "result", RECORD_TEXT, *AROUND_LOOK),
        ),
        (
            looking.recall_adopted(LOOK, TOLD, opportunity_id=9, result=RECORD, ttl_s=60),
            "settle",
            (
                *("look-t9-j1", "j1", "succeeded", 60, "opportunity_id", 9, "result", RECORD_TEXT),
                *("attempt", "line"),
            ),
        ),
        (
            looking.resend(LOOK, TOLD, why="w"),
            "looked",
            ("j1", "t9", "scheduled", 0, "delay", 0, "cause", "absent", "detail", "w", "absent", 1, *AROUND_LOOK),
        ),
        (
            looking.bury(LOOK, TOLD, detail="w"),
            "looked",
            (
                *("j1", "t9", "dead", 0, "cause", "exhausted", "detail", "w", "version", release(), "absent", "1"),
                *AROUND_LOOK,
            ),
        ),
        # Time.
        (
            promoting.promote(most=200, horizon_ms=250, ttl_s=60, takes=50, look_ms=70, seen=(1, 2)),
            "promote",
            (200, 250, 60, 50, 70, 1, 2),
        ),
        (
            promoting.promote(most=200, horizon_ms=250, ttl_s=60, takes=50, look_ms=70),
            "promote",
            (200, 250, 60, 50, 70, "", 0),
        ),
        (presence.present("w:1"), "present", ("w:1", 1)),
        (presence.present("w:1", hands=250), "present", ("w:1", 1, 250, 20_000)),
        (presence.gone("w:1"), "present", ("w:1", 0, 0, 20_000)),
        (presence.watch("w:1", ["a", "b"], trace_s=1.5), "watch", ("w:1", 1_500, "a", "b")),
        # The sweep.
        (sweeping.turn("w:1", every_ms=900), "turn", ("w:1", 900)),
        (sweeping.sweep(["a", "b"], ttl_s=60, patience_ms=70), "sweep", (60, release(), 70, "a", "b")),
        (sweeping.ghosts("dead", "place", ["a", "b"]), "ghosts", ("dead", "place", "a", "b")),
        (sweeping.lane("name", first=200, count=100), "lane", ("name", 200, 299)),
        (sweeping.lose("j1", since="17"), "lose", ("j1", "17", release())),
        # People.
        (operating.replay("j1", by="me"), "replay", ("j1", "", "me", 0, "")),
        (
            operating.replay("j1", by="me", message="m", deadline=CREATE.deadline, writes=["title", "x.A"], seen=7),
            "replay",
            ("j1", "m", "me", DEADLINE_MS, 7, "title", "x.A"),
        ),
        (
            operating.adopt("j1", opportunity_id=9, result=RECORD, by="me", ttl_s=60),
            "adopt",
            ("j1", 9, RECORD_TEXT, "me", 60, 0, ""),
        ),
        (
            operating.adopt("j1", opportunity_id=9, result=RECORD, by="me", ttl_s=60, though_taken=True, seen=7),
            "adopt",
            ("j1", 9, RECORD_TEXT, "me", 60, 1, 7),
        ),
        (operating.resend("j1", by="me"), "resend", ("j1", "me", "", "", "")),
        (operating.resend("j1", by="me", seen=(3, 1), is_a_persons=True), "resend", ("j1", "me", 3, 1, 1)),
        (operating.inquire("j1", by="me"), "inquire", ("j1", "me")),
        (
            operating.discard("j1", state=State.DEAD, by="me", ttl_s=60),
            "discard",
            ("j1", "dead", "me", 60, "", ""),
        ),
        (
            operating.discard("j1", state=State.IN_DOUBT, by="me", ttl_s=60, seen=7, is_a_persons=True),
            "discard",
            ("j1", "in_doubt", "me", 60, 7, 1),
        ),
        (operating.tell("acme", fingerprint="f", facts={"a": 1, "b": 2}), "instance", ("acme", "f", "a", 1, "b", 2)),
        (operating.hold("acme", cause="c", note="n"), "hold", ("acme", "c", "n")),
        (operating.unhold("acme"), "unhold", ("acme", "")),
        (operating.unhold("acme", cause="c"), "unhold", ("acme", "c")),
        (operating.resume("acme"), "budget", ("acme", "resume", 0)),
        (operating.resume("acme", dry_run=True), "budget", ("acme", "resume", 1)),
        (operating.forget("acme"), "budget", ("acme", "forget", 0)),
        (operating.forget("acme", dry_run=True), "budget", ("acme", "forget", 1)),
    ],
)  # fmt: skip
def test_a_verb_hands_over(call: Call, script: str, arguments: tuple[Any, ...]) -> None:
    """Exactly this."""
    assert (call.script, call.arguments) == (script, arguments)
    assert [type(one) for one in call.arguments] == [type(one) for one in arguments]


def put_back(text: str) -> Any:
    """What a message says of its job."""

    class Said:
        kind, instance, lane = "k" + text, "i" + text, "l" + text

    return Said()


def test_a_job_that_its_task_put_back_is_counted_as_one() -> None:
    """And its kind, instance and lane are told, for nobody may have looked at it yet."""
    call = ends.reschedule(HAND, delay_ms=1, attempt=ATTEMPT, put_back=put_back("1"))

    assert call.arguments[-8:] == ("put_back", 1, "kind", "k1", "instance", "i1", "lane", "l1")


@pytest.mark.parametrize(("status", "said"), [(None, "it said ç"), (401, "HTTP 401: it said ç")])
def test_a_refusal_tells_its_status_if_it_has_one(status: int | None, said: str) -> None:
    """In the job's detail and in the hold's note; how often and how long are the instance's."""
    attempt = ends.Attempt("at", 1, 2, status, "Refused", "it said ç")

    call = ends.refuse_credential(HAND, fingerprint="f", attempt=attempt, max_refusals=9, max_delay_ms=77)
    told = dict(zip(call.arguments[4::2], call.arguments[5::2], strict=True))

    assert (told["detail"], told["hold_note"]) == (said, said)
    assert (told["most_alone"], told["most_delay_ms"]) == (9, 77)


def test_an_end_is_read_back() -> None:
    """As bytes or as text; `lost` is no state."""
    assert ends.ended(b"dead") is State.DEAD
    assert ends.ended("dead") is State.DEAD
    assert ends.ended(b"lost") is None


def fields(job: AnyJob) -> tuple[Any, ...]:
    """What enqueuing hands over of a job."""
    times = (NOT_BEFORE_MS, DEADLINE_MS) if job is CREATE else (0, 0)
    names = (job.idempotency_key or "", job.external_ref or "", job.target or "")
    return (job.job_id, job.kind.value, "acme", job.lane.value, *names, *times, digest(job), encode(job))


@pytest.mark.parametrize("job", [CREATE, UPDATE])
def test_enqueuing_hands_over(job: AnyJob) -> None:
    """Alone, and in a batch of one."""
    expected = Call("enqueue", ("", 0, *fields(job)))

    assert enqueuing.enqueue(job) == expected
    assert enqueuing.enqueue_in_order([job]) == [expected]


@pytest.mark.parametrize(("count", "units"), [(0, []), (24, [24]), (25, [25]), (26, [25, 1]), (51, [25, 25, 1])])
def test_many_are_enqueued_in_units_of_25(count: int, units: list[int]) -> None:
    """In order; the figure is what holds Redis up for a millisecond."""
    jobs = [UPDATE.model_copy(update={"job_id": f"j{number}"}) for number in range(count)]

    calls = enqueuing.enqueue_in_order(jobs)

    assert [(len(call.arguments) - 2) // 11 for call in calls] == units
    assert [one for call in calls for one in call.arguments[2::11]] == [job.job_id for job in jobs]


def test_receipts_are_read_in_order() -> None:
    """What was new, what stood already, and what was refused: why, and by whom."""
    refused = [b"other", 0, b"key", b"opportunities.update", b"globex"]

    new, old, third = enqueuing.receipts([CREATE, UPDATE, CREATE], [[[b"j1", 1], ["j0", 0]], [refused]])

    assert (new, old) == (enqueuing.Receipt("j1", True), enqueuing.Receipt("j0", False))
    assert enqueuing.receipt([[b"j1", 1]]) == ("j1", True)
    assert enqueuing.receipt([["j1", 0, "more"]]) == ("j1", False)
    assert (third.job_id, third.created) == ("other", False)
    assert third.conflict is not None
    assert (third.conflict.job_id, third.conflict.standing, third.conflict.reason) == ("j1", "other", "key")
    assert str(third.conflict) == (
        "job j1 (opportunities.create for instance 'acme') bears the idempotency key of job other"
        " (opportunities.update for instance 'globex'), which asks for something else: give it a key of its own"
    )
    (unread,) = enqueuing.receipts([CREATE], [[[b"other", 0, b"id", b"", b""]]])
    assert unread.conflict is not None
    assert "a message that nobody could read" in str(unread.conflict)
    assert "for instance ''" not in str(unread.conflict)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (
            [b"go", 3, b"4534", 100, 2, 50, [b"title", b"fields.A"], 1_700],
            begin.Go(3, 4534, 100, 2, 50, ("title", "fields.A"), counted_at=1_700),
        ),
        ([b"go", 1, b"", 0, 0, 0, [], 5], begin.Go(1, None, 0, 0, 0, (), counted_at=5)),
        ([b"soon", 70], begin.Soon(70)),
        ([b"stale"], begin.Stale()),
        ([b"settled", b"succeeded"], begin.Parked(State.SUCCEEDED, "copy")),
        ([b"twin"], begin.Parked(State.DISCARDED, "twin")),
        ([b"conflict"], begin.Parked(State.DEAD, "conflict")),
        ([b"superseded"], begin.Parked(State.DISCARDED, "superseded")),
        ([b"lost"], begin.Parked(State.UNKNOWN, "lost")),
        ([b"waiting"], begin.Parked(State.WAITING, "waiting")),
        ([b"held"], begin.Parked(State.HELD, "held")),
        ([b"expired"], begin.Parked(State.EXPIRED, "expired")),
    ],
)
def test_an_answer_to_begin_is_read(answer: list[Any], means: begin.Answer) -> None:
    """Every one that the script can give."""
    assert begin.begun(answer) == means


def test_claims_are_read() -> None:
    """Those in hand, those buried on the spot, and how many had no slot."""
    answer = [[[b"41", b"q", b"\xff"], [b"42", b"q", b"x"]], [[b"raw-1", b"malformed", b"why"]], 7]

    taken, buried = claims.claimed(answer)

    assert taken == [claims.Claimed("41", "q", b"\xff"), claims.Claimed("42", "q", b"x")]
    assert buried == [claims.BuriedUnread("raw-1", Cause.MALFORMED, "why")]
    assert claims.filed(answer) == 7


def test_what_time_has_done_is_read() -> None:
    """Figure by figure, and every look-up that was taken on."""
    look = [b"j1", b"t9", 11, b"\xffm", 12, 13, 14, 15, b"{}", b"acme", [b"7", b"lands", b"8", b"lost"]]

    done = promoting.promoted([1, 2, 3, 4, [[*look, b"oppsync"], [*look, b""], look], 5, 6])

    first, second, third = done.looks
    assert (done.due, done.granted, done.released, done.wake_ms, done.clock_ms, done.ahead_ms) == (1, 2, 3, 4, 5, 6)
    assert first == promoting.Look(
        "j1", "t9", 11, b"\xffm", 12, 13, 14, 15, "{}", "acme", {"7": "lands", "8": "lost"}, "oppsync"
    )
    assert (second.marker_field, third.marker_field) == ("", None)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ([b"go", 17, 2], looking.LookNow(17, 2)),
        ([b"soon", 70], looking.LookSoon(70)),
        ([b"never"], looking.LookNever()),
    ],
)
def test_leave_to_look_is_read(answer: list[Any], means: looking.Leave) -> None:
    """With the time and the count that two such leaves may differ in."""
    found = looking.leave(answer)

    assert found == means
    if isinstance(found, looking.LookNow):
        assert (found.counted_at, found.absences) == (17, 2)


def test_how_a_job_stands_is_read() -> None:
    """A 1 means that the claim owns it."""
    assert standing.stood([b"sending", b"k", 1, 3]) == standing.Standing(State.SENDING, "k", True, 3)
    assert standing.stood([b"queued", b"", 0, 0]) == standing.Standing(State.QUEUED, "", False, 0)


def test_what_a_person_did_is_read() -> None:
    """Words as they are."""
    assert operating.adopted([b"in_doubt"]) == ("in_doubt", None)
    assert operating.adopted([b"taken", b"j2"]) == ("taken", "j2")
    assert operating.taken_away([b"known", b"limit", b"60", b"until", b"7"]) == {"limit": "60", "until": "7"}
    assert operating.taken_away([b"known"]) == {}
    assert operating.taken_away([b"unknown"]) is None
    assert operating.word(b"dead") == operating.word("dead") == "dead"


def test_what_a_sweep_found_is_read() -> None:
    """Pairs, and bytes that are no text among them."""
    assert sweeping.swept([[b"j1", b"17", b"j2", b"18"], [b"j3", b"word"]]) == (
        {"j1": "17", "j2": "18"},
        [("j3", "word")],
    )
    assert sweeping.laid([b"\xff", b"word"]) == [("\ufffd", "word")]


def test_every_list_that_a_message_can_lie_in_is_known() -> None:
    """Both lanes, at each of kombu's priorities."""
    assert sweeping.lists() == [
        f"opportunities.{lane}{step}"
        for lane in ("interactive", "bulk")
        for step in ("", "\x06\x163", "\x06\x166", "\x06\x169")
    ]


def test_every_place_that_instances_share_is_held_against_its_state() -> None:
    """By the names that entries and keys have."""
    assert {State(state): place for state, place in sweeping.PLACES.items()} == {
        State.SCHEDULED: "oppsync:schedule",
        State.BLOCKED: "oppsync:blocked",
        State.IN_DOUBT: "oppsync:in_doubt",
        State.DEAD: "oppsync:dead",
    }


SENT_CREATE = recalling.Sent(CREATE, lease_ms=30_000, marker_field="oppsync")


def test_a_forgotten_request_is_told_of_whole() -> None:
    """All that the ledger knew of the job, and what its end says of the record."""
    end = ends.succeed(HAND, opportunity_id=9, result=RECORD, effects=ends.Effects(wrote=("title",), unsure=True))

    call = recalling.recall(end, SENT_CREATE, sent_ms_ago=700)

    assert call == Call(
        "recall",
        (
            *("41", "j1", "succeeded", 30_000, 700, encode(CREATE), "kind", "opportunities.create", "instance", "acme"),
            *("lane", "bulk", "key", "k", "ref", "order-1", "deadline", DEADLINE_MS, "digest", digest(CREATE)),
            *("marker_field", "oppsync", "opportunity_id", 9, "wrote", '["title"]', "unsure", 1),
        ),
    )


def test_what_a_forgotten_job_has_not_is_left_out() -> None:
    """An update without a deadline, and one that is too large to be written anew."""
    end = ends.reschedule(HAND, delay_ms=1, attempt=ATTEMPT)
    huge = UPDATE.model_copy(update={"fields": {f"F{number}": "x" * 1_000 for number in range(70)}})

    call = recalling.recall(end, recalling.Sent(huge, lease_ms=1), sent_ms_ago=2)

    assert call.arguments == (
        *("41", "j1", "scheduled", 1, 2, "", "kind", "opportunities.update", "instance", "acme"),
        *("lane", "interactive", "target", 4534, "digest", digest(huge)),
    )


def test_an_end_of_what_was_sent_says_so() -> None:
    """Behind everything else."""
    assert recalling.as_sent(Call("settle", ("41", "j1"))) == Call("settle", ("41", "j1", "sent", 1))
    assert recalling.is_forgotten(b"forgotten")
    assert recalling.is_forgotten("forgotten")
    assert not recalling.is_forgotten(b"dead")


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        ([b"recalled"], recalling.Recalled(settle=True)),
        ([b"surplus", b"77"], recalling.Recalled(surplus=True, other=77)),
        ([b"surplus", b""], recalling.Recalled(surplus=True)),
        ([b"surplus", None], recalling.Recalled(surplus=True)),
        ([b"surplus"], recalling.Recalled(surplus=True)),
        ([b"dead"], recalling.Recalled(state=State.DEAD)),
        ([b"lost"], recalling.Recalled()),
    ],
)
def test_what_a_forgetful_ledger_answers_is_read(answer: list[Any], means: recalling.Recalled) -> None:
    """Whether to settle, and whose the record is."""
    assert recalling.recalled(answer) == means


@given(st.text(max_size=20), st.none() | st.integers(100, 599), st.none() | st.text(max_size=20))
def test_a_line_of_history_is_json_of_what_it_says(message: str, status: int | None, error: str | None) -> None:
    """Whatever that is."""
    line = json.loads(ends.Attempt("at", 3, 250, status, error, message).as_json())

    assert line == {"at": "at", "attempt": 3, "ms": 250, "status": status, "error": error, "message": message}
