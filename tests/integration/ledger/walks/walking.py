"""A walk: everything that uses the ledger, in an order that a seed draws, one call after the other.

Producers, other applications, workers that are slow or dead, look-ups, operators, damage by hand, a Redis that forgets,
and time. Nothing is judged here: each step's answer and what Redis holds after it are handed on.
"""

import base64
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from integration.ledger.walks.clockwork import BEGINNING_MS, Clockwork
from oppsync import CreateOpportunity, State, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import (
    begin as beginning,
)
from oppsync_worker.ledger import (
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

LANES: Final = ["opportunities.interactive", "opportunities.bulk"]
STEPPED: Final = ["opportunities.interactive\x06\x163", *LANES]
TTL_S: Final = 3_600
LEASE_MS: Final = 25_000
HORIZON_MS: Final = 250
LOOK_MS: Final = 40_000

PACES: Final[tuple[dict[str, Any], ...]] = (
    {"requests": 0, "window_ms": 60_000, "concurrency": 0},
    {"requests": 45, "window_ms": 60_000, "concurrency": 2},
    {"requests": 300, "window_ms": 60_000, "concurrency": 1},
    {"requests": 6, "window_ms": 10_000, "concurrency": 3},
)
PAUSES_MS: Final = (0, 1, 3, 20, 90, 300, 1_100, 2_500, 7_000, 30_000, 65_000, 400_000, 3_700_000)
DISCARDABLE: Final = {"scheduled", "waiting", "held", "blocked", "in_doubt", "dead"}
HISTORY: Final = '{"at":"then","attempt":1}'


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened: what was called, what was answered, what Redis holds now."""

    number: int
    what: str
    answer: str
    held: str


@dataclass(slots=True)
class Taken:
    """A message in a worker's hands."""

    hand: ends.Hand
    job: AnyJob
    own: bool
    sent: beginning.Go | None = None


@dataclass
class Walk:
    """One walk; `steps` may be gone through once."""

    seed: int
    clockwork: Clockwork
    jobs: list[AnyJob] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    gone: list[Taken] = field(default_factory=list)
    """Claims that their workers gave up long ago, and may yet speak for."""
    looks: list[promoting.Look] = field(default_factory=list)
    questions: list[Call] = field(default_factory=list)
    number: int = 0
    chain: str = ""
    kept: dict[bytes, bytes] | None = None

    def __post_init__(self) -> None:
        """Draw what this walk is about."""
        self.draw = random.Random(self.seed)
        draw = self.draw
        self.instances = draw.choice([["acme"], ["acme", "globex"]])
        self.pace = {one: draw.choice(PACES) for one in self.instances}
        self.choices = {
            "call_ms": 45_000,
            "probe_ms": draw.choice([0, 5_000, 5_000, -1]),
            "breaker_failures": draw.choice([0, 2, 3]),
            "open_ms": 4_000,
            "max_open_ms": 15_000,
            "after_dead": draw.choice(["go_on", "go_on", "wait"]),
            "settle_ms": draw.choice([3_000, 60_000]),
            "learned_least": 2,
            "learned_ms": draw.choice([60_000, 600_000]),
            "look_gap": draw.choice([0, 3]),
        }
        self.records = draw.choice([[5], [5, 6]])
        self.refs = draw.choice([["r"], ["r", "s"]])
        self.sure = draw.random()
        """How often an attempt succeeds."""
        self.creates = draw.choice([0.2, 0.5, 0.8])
        self.foreign = draw.choice([0.0, 0.2, 0.5])
        deeds = dict(DEEDS)
        for name in draw.sample(sorted(deeds), 6):
            deeds[name] = deeds[name] * draw.choice([0, 3])
        self.endings = list(ENDINGS)
        favourite = draw.choice(self.endings)
        self.ending_weights = [8 if one == favourite else 1 for one in self.endings]
        self.deeds = [name for name in deeds if deeds[name]]
        self.weights = [deeds[name] for name in self.deeds]

    def steps(self, most: int) -> Iterator[Step]:
        """Walk."""
        for instance in self.instances:
            yield self.call(self.announcement(instance))
        while self.number < most:
            (name,) = self.draw.choices(self.deeds, self.weights)
            for done in DO[name](self):
                if isinstance(done, Call):
                    yield self.call(done)
                    self.hear(done)

    # What is needed all the time.

    def call(self, call: Call) -> Step:
        """Run a script and tell of it."""
        self.number += 1
        self.answer, held = self.clockwork.run(call)
        arguments = " ".join(_said(one) for one in call.arguments)
        return Step(self.number, f"{call.script} {arguments}", repr(self.answer), held)

    def hear(self, call: Call) -> None:
        """Take note of what an answer brings."""
        if isinstance(self.answer, str):
            return
        if call.script == "claim":
            taken, _ = claims.claimed(self.answer)
            for one in taken:
                try:
                    job = read_message(one.message)
                except Exception:  # noqa: BLE001 - of what nobody can read, the id is all that is known
                    job = self.unread(one.message)
                own = b'"origin":"oppsync"' in one.message
                self.taken.append(Taken(ends.Hand(one.tag, job.job_id, TTL_S), job, own))
        elif call.script == "promote":
            self.looks += promoting.promoted(self.answer).looks

    def unread(self, message: bytes) -> AnyJob:
        """What stands for a job that breaks the contract."""
        job_id = str(json.loads(message)["headers"]["id"])
        return CreateOpportunity(job_id=job_id, instance="acme", funnel_id=7, title="?", crm_column=1)

    def one(self, *, sent: bool) -> Taken | None:
        """A message in hand."""
        some = [one for one in self.taken if bool(one.sent) is sent]
        return self.draw.choice(some) if some else None

    def some_job(self) -> AnyJob | None:
        """Any job there ever was."""
        return self.draw.choice(self.jobs[-12:]) if self.jobs else None

    def soon(self, seconds: float) -> datetime:
        """A time by the walk's clock."""
        return datetime.fromtimestamp(self.clockwork.now_ms / 1000, UTC) + timedelta(seconds=seconds)

    def members(self, key: str) -> list[str]:
        """Of a sorted set."""
        found = cast("list[bytes]", self.clockwork.client.zrange(key, 0, -1))
        return [one.decode("utf-8", "replace") for one in found]

    def announcement(self, instance: str, **other: Any) -> Call:
        """What a worker tells of an instance."""
        return operating.tell(
            instance, fingerprint=other.pop("fingerprint", "f"), facts={**self.pace[instance], **self.choices, **other}
        )

    def draft(self) -> AnyJob:
        """A new job."""
        draw = self.draw
        document: dict[str, Any] = {
            "job_id": f"job-{len(self.jobs)}",
            "instance": draw.choice(self.instances),
            "lane": draw.choice(["interactive", "bulk"]),
            "funnel_id": 7,
            "title": f"T{len(self.jobs)}",
        }
        if draw.random() < 0.2:
            document["idempotency_key"] = f"key-{draw.randint(0, 2)}"
        when = draw.random()
        if when < 0.08:
            document["not_before"] = self.soon(draw.choice([0.5, 5, 500]))
        elif when < 0.2:
            document["deadline"] = self.soon(draw.choice([-1, 3, 40, 4_000]))
        if draw.random() < self.creates:
            if draw.random() < 0.4:
                document["external_ref"] = draw.choice(self.refs)
            job: AnyJob = CreateOpportunity.parse({**document, "crm_column": 130})
        else:
            if draw.random() < 0.4:
                document["external_ref"] = draw.choice(self.refs)
            else:
                document["opportunity_id"] = draw.choice(self.records)
            kind = draw.randrange(4)
            if kind == 1:
                document["value"] = "2.00"
            elif kind == 2:
                document |= {"fields": {"A": "x", "B": "y"}}
            elif kind == 3:
                del document["title"]
                document["value"] = "3.00"
            job = UpdateOpportunity.parse(document)
        self.jobs.append(job)
        return job

    def attempt(self) -> ends.Attempt:
        """A line of a history."""
        return ends.Attempt("then", 1, 12, self.draw.choice([None, 503]), "Unavailable", "words")


def _said(argument: object) -> str:
    text = argument.decode("utf-8", "replace") if isinstance(argument, bytes) else str(argument)
    return json.dumps(text[:200])


Deed = Callable[[Walk], Iterator[Call | None]]


def enqueue(walk: Walk) -> Iterator[Call | None]:
    """One job, sometimes twice."""
    job = walk.draft()
    yield enqueuing.enqueue(job)
    if walk.draw.random() < 0.1:
        yield enqueuing.enqueue(job)


def enqueue_many(walk: Walk) -> Iterator[Call | None]:
    """A chain of calls, of which one may be left out or come again."""
    calls = enqueuing.enqueue_in_order([walk.draft() for _ in range(walk.draw.randint(2, 60))])
    for call in calls:
        if walk.draw.random() < 0.1:
            continue
        yield call
        if walk.draw.random() < 0.2:
            yield call


def enqueue_at_odds(walk: Walk) -> Iterator[Call | None]:
    """Something else under an id, or a key, that is taken."""
    job = walk.some_job()
    if job is None:
        return
    how = walk.draw.randrange(4)
    if how == 0:
        yield enqueuing.enqueue(job.model_copy(update={"title": "other"}))
    elif how == 1:
        yield enqueuing.enqueue(job.model_copy(update={"instance": "elsewhere"}))
    else:
        other = walk.draft()
        keyed = other.model_copy(update={"idempotency_key": job.idempotency_key or "key-0", "instance": job.instance})
        walk.jobs[-1] = keyed
        yield enqueuing.enqueue(keyed)


def push(walk: Walk) -> Iterator[Call | None]:
    """Another Celery application: well made, oddly made, or made badly."""
    draw, job = walk.draw, walk.draft()
    if draw.random() < 0.15 and len(walk.jobs) > 1:
        # Under an id that is taken.
        job = walk.jobs[-1] = job.model_copy(update={"job_id": draw.choice(walk.jobs[:-1]).job_id})
    message = json.loads(encode(job))
    message["headers"]["origin"] = "gen1@elsewhere"
    if draw.random() < 0.6:
        draw.choice(ODDITIES)(walk, message)
    raw = json.dumps(message).encode()
    if draw.random() < 0.06:
        raw = draw.choice([b"[1,2]", b"nothing", b"\xff\xfe", b"{}", b'"x' + b"y" * 50])
    queue = draw.choice(STEPPED if draw.random() < 0.2 else [job.lane.queue])
    walk.clockwork.client.lpush(queue, raw)
    yield None


def as_base64(_: Walk, message: dict[str, Any]) -> None:
    """As Celery's default is."""
    message["body"] = base64.b64encode(message["body"].encode()).decode()
    message["properties"]["body_encoding"] = "base64"


def as_zip(_: Walk, message: dict[str, Any]) -> None:
    """Compressed."""
    message["headers"]["compression"] = "application/x-gzip"
    message["body"] = base64.b64encode(zlib.compress(message["body"].encode(), 9)).decode()
    message["properties"]["body_encoding"] = "base64"


def with_expiry(walk: Walk, message: dict[str, Any]) -> None:
    """Celery's deadline."""
    message["headers"]["expires"] = walk.soon(walk.draw.choice([-5, 30])).isoformat()


def with_eta(walk: Walk, message: dict[str, Any]) -> None:
    """Celery's not-before."""
    message["headers"]["eta"] = walk.soon(20).isoformat()


def without_a_field(walk: Walk, message: dict[str, Any]) -> None:
    """The contract is broken."""
    body = json.loads(message["body"])
    body[1].pop(walk.draw.choice(["instance", "funnel_id", "title"]), None)
    message["body"] = json.dumps(body)


def with_an_odd_field(walk: Walk, message: dict[str, Any]) -> None:
    """The contract is broken otherwise."""
    body = json.loads(message["body"])
    name = walk.draw.choice(["external_ref", "idempotency_key", "instance", "deadline", "opportunity_id", "lane"])
    body[1][name] = walk.draw.choice([17, "x" * 300, None, ["r"], "ä", 5.5])
    message["body"] = json.dumps(body)


def with_an_odd_header(walk: Walk, message: dict[str, Any]) -> None:
    """Nobody knows what it is."""
    name, values = walk.draw.choice(
        [("task", ["opportunities.merge", 5, None]), ("id", ["", "raw-1", "ä", 7]), ("origin", [5, None])]
    )
    message["headers"][name] = walk.draw.choice(values)


def without_a_part(walk: Walk, message: dict[str, Any]) -> None:
    """No message at all."""
    message.pop(walk.draw.choice(["body", "properties", "headers"]))


ODDITIES: Final[tuple[Callable[[Walk, dict[str, Any]], None], ...]] = (
    as_base64,
    as_base64,
    as_zip,
    with_expiry,
    with_eta,
    without_a_field,
    with_an_odd_field,
    with_an_odd_field,
    with_an_odd_header,
    without_a_part,
)


def copy(walk: Walk) -> Iterator[Call | None]:
    """A message comes once more."""
    job = walk.some_job()
    if job is not None:
        message = encode(job)
        if walk.draw.random() < 0.5:
            message = message.replace('"origin":"oppsync"', '"origin":"elsewhere"')
        walk.clockwork.client.lpush(job.lane.queue, message)
    yield None


def claim(walk: Walk) -> Iterator[Call | None]:
    """Take messages; sometimes the question is asked again."""
    draw = walk.draw
    queues = draw.choice([LANES, LANES, STEPPED, LANES[:1]])
    call = claims.claim(
        queues, most=draw.randint(0, 4), lease_ms=LEASE_MS, worker=draw.choice("vw"), question=f"q{walk.number}"
    )
    yield call
    if draw.random() < 0.1:
        yield replace(call)


def work(walk: Walk) -> Iterator[Call | None]:
    """A worker at its usual business: what it has is begun, and settled."""
    walk.clockwork.passes(walk.draw.choice([0, 20, 300, 1_400, 10_000]))
    yield from promote(walk)
    yield from claim(walk)
    for _ in range(3):
        yield from begin(walk)
        if walk.draw.random() < 0.8:
            yield from settle(walk)
    if walk.looks:
        yield from look(walk)


def begin(walk: Walk) -> Iterator[Call | None]:
    """May it be sent? Asked again if the slot is near, or if nobody heard the answer."""
    one = walk.one(sent=False)
    if one is None:
        return
    draw = walk.draw
    for _ in range(3):
        call = beginning.begin(
            one.hand,
            one.job,
            horizon_ms=HORIZON_MS,
            number=len(walk.questions) + 1,
            marker_field=draw.choice(["oppsync", None]),
            own=one.own,
        )
        walk.questions.append(call)
        yield call
        if isinstance(walk.answer, str):
            walk.taken.remove(one)
            return
        answer = beginning.begun(walk.answer)
        if isinstance(answer, beginning.Soon):
            walk.clockwork.passes(answer.delay_ms + draw.choice([-3, 0, 0, 0, 5, 900]))
        elif isinstance(answer, beginning.Go):
            if draw.random() < 0.1:
                walk.clockwork.passes(draw.choice([0, 3, 800]))
                continue
            one.sent = answer
            return
        else:
            walk.taken.remove(one)
            return


def late_question(walk: Walk) -> Iterator[Call | None]:
    """A link that stood still delivers one once more."""
    if walk.questions:
        yield walk.draw.choice(walk.questions[-8:])


def settle(walk: Walk) -> Iterator[Call | None]:
    """An answer came, or did not; sometimes it is told twice, or by somebody who owns the claim no more."""
    draw = walk.draw
    one = walk.one(sent=True)
    if draw.random() < 0.05 and walk.gone:
        one = draw.choice(walk.gone[-5:])
    if one is None:
        return
    if one in walk.taken and draw.random() < 0.9:
        walk.taken.remove(one)
        walk.gone.append(one)
    call = end_of(walk, one)
    if draw.random() < 0.8:
        call = recalling.as_sent(call)
    yield call
    if draw.random() < 0.15:
        yield call
    if recalling.is_forgotten(walk.answer):
        sent = recalling.Sent(one.job, lease_ms=LEASE_MS, marker_field="oppsync")
        yield recalling.recall(call, sent, sent_ms_ago=draw.choice([10, 3_000]))
        if draw.random() < 0.2:
            yield recalling.recall(call, sent, sent_ms_ago=4_000)
        yield call


def end_of(walk: Walk, one: Taken) -> Call:
    """Any end of an attempt."""
    if walk.draw.random() < walk.sure:
        return succeeded(walk, one)
    (how,) = walk.draw.choices(walk.endings, walk.ending_weights)
    return ENDINGS[how](walk, one)


def succeeded(walk: Walk, one: Taken) -> Call:
    """The CRM has it."""
    draw, creates = walk.draw, isinstance(one.job, CreateOpportunity)
    lands = draw.choice([True, False, None])
    return ends.succeed(
        one.hand,
        opportunity_id=draw.choice([100 + len(walk.jobs), 5, 6]),
        result={"id": 1},
        attempt=draw.choice([walk.attempt(), None]),
        effects=ends.Effects(answers=True, wrote=wrote_by(one.job)),
        marker=ends.Marker(7, lands=lands) if creates else None,
    )


def wrote_by(job: AnyJob) -> tuple[str, ...]:
    """Fields of an update."""
    return () if isinstance(job, CreateOpportunity) else job.written()


def lost(job: AnyJob) -> ends.Effects:
    """Nobody knows what the CRM did."""
    return ends.Effects(answers=False, wrote=wrote_by(job), unsure=not isinstance(job, CreateOpportunity))


def throttled(walk: Walk, one: Taken) -> Call:
    """Come back later."""
    draw = walk.draw
    limit = draw.choice([None, 1, 4, 40])
    return ends.wait(one.hand, cool_down_ms=draw.choice([500, 4_000, 60_000]), limit=limit, attempt=walk.attempt())


def refused(walk: Walk, one: Taken) -> Call:
    """With 401 or 403."""
    most = walk.draw.choice([1, 2, 5])
    return ends.refuse_credential(
        one.hand, fingerprint="f", attempt=walk.attempt(), max_refusals=most, max_delay_ms=15_000
    )


def rejected(walk: Walk, one: Taken) -> Call:
    """For good."""
    answers = ends.Effects(answers=True)
    return ends.bury(one.hand, cause=Cause.REJECTED, detail="words", attempt=walk.attempt(), effects=answers)


def exhausted(walk: Walk, one: Taken) -> Call:
    """Tried too often."""
    return ends.bury(one.hand, cause=Cause.EXHAUSTED, detail="words", attempt=walk.attempt(), effects=lost(one.job))


def answer_lost(walk: Walk, one: Taken) -> Call:
    """A create is in doubt, an update goes again."""
    if isinstance(one.job, CreateOpportunity):
        return ends.doubt(one.hand, attempt=walk.attempt(), effects=ends.Effects(answers=False))
    delay = walk.draw.choice([0, 900, 20_000])
    return ends.reschedule(one.hand, delay_ms=delay, attempt=walk.attempt(), effects=lost(one.job))


def unsent(walk: Walk, one: Taken) -> Call:
    """Nothing has left."""
    return ends.reschedule(one.hand, delay_ms=700, attempt=walk.attempt(), effects=ends.Effects(answers=False))


def unreplicated(_: Walk, one: Taken) -> Call:
    """Too few took note."""
    return ends.not_replicated(one.hand)


ENDINGS: Final[dict[str, Callable[[Walk, Taken], Call]]] = {
    "throttled": throttled,
    "refused": refused,
    "rejected": rejected,
    "exhausted": exhausted,
    "answer_lost": answer_lost,
    "unsent": unsent,
    "unreplicated": unreplicated,
}


def end_unbegun(walk: Walk) -> Iterator[Call | None]:
    """The ends of what was never sent."""
    one = walk.one(sent=False)
    if one is None:
        return
    walk.taken.remove(one)
    walk.gone.append(one)
    hand, job = one.hand, one.job
    names = {"kind": job.kind.value, "instance": job.instance, "lane": job.lane.value}
    match walk.draw.randrange(6):
        case 0:
            yield ends.hold_unknown_instance(hand, **names)
        case 1:
            yield ends.bury(hand, cause=Cause.INVALID, detail="words", kind=job.kind.value, instance=job.instance)
        case 2:
            yield ends.bury(hand, cause=Cause.INTERNAL, detail="words", kind=job.kind.value)
        case 3:
            yield ends.not_begun(hand, **names)
        case 4:
            yield ends.reschedule(hand, delay_ms=600, attempt=walk.attempt(), put_back=job)
        case _:
            yield claims.release(hand.tag)


def release(walk: Walk) -> Iterator[Call | None]:
    """Handed back; also what is being sent, by mistake."""
    if walk.taken:
        one = walk.draw.choice(walk.taken)
        if one.sent is None:
            walk.taken.remove(one)
        yield claims.release(one.hand.tag)


def renew(walk: Walk) -> Iterator[Call | None]:
    """Leases are kept, or given up."""
    tags = [one.hand.tag for one in walk.taken]
    yield claims.renew([*tags, "none"], lease_ms=LEASE_MS)


def restore(walk: Walk) -> Iterator[Call | None]:
    """Workers fall silent; what they had is taken back, and some of them live on."""
    draw = walk.draw
    walk.clockwork.passes(draw.choice([100, LEASE_MS - 1, LEASE_MS, LEASE_MS + 5_000]))
    late = draw.choice([None, None, walk.clockwork.now_ms - 1, walk.clockwork.now_ms + 1])
    for one in list(walk.taken):
        if draw.random() < 0.6:
            walk.taken.remove(one)
            walk.gone.append(one)
    yield claims.restore(most=draw.choice([1, 100]), crashes=draw.choice([1, 3]), ttl_s=TTL_S, not_after_ms=late)


def crash_again(walk: Walk) -> Iterator[Call | None]:
    """Whoever takes these jobs dies, again and again."""
    for _ in range(walk.draw.randint(2, 5)):
        walk.clockwork.passes(walk.draw.choice([300, 20_000, 200_000]))
        yield promoting.promote(most=100, horizon_ms=HORIZON_MS, ttl_s=TTL_S, takes=0, look_ms=LOOK_MS)
        yield claims.claim(LANES, most=3, lease_ms=LEASE_MS, worker="w", question=f"c{walk.number}")
        if walk.draw.random() < 0.5:
            yield from begin(walk)
        walk.clockwork.passes(LEASE_MS)
        walk.gone += walk.taken
        walk.taken.clear()
        yield claims.restore(most=100, crashes=walk.draw.choice([1, 3]), ttl_s=TTL_S)


def promote(walk: Walk) -> Iterator[Call | None]:
    """What time alone decides."""
    draw = walk.draw
    seen = None
    if draw.random() < 0.5:
        seen = (walk.clockwork.now_ms - draw.choice([0, 500, 90_000, -90_000]), draw.choice([500, 1]))
    yield promoting.promote(
        most=draw.choice([1, 3, 100]),
        horizon_ms=HORIZON_MS,
        ttl_s=TTL_S,
        takes=draw.choice([0, 1, 3]),
        look_ms=LOOK_MS,
        seen=seen,
    )


def time_passes(walk: Walk) -> Iterator[Call | None]:
    """By very little, or by very much."""
    walk.clockwork.passes(walk.draw.choice(PAUSES_MS))
    if walk.draw.random() < 0.03:
        walk.clockwork.passes(-120_000)
    yield None


def look(walk: Walk) -> Iterator[Call | None]:
    """A look-up: leave is asked for, and what was seen is told, sometimes by somebody whose turn is over."""
    if not walk.looks:
        return
    draw = walk.draw
    one = draw.choice(walk.looks[-4:])
    if draw.random() < 0.85:
        walk.looks.remove(one)
    if draw.random() < 0.9:
        for _ in range(3):
            yield looking.may_look(one, horizon_ms=HORIZON_MS)
            if isinstance(walk.answer, str):
                return
            leave = looking.leave(walk.answer)
            if isinstance(leave, looking.LookSoon):
                walk.clockwork.passes(leave.delay_ms + draw.choice([-3, 0, 0, 30]))
            else:
                break
    yield seen(walk, one)


def seen(walk: Walk, one: promoting.Look) -> Call:
    """What a look-up comes to."""
    draw = walk.draw
    told = looking.Told(
        HISTORY,
        ends.Effects(answers=draw.choice([True, False, None])),
        sightings=draw.choice([None, '[{"id":50}]']),
        cool_down_ms=draw.choice([None, None, 3_000]),
        limit=draw.choice([None, 5]),
    )
    match draw.randrange(7):
        case 0 | 1:
            return looking.again(one, told, inquiry='{"n":1}', delay_ms=draw.choice([0, 8_000]))
        case 2:
            return looking.ask_person(one, told, inquiry='{"n":2}', why="words")
        case 3 | 4:
            record, unmarked = draw.choice([50, 5]), draw.random() < 0.5
            return looking.adopt(one, told, opportunity_id=record, result={"id": 50}, unmarked=unmarked, ttl_s=TTL_S)
        case 5:
            return looking.resend(one, told, why="words")
    return looking.bury(one, told, detail="words")


def whole_doubt(walk: Walk) -> Iterator[Call | None]:
    """A create whose answer is lost, and which is looked for until somebody knows."""
    draw = walk.draw
    created = walk.draft()
    given = {"instance": created.instance, "funnel_id": 7, "title": "D", "crm_column": 130, "job_id": created.job_id}
    if draw.random() < 0.5:
        given["external_ref"] = draw.choice(walk.refs)
    job = walk.jobs[-1] = CreateOpportunity.parse(given)
    yield enqueuing.enqueue(job)
    for _ in range(6):
        walk.clockwork.passes(draw.choice([300, 2_000, 9_000]))
        yield promoting.promote(most=100, horizon_ms=HORIZON_MS, ttl_s=TTL_S, takes=0, look_ms=LOOK_MS)
        yield claims.claim(LANES, most=9, lease_ms=LEASE_MS, worker="w", question=f"d{walk.number}")
        yield from begin(walk)
        mine = [one for one in walk.taken if one.sent and isinstance(one.job, CreateOpportunity)]
        if mine:
            break
    else:
        return
    walk.taken.remove(mine[0])
    walk.gone.append(mine[0])
    call = ends.doubt(mine[0].hand, attempt=walk.attempt(), effects=ends.Effects(answers=False))
    yield recalling.as_sent(call)
    for _ in range(draw.randint(1, 4)):
        walk.clockwork.passes(draw.choice([100, 6_000, 45_000]))
        yield promoting.promote(most=100, horizon_ms=HORIZON_MS, ttl_s=TTL_S, takes=3, look_ms=LOOK_MS)
        yield from look(walk)
        if draw.random() < 0.2:
            yield from decide(walk)


def late(walk: Walk) -> Iterator[Call | None]:
    """A request left later than it was counted."""
    sent = [one for one in [*walk.taken, *walk.gone] if one.sent]
    if sent:
        one = walk.draw.choice(sent[-3:])
        assert one.sent is not None
        counted = one.sent.counted_at + walk.draw.choice([0, 0, 1])
        yield beginning.left_late(one.job.instance, counted_at=counted, late_ms=walk.draw.choice([60, 2_000]))


def decide(walk: Walk) -> Iterator[Call | None]:
    """An operator decides about a doubt, or believes that there is one."""
    draw = walk.draw
    doubts = walk.members("oppsync:in_doubt") or [one.job_id for one in walk.jobs[-3:]]
    if not doubts:
        return
    job_id = draw.choice(doubts)
    match draw.randrange(5):
        case 0 | 1:
            yield operating.adopt(
                job_id,
                opportunity_id=draw.choice([50, 5, 60]),
                result={"id": 60},
                by="me",
                ttl_s=TTL_S,
                though_taken=draw.random() < 0.3,
            )
        case 2:
            yield operating.resend(job_id, by="me")
        case 3:
            yield operating.inquire(job_id, by="me")
        case _:
            yield operating.discard(job_id, state=State.IN_DOUBT, by="me", ttl_s=TTL_S)


def replay(walk: Walk) -> Iterator[Call | None]:
    """Dead letters go back, as they are or mended; and what is no letter."""
    draw = walk.draw
    letters = walk.members("oppsync:dead")
    known = {one.job_id: one for one in walk.jobs}
    job = walk.some_job()
    if letters and draw.random() < 0.9:
        job_id = draw.choice(letters)
        job = known.get(job_id)
        if job is None:
            yield operating.replay(job_id, by="me")
            return
    if job is None:
        return
    writes = job.written() if isinstance(job, UpdateOpportunity) else ()
    if draw.random() < 0.4:
        deadline = draw.choice([None, walk.soon(50)])
        given: dict[str, Any] = {"title": "mended", "deadline": deadline}
        if isinstance(job, UpdateOpportunity) and job.opportunity_id and draw.random() < 0.5:
            given["opportunity_id"] = draw.choice([5, 6])
        mended = job.model_copy(update=given)
        writes = mended.written() if isinstance(mended, UpdateOpportunity) else ()
        yield operating.replay(job.job_id, by="me", message=encode(mended), deadline=mended.deadline, writes=writes)
        return
    yield operating.replay(job.job_id, by="me", writes=writes)


def discard(walk: Walk) -> Iterator[Call | None]:
    """A job is dropped, if it is where the operator believes it to be."""
    draw, job = walk.draw, walk.some_job()
    if job is None:
        return
    entry = walk.clockwork.client.hget(f"oppsync:job:{job.job_id}", "state")
    state = entry.decode() if isinstance(entry, bytes) else ""
    if state not in DISCARDABLE or draw.random() < 0.2:
        state = "dead"
    if draw.random() < 0.3:
        letters = walk.members("oppsync:dead")
        if letters:
            yield operating.discard(draw.choice(letters), state=State.DEAD, by="me", ttl_s=TTL_S)
            return
    yield operating.discard(job.job_id, state=State(state), by="me", ttl_s=TTL_S)


def hold(walk: Walk) -> Iterator[Call | None]:
    """Instances are held and released."""
    instance = walk.draw.choice(walk.instances)
    cause = walk.draw.choice(["operator", "credential"])
    if walk.draw.random() < 0.4:
        yield operating.hold(instance, cause=cause, note="words")
    else:
        yield operating.unhold(instance, cause=walk.draw.choice([None, None, cause]))


def budget(walk: Walk) -> Iterator[Call | None]:
    """Pauses are ended, what was learned is forgotten."""
    instance = walk.draw.choice([*walk.instances, "nobody"])
    dry = walk.draw.random() < 0.2
    yield walk.draw.choice([operating.resume, operating.forget])(instance, dry_run=dry)


def announce(walk: Walk) -> Iterator[Call | None]:
    """A worker tells what it knows; its settings may have changed."""
    draw = walk.draw
    instance = draw.choice(walk.instances)
    if draw.random() < 0.3:
        walk.pace[instance] = draw.choice(PACES)
    other = {"fingerprint": "g"} if draw.random() < 0.3 else {}
    if draw.random() < 0.2:
        walk.choices["after_dead"] = draw.choice(["go_on", "wait"])
    yield walk.announcement(instance, **other)


def show_up(walk: Walk) -> Iterator[Call | None]:
    """Workers come and go."""
    name = walk.draw.choice("vwx")
    match walk.draw.randrange(4):
        case 0:
            yield presence.gone(name)
        case 1:
            yield presence.present(name)
        case _:
            yield presence.present(name, hands=walk.draw.choice([1, 3, 250]))


def ask(walk: Walk) -> Iterator[Call | None]:
    """Small questions."""
    draw = walk.draw
    match draw.randrange(4):
        case 0:
            yield presence.watch("w", LANES, trace_s=60)
        case 1:
            yield sweeping.turn(draw.choice("vw"), every_ms=20_000)
        case 2:
            yield sweeping.lane(draw.choice(LANES), first=0, count=draw.choice([1, 50]))
        case _:
            some = [one.hand for one in [*walk.taken, *walk.gone[-3:]]]
            if some:
                yield standing.stand(draw.choice(some))


def sweep(walk: Walk) -> Iterator[Call | None]:
    """The ledger is held against itself; what cannot be found is given up."""
    draw = walk.draw
    ids = [one.job_id for one in walk.jobs[-30:]] + walk.members("oppsync:dead")[:5] + ["nobody"]
    yield sweeping.sweep(ids, ttl_s=TTL_S, patience_ms=draw.choice([0, 0, 60_000]))
    suspects: dict[str, str] = {}
    if not isinstance(walk.answer, str):
        suspects, _ = sweeping.swept(walk.answer)
    for job_id, since in list(suspects.items())[:3]:
        if draw.random() < 0.3:
            yield sweeping.lose(job_id, since=draw.choice([since, since, "1"]))
    places = dict(sweeping.PLACES)
    for instance in walk.instances:
        places |= {f"waiting:{instance}": f"oppsync:waiting:{instance}", f"held:{instance}": f"oppsync:held:{instance}"}
    for state, place in places.items():
        members = walk.members(place)
        if members:
            yield sweeping.ghosts(state.partition(":")[0], place, members)
    tags = walk.members("oppsync:leases") + [one.hand.tag for one in walk.taken]
    yield sweeping.ghosts("claim", "oppsync:leases", sorted(set(tags)))


def meddle(walk: Walk) -> Iterator[Call | None]:
    """Somebody removes something by hand, or a bug has."""
    draw, client = walk.draw, walk.clockwork.client
    job = walk.some_job()
    if job is None:
        return
    entry = f"oppsync:job:{job.job_id}"
    match draw.randrange(8):
        case 0:
            client.delete(entry)
        case 1:
            client.rpop(job.lane.queue)
        case 2:
            client.zrem(draw.choice(["oppsync:schedule", "oppsync:blocked", "oppsync:dead"]), job.job_id)
        case 3:
            client.zrem(f"oppsync:waiting:{job.instance}", job.job_id)
        case 4:
            if walk.taken:
                tag = draw.choice(walk.taken).hand.tag
                client.delete(f"oppsync:claim:{tag}")
        case 5:
            client.hdel(entry, draw.choice(["record", "message", "token", "number"]))
        case 6:
            client.zadd(draw.choice(["oppsync:schedule", "oppsync:in_doubt", "oppsync:blocked"]), {job.job_id: 1})
        case _:
            client.delete(f"oppsync:record:{job.instance}:id:5")
    yield from sweep(walk)


def forget(walk: Walk) -> Iterator[Call | None]:
    """A replica is promoted that lacks the last writes."""
    client = walk.clockwork.client
    if walk.kept is None or walk.draw.random() < 0.4:
        names = [one for one in client.keys("*") if one != b"walk:now"]
        walk.kept = {name: cast("bytes", client.dump(name)) for name in names}
    else:
        now = walk.clockwork.now_ms
        client.flushdb()
        client.set("walk:now", now)
        for name, dumped in walk.kept.items():
            client.restore(name, 0, dumped)
        walk.kept = None
    yield None


DEEDS: Final[dict[str, int]] = {
    "enqueue": 12,
    "enqueue_many": 1,
    "enqueue_at_odds": 2,
    "push": 5,
    "copy": 2,
    "claim": 5,
    "work": 30,
    "begin": 5,
    "late_question": 1,
    "settle": 6,
    "end_unbegun": 2,
    "release": 3,
    "renew": 1,
    "restore": 2,
    "crash_again": 1,
    "promote": 8,
    "time_passes": 12,
    "look": 4,
    "whole_doubt": 4,
    "late": 1,
    "decide": 3,
    "replay": 4,
    "discard": 2,
    "hold": 3,
    "budget": 1,
    "announce": 2,
    "show_up": 2,
    "ask": 2,
    "sweep": 2,
    "meddle": 2,
    "forget": 2,
}
"""What happens, and how often."""

DO: Final[dict[str, Deed]] = {name: cast("Deed", globals()[name]) for name in DEEDS}

__all__ = ["BEGINNING_MS", "Step", "Walk"]
