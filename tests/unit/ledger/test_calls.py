"""What each script is given and how its answer is read: places, names and units, which the scripts rely on."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import digest, encode
from oppsync_worker.ledger import (
    begin,
    claims,
    ends,
    enqueuing,
    keys,
    looking,
    operating,
    presence,
    promoting,
    recalling,
    standing,
    sweeping,
)
from oppsync_worker.ledger.scripts import Call
from oppsync_worker.runner.reports import Report
from oppsync_worker.version import release

HAND = ends.Hand("7", "j1", 600)
ATTEMPT = ends.Attempt(at="2026-01-01T00:00:00.000Z", number=3, duration_ms=250, status=503, error="E", message="é")
HISTORY = '{"at": "2026-01-01T00:00:00.000Z", "attempt": 3, "ms": 250, "status": 503, "error": "E", "message": "é"}'
EFFECTS = ends.Effects(answers=True, wrote=("title", "fields.A"), unsure=True)
CREATE = CreateOpportunity.parse(
    {
        "job_id": "j1",
        "instance": "acme",
        "funnel_id": 7,
        "title": "T",
        "crm_column": 130,
        "lane": "bulk",
        "idempotency_key": "k",
        "external_ref": "r",
        "not_before": "2023-11-14T22:13:20.250Z",
        "deadline": "2023-11-14T22:14:20.500Z",
    }
)
UPDATE = UpdateOpportunity.parse(
    {"job_id": "j2", "instance": "acme", "funnel_id": 7, "opportunity_id": 4534, "value": "1", "fields": {"A": "x"}}
)
LOOK = promoting.Look("j1", "t", 5, b"m", 6, 7, 2, 0, "", "acme", {})


def named(call: Call, head: tuple[Any, ...]) -> dict[str, Any]:
    """What is given by name, after `head`."""
    assert call.arguments[: len(head)] == head
    rest = call.arguments[len(head) :]
    names = [str(one) for one in rest[::2]]
    assert len(set(names)) == len(names)
    return dict(zip(names, rest[1::2], strict=True))


def settled(call: Call, to: str) -> dict[str, Any]:
    """The ends of an attempt have one head: the tag, the job, where it goes, and the retention in seconds."""
    assert call.script == "settle"
    return named(call, ("7", "j1", to, 600))


def test_an_attempt_is_kept_as_one_line() -> None:
    """Its duration in milliseconds; accents as they are."""
    assert ATTEMPT.as_json() == HISTORY


@pytest.mark.parametrize(
    ("effects", "given"),
    [
        (ends.NOTHING, {}),
        (EFFECTS, {"beat": 1, "wrote": '["title", "fields.A"]', "unsure": 1}),
        (ends.Effects(answers=False), {"beat": 0}),
    ],
)
def test_effects_are_given_as_far_as_there_are_any(effects: ends.Effects, given: dict[str, Any]) -> None:
    """With every end that may have them."""
    assert {name: value for name, value in effects.given().items() if value is not None} == given
    for call, to in (
        (ends.succeed(HAND, opportunity_id=1, result={}, effects=effects), "succeeded"),
        (ends.reschedule(HAND, delay_ms=1, attempt=ATTEMPT, effects=effects), "scheduled"),
        (ends.bury(HAND, cause=Cause.INVALID, detail="d", effects=effects), "dead"),
        (ends.doubt(HAND, attempt=ATTEMPT, effects=effects), "in_doubt"),
    ):
        names = ("beat", "wrote", "unsure")
        assert {name: value for name, value in settled(call, to).items() if name in names} == given


@pytest.mark.parametrize(
    ("marker", "given"),
    [
        (None, {}),
        (ends.Marker(7, lands=True), {"funnel": 7, "marker": "lands"}),
        (ends.Marker(7, lands=False), {"funnel": 7, "marker": "lost", "unmarked": 1}),
        (ends.Marker(7, lands=None), {"unmarked": 1}),
    ],
)
def test_a_success_bears_the_record_and_what_was_seen_of_its_marker(
    marker: ends.Marker | None, given: dict[str, Any]
) -> None:
    """A record without a marker is remembered as this job's."""
    call = ends.succeed(HAND, opportunity_id=4534, result={"a": "é"}, attempt=ATTEMPT, marker=marker)

    assert settled(call, "succeeded") == {
        "opportunity_id": 4534,
        "result": '{"a":"é"}',
        "attempt": HISTORY,
        **given,
    }


def test_a_job_is_rescheduled_in_milliseconds() -> None:
    """With why; and as put back, by whom it was."""
    given = {"delay": 1_500, "attempt": HISTORY, "cause": "E", "detail": "é"}
    by = Report("j1", "opportunities.create", "acme", "bulk")

    assert settled(ends.reschedule(HAND, delay_ms=1_500, attempt=ATTEMPT), "scheduled") == given
    assert settled(ends.reschedule(HAND, delay_ms=1_500, attempt=ATTEMPT, put_back=by), "scheduled") == {
        **given,
        "put_back": 1,
        "kind": "opportunities.create",
        "instance": "acme",
        "lane": "bulk",
    }


@pytest.mark.parametrize(("limit", "given"), [(None, {}), (60, {"limit": 60})])
def test_a_throttled_job_waits_and_spends_no_attempt(limit: int | None, given: dict[str, Any]) -> None:
    """The cool-down in milliseconds."""
    assert settled(ends.wait(HAND, cool_down_ms=2_500, limit=limit, attempt=ATTEMPT), "waiting") == {
        "cool_ms": 2_500,
        "refund": 1,
        "attempt": HISTORY,
        "cause": "throttled",
        "detail": "é",
        **given,
    }


@pytest.mark.parametrize(("status", "said"), [(401, "HTTP 401: é"), (None, "é")])
def test_a_refused_credential_holds_the_job(status: int | None, said: str) -> None:
    """Three rounds; five seconds, ten for the job, a quarter of an hour at most; dead after five alone."""
    attempt = ends.Attempt("", 1, 1, status, "E", "é")

    given = settled(ends.refuse_credential(HAND, fingerprint="f", attempt=attempt), "held")

    assert given == {
        "refusals": 3,
        "cool_ms": 5_000,
        "own_pause_ms": 10_000,
        "most_delay_ms": 900_000,
        "most_alone": 5,
        "dead_version": release(),
        "refund": 1,
        "attempt": attempt.as_json(),
        "cause": "credential",
        "detail": said,
        "hold_note": said,
        "fingerprint": "f",
    }
    more = ends.refuse_credential(HAND, fingerprint="f", attempt=attempt, max_refusals=2, max_delay_ms=9)
    assert settled(more, "held") == {**given, "most_alone": 2, "most_delay_ms": 9}


def test_other_ends_name_their_cause() -> None:
    """And who the job is, where perhaps nobody looked at it before."""
    who = {"kind": "opportunities.create", "instance": "acme", "lane": "bulk"}
    assert settled(ends.hold_unknown_instance(HAND, **who), "held") == {
        "cause": "unknown_instance",
        "detail": "no worker has settings for the instance 'acme'",
        **who,
    }
    assert settled(ends.not_begun(HAND, **who), "waiting") == {
        "refund": 1,
        "cause": "not_begun",
        "detail": "Redis did not say in time whether it might be sent; nothing was sent",
        **who,
    }
    assert settled(ends.not_replicated(HAND), "scheduled") == {
        "delay": 2_000,
        "refund": 1,
        "cause": "not_replicated",
        "detail": "too few replicas of Redis took note in time that it was to be sent; nothing was sent",
    }
    assert settled(ends.doubt(HAND, attempt=ATTEMPT), "in_doubt") == {
        "attempt": HISTORY,
        "cause": "answer_lost",
        "detail": "é",
    }


def test_a_burial_is_told_in_bounds() -> None:
    """What a stranger wrote: at most 1,500 characters, in one line."""
    assert settled(ends.bury(HAND, cause=Cause.INVALID, detail="d"), "dead") == {
        "cause": "invalid",
        "detail": "d",
        "version": release(),
    }
    long = "x\n" * 1_000
    given = settled(ends.bury(HAND, cause=Cause.POISON, detail=long, attempt=ATTEMPT, kind=long, instance=long), "dead")
    shown = "x\\n" * 750 + "..."
    assert given == {
        "cause": "poison",
        "detail": shown,
        "attempt": HISTORY,
        "version": release(),
        "kind": shown,
        "instance": shown,
    }


@pytest.mark.parametrize(("answer", "state"), [(b"dead", State.DEAD), ("held", State.HELD), (b"lost", None)])
def test_an_end_tells_where_the_job_is(answer: Any, state: State | None) -> None:
    """Nowhere else when the claim was stale."""
    assert ends.ended(answer) is state


def test_asking_to_send_gives_the_job_in_the_script_s_order() -> None:
    """Times in milliseconds since 1970, the horizon in milliseconds, the retention in seconds."""
    head = ("7", "j1", "opportunities.create", "acme", "bulk", "k", "r", "", 1_700_000_000_250, 1_700_000_060_500)

    assert begin.begin(HAND, CREATE, horizon_ms=250, number=9) == Call(
        "begin", (*head, 250, 600, 9, digest(CREATE), "")
    )
    assert begin.begin(HAND, CREATE, horizon_ms=250, number=9, marker_field="M", own=True) == Call(
        "begin", (*head, 250, 600, 9, "", "M")
    )
    assert begin.begin(ends.Hand("8", "j2", 5), UPDATE, horizon_ms=1, number=2, marker_field="M").arguments == (
        *("8", "j2", "opportunities.update", "acme", "interactive", "", "", 4534, 0, 0),
        *(1, 5, 2, digest(UPDATE), "value", "fields.A"),
    )


def test_leave_to_send_is_read_in_its_units() -> None:
    """The age is in milliseconds, and stays so in what is told of the job."""
    answer = [b"go", 3, b"4534", 61_500, 2, 41_250, [b"title", b"fields.A"], 1_700_000_000_250]

    go = begin.begun(answer)

    assert go == begin.Go(
        attempt=3,
        opportunity_id=4534,
        age_ms=61_500,
        replays=2,
        trying_ms=41_250,
        overwritten=("title", "fields.A"),
        counted_at=1_700_000_000_250,
    )
    assert begin.begun([b"go", 1, b"", b"0", b"0", b"0", [], b"5"]) == begin.Go(1, None, 0, 0, counted_at=5)
    report = Report("j1", "k", "acme", "bulk")
    report.took(go, 1.25)  # type: ignore[arg-type]
    assert (report.attempt, report.replays, report.age_ms, report.duration_ms) == (3, 2, 61_500, 1_250)
    assert report.result(1, {})["timings"] == {"age_ms": 61_500, "slot_wait_ms": 0, "call_ms": 1_250}


def test_a_late_leaving_is_told_in_milliseconds() -> None:
    """When it was counted, and by how much."""
    assert begin.left_late("acme", counted_at=5, late_ms=7) == Call("late", ("acme", 5, 7))


def test_enqueuing_gives_the_job_in_the_script_s_order() -> None:
    """Twenty-five a run."""
    whole = (
        *("j1", "opportunities.create", "acme", "bulk", "k", "r", "", 1_700_000_000_250, 1_700_000_060_500),
        *(digest(CREATE), encode(CREATE)),
    )
    update = ("j2", "opportunities.update", "acme", "interactive", "", "", 4534, 0, 0, digest(UPDATE), encode(UPDATE))

    assert enqueuing.enqueue(CREATE) == Call("enqueue", ("", 0, *whole))
    first, second = enqueuing.enqueue_in_order([CREATE] * 25 + [UPDATE])
    assert first == Call("enqueue", ("", 0, *whole * 25))
    assert second == Call("enqueue", ("", 0, *update))
    assert len(enqueuing.enqueue_in_order([CREATE] * 25)) == 1
    assert enqueuing.enqueue_in_order([]) == []


@pytest.mark.parametrize(("created", "new"), [(1, True), (0, False)])
def test_receipts_are_read(created: int, *, new: bool) -> None:
    """In bytes or in text."""
    assert enqueuing.receipt([[b"j9", created]]) == ("j9", new)
    assert enqueuing.receipts([CREATE], [[["j9", created]]]) == [enqueuing.Receipt("j9", new)]


LOOKED: list[tuple[Call, str, int, dict[str, Any]]] = [
    (
        looking.again(LOOK, looking.Told("h", ends.NOTHING), inquiry="i", delay_ms=9),
        "in_doubt",
        0,
        {"inquiry": "i", "delay": 9},
    ),
    (
        looking.ask_person(LOOK, looking.Told("h", ends.NOTHING), inquiry="i", why="w"),
        "in_doubt",
        0,
        {"inquiry": "i", "person": 1, "cause": "undecided", "detail": "w"},
    ),
    (
        looking.adopt(
            LOOK, looking.Told("h", ends.NOTHING), opportunity_id=5, result={"a": 1}, unmarked=True, ttl_s=600
        ),
        "succeeded",
        600,
        {"opportunity_id": 5, "result": '{"a":1}', "unmarked": 1},
    ),
    (
        looking.adopt(LOOK, looking.Told("h", ends.NOTHING), opportunity_id=5, result={}, unmarked=False, ttl_s=600),
        "succeeded",
        600,
        {"opportunity_id": 5, "result": "{}"},
    ),
    (
        looking.resend(LOOK, looking.Told("h", ends.NOTHING), why="w"),
        "scheduled",
        0,
        {"delay": 0, "cause": "absent", "detail": "w", "absent": 1},
    ),
    (
        looking.bury(LOOK, looking.Told("h", ends.NOTHING), detail="d"),
        "dead",
        0,
        {"cause": "exhausted", "detail": "d", "version": release(), "absent": "1"},
    ),
]


@pytest.mark.parametrize(("call", "to", "ttl_s", "given"), LOOKED)
def test_what_a_look_up_has_brought_is_told_under_its_token(
    call: Call, to: str, ttl_s: int, given: dict[str, Any]
) -> None:
    """One row for each end of it."""
    assert call.script == "looked"
    assert named(call, ("j1", "t", to, ttl_s)) == {**given, "attempt": "h"}


def test_a_look_up_tells_what_else_it_did() -> None:
    """The cool-down in milliseconds."""
    told = looking.Told("h", EFFECTS, sightings="s", cool_down_ms=2_500, limit=60)

    given = named(looking.again(LOOK, told, inquiry="i", delay_ms=9), ("j1", "t", "in_doubt", 0))

    assert given == {
        "inquiry": "i",
        "delay": 9,
        "attempt": "h",
        "sightings": "s",
        "cool_ms": 2_500,
        "limit": 60,
        "beat": 1,
        "wrote": '["title", "fields.A"]',
        "unsure": 1,
    }


def test_leave_to_look_is_asked_for_and_read() -> None:
    """In milliseconds."""
    assert looking.may_look(LOOK, horizon_ms=250) == Call("look", ("j1", "t", 250))
    go = looking.leave([b"go", b"1700000000250", b"2"])
    assert isinstance(go, looking.LookNow)
    assert (go.counted_at, go.absences) == (1_700_000_000_250, 2)
    assert looking.leave([b"soon", b"40"]) == looking.LookSoon(40)
    assert looking.leave([b"never"]) == looking.LookNever()


def test_look_ups_are_read_field_by_field() -> None:
    """The marker's field, where it is known, comes last."""
    raw = [b"j1", b"t", b"5", b"m", b"6", b"7", b"2", b"1", b"i", b"acme", [b"7", b"lands", b"8", b"lost"]]
    look = promoting.Look("j1", "t", 5, b"m", 6, 7, 2, 1, "i", "acme", {"7": "lands", "8": "lost"})

    done = promoting.promoted([1, 2, 3, 40, [raw, [*raw, b"M"]], 1_700_000_000_250, 500])

    assert (done.due, done.granted, done.released, done.wake_ms) == (1, 2, 3, 40)
    assert (done.clock_ms, done.ahead_ms) == (1_700_000_000_250, 500)
    assert done.looks[0] == look
    assert done.looks[1].marker_field == "M"
    assert promoting.promote(most=1, horizon_ms=2, ttl_s=3, takes=4, look_ms=5, seen=(6, 7)) == Call(
        "promote", (1, 2, 3, 4, 5, 6, 7)
    )


def test_claims_are_asked_for_and_read() -> None:
    """The lease in milliseconds, the largest message in bytes."""
    assert claims.claim(["a", "b"], most=5, lease_ms=30_000, worker="w", question="q") == Call(
        "claim", (5, 30_000, "w", "q", 262_144, release(), "a", "b")
    )
    answer = [[[b"7", b"a", b"\xff"]], [[b"raw-1", b"malformed", b"d"]], b"3"]
    assert claims.claimed(answer) == (
        [claims.Claimed("7", "a", b"\xff")],
        [claims.BuriedUnread("raw-1", Cause.MALFORMED, "d")],
    )
    assert claims.filed(answer) == 3
    assert claims.renew(["7", "8"], lease_ms=9) == Call("renew", (9, "7", "8"))
    assert claims.release("7") == Call("release", ("7",))
    assert claims.restore(most=1, crashes=2, ttl_s=3) == Call("restore", (1, 2, 3, release(), ""))
    assert claims.restore(most=1, crashes=2, ttl_s=3, not_after_ms=4).arguments[-1] == 4


def test_a_person_s_verbs_are_given_in_the_scripts_order() -> None:
    """Times in milliseconds, the retention in seconds."""
    moment = datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)

    assert operating.replay("j1", by="me") == Call("replay", ("j1", "", "me", 0, ""))
    assert operating.replay("j1", by="me", message="m", deadline=moment, writes=["a", "b"]) == Call(
        "replay", ("j1", "m", "me", 1_700_000_000_250, "", "a", "b")
    )
    how: dict[str, Any] = {"opportunity_id": 5, "result": {"a": 1}, "by": "me", "ttl_s": 600}
    assert operating.adopt("j1", **how) == Call("adopt", ("j1", 5, '{"a":1}', "me", 600, 0, ""))
    assert operating.adopt("j1", **how, though_taken=True, seen=7).arguments[-2:] == (1, 7)
    assert operating.resend("j1", by="me") == Call("resend", ("j1", "me", "", "", ""))
    assert operating.inquire("j1", by="me") == Call("inquire", ("j1", "me"))
    assert operating.discard("j1", state=State.IN_DOUBT, by="me", ttl_s=6) == Call(
        "discard", ("j1", "in_doubt", "me", 6, "", "")
    )
    assert operating.tell("acme", fingerprint="f", facts={"a": 1, "b": "2"}) == Call(
        "instance", ("acme", "f", "a", 1, "b", "2")
    )
    assert operating.hold("acme", cause="c", note="n") == Call("hold", ("acme", "c", "n"))
    assert operating.unhold("acme") == Call("unhold", ("acme", ""))
    assert operating.unhold("acme", cause="c") == Call("unhold", ("acme", "c"))
    for dry_run, figure in ((False, 0), (True, 1)):
        assert operating.resume("acme", dry_run=dry_run) == Call("budget", ("acme", "resume", figure))
        assert operating.forget("acme", dry_run=dry_run) == Call("budget", ("acme", "forget", figure))
    assert operating.resume("acme").arguments[2] == operating.forget("acme").arguments[2] == 0


def test_answers_to_a_person_are_read() -> None:
    """Words, and pairs of them."""
    assert operating.adopted([b"in_doubt"]) == ("in_doubt", None)
    assert operating.adopted([b"taken", b"j9"]) == ("taken", "j9")
    assert operating.taken_away([b"unknown"]) is None
    assert operating.taken_away([b"known"]) == {}
    assert operating.taken_away([b"known", b"a", b"1", b"b", b"2"]) == {"a": "1", "b": "2"}
    assert (operating.word(b"dead"), operating.word(5)) == ("dead", "5")


def test_a_ledger_that_forgot_is_told_all_of_the_request() -> None:
    """Ages and leases in milliseconds; what the end itself says of the record goes along."""
    end = ends.succeed(HAND, opportunity_id=4534, result={}, effects=EFFECTS)
    call = recalling.recall(end, recalling.Sent(CREATE, 30_000, "M"), sent_ms_ago=1_250)

    assert call.script == "recall"
    assert named(call, ("7", "j1", "succeeded", 30_000, 1_250, encode(CREATE))) == {
        "kind": "opportunities.create",
        "instance": "acme",
        "lane": "bulk",
        "key": "k",
        "ref": "r",
        "deadline": 1_700_000_060_500,
        "digest": digest(CREATE),
        "marker_field": "M",
        "opportunity_id": 4534,
        "wrote": '["title", "fields.A"]',
        "unsure": 1,
    }
    least = recalling.recall(ends.doubt(HAND, attempt=ATTEMPT), recalling.Sent(UPDATE, 1), sent_ms_ago=2)
    assert set(named(least, ("7", "j1", "in_doubt", 1, 2, encode(UPDATE)))) == {
        *("kind", "instance", "lane", "target", "digest")
    }
    assert recalling.as_sent(end) == Call("settle", (*end.arguments, "sent", 1))
    assert recalling.Sent(CREATE.model_copy(update={"title": "\ud800"}), 1).message() == ""


@pytest.mark.parametrize(
    ("answer", "read_as"),
    [
        ([b"recalled"], recalling.Recalled(settle=True)),
        ([b"surplus"], recalling.Recalled(surplus=True)),
        ([b"surplus", b""], recalling.Recalled(surplus=True)),
        ([b"surplus", None], recalling.Recalled(surplus=True)),
        ([b"surplus", b"4534"], recalling.Recalled(surplus=True, other=4534)),
        ([b"dead"], recalling.Recalled(state=State.DEAD)),
        ([b"lost"], recalling.Recalled()),
    ],
)
def test_what_it_makes_of_that_is_read(answer: list[Any], read_as: recalling.Recalled) -> None:
    """One row for each."""
    assert recalling.recalled(answer) == read_as
    assert recalling.is_forgotten(b"forgotten")
    assert recalling.is_forgotten("forgotten")
    assert not recalling.is_forgotten(answer[0])


def test_how_a_job_stands_is_asked_and_read() -> None:
    """Under a claim."""
    assert standing.stand(HAND) == Call("stand", ("7", "j1"))
    assert standing.stood([b"sending", b"k", 1, b"2"]) == standing.Standing(State.SENDING, "k", True, 2)
    assert not standing.stood([b"queued", b"", 0, 0]).ours


def test_presence_is_told_in_milliseconds() -> None:
    """A worker is silent after twenty seconds; four signs fall into them."""
    assert presence.present("w", hands=3) == Call("present", ("w", 1, 3, 20_000))
    assert presence.present("w") == Call("present", ("w", 1))
    assert presence.gone("w") == Call("present", ("w", 0, 0, 20_000))
    assert presence.watch("w", ["a", "b"], trace_s=1.5) == Call("watch", ("w", 1_500, "a", "b"))
    assert (presence.SIGN_EVERY_S, presence.SILENT_AFTER_S) == (5.0, 20.0)


def test_the_sweep_s_calls_are_given_and_read() -> None:
    """Times in milliseconds, the retention in seconds; a stretch of a list from its first to its last."""
    assert sweeping.turn("w", every_ms=9) == Call("turn", ("w", 9))
    assert sweeping.sweep(["a", "b"], ttl_s=1, patience_ms=2) == Call("sweep", (1, release(), 2, "a", "b"))
    assert sweeping.swept([[b"j", b"5"], [b"k", b"lost"]]) == ({"j": "5"}, [("k", "lost")])
    assert sweeping.ghosts("dead", "p", ["a"]) == Call("ghosts", ("dead", "p", "a"))
    assert sweeping.laid([b"j", b"\xff"]) == [("j", "�")]
    assert sweeping.lane("l", first=200, count=200) == Call("lane", ("l", 200, 399))
    assert sweeping.lose("j", since="5") == Call("lose", ("j", "5", release()))
    steps = ("", "\x06\x163", "\x06\x166", "\x06\x169")
    queues = ("opportunities.interactive", "opportunities.bulk")
    assert sweeping.lists() == [queue + step for queue in queues for step in steps]
    assert dict(sweeping.PLACES) == {
        "scheduled": "oppsync:schedule",
        "blocked": "oppsync:blocked",
        "in_doubt": "oppsync:in_doubt",
        "dead": "oppsync:dead",
    }


def test_keys_of_a_ledger_that_is_there_are_found() -> None:
    """Another name would find nothing."""
    named_by = {name: value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    assert named_by.pop("PREFIX") == "oppsync:"
    assert named_by == {name: f"oppsync:{name.lower()}" for name in named_by}
    assert keys.CLOCK_GRACE_MS == 3_600_000
    for make in (keys.job, keys.attempts, keys.waiting, keys.held, keys.hold, keys.budget):
        assert make("x") == f"oppsync:{make.__name__}:x"
    assert keys.references("x") == "oppsync:refs:x"
    assert json.loads(ends.result_json({"a": None})) == {"a": None}
