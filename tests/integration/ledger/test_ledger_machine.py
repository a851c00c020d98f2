"""Random lives of jobs against the real scripts: whatever meets whatever, a job is in one place and sent once.

Producers, foreign applications that send copies, workers that die, operators, and time itself take turns at random.
Time is moved by hand (leases, due times and cool-downs are rewritten in Redis), so that a failure does not depend on
how fast the machine is. After every step the whole ledger is looked at; in the end all that can go on must end.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from oppsync import CreateOpportunity, State, UpdateOpportunity
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode, read_message
from oppsync_worker.ledger import claims, ends, enqueuing, operating
from oppsync_worker.ledger.begin import Go, Soon, begin, begun
from oppsync_worker.ledger.scripts import Call, run

LANES = ["opportunities.interactive", "opportunities.bulk"]
INSTANCES = ["acme", "globex"]
CAP = {"acme": 2, "globex": 1}
REQUESTS_A_SECOND = 100
HORIZON_MS = 250
TTL_S = 86_400
A_MINUTE_MS = 60_000
CRASHES = 2

PLACES = {"scheduled": "schedule", "blocked": "blocked", "in_doubt": "in_doubt", "dead": "dead"}
ENDED = {"succeeded", "discarded", "merged", "expired"}
AT_REST = ENDED | {"dead", "in_doubt", "blocked"}
BEGUN = {"sending", "waiting", "blocked", "succeeded"}

SNAPSHOT = """
local found = {}
for _, key in ipairs(redis.call('KEYS', 'oppsync:*')) do
  local kind = redis.call('TYPE', key).ok
  local value = {}
  if kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  found[#found + 1] = { key, redis.call('TTL', key), value }
end
return { found, redis.call('LRANGE', KEYS[1], 0, -1), redis.call('LRANGE', KEYS[2], 0, -1) }
"""


@dataclass(slots=True)
class Claim:
    """A message in a worker's hands."""

    tag: str
    job: AnyJob
    sent: bool = False
    due: float = 0.0

    @property
    def hand(self) -> ends.Hand:
        """Who settles it."""
        return ends.Hand(self.tag, self.job.job_id, TTL_S)


@dataclass(slots=True)
class Ledger:
    """Everything in Redis at one moment, by key without its prefix."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)
    messages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job id -> the lanes and claims that hold a message of it."""
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Job id -> the sorted sets that it stands in."""

    @classmethod
    def look(cls, client: redis.Redis) -> "Ledger":
        """Take it all in with one script."""
        seen = cls()
        found, *lanes = client.eval(SNAPSHOT, 2, *LANES)
        for key, ttl, value in found:
            name = key.decode().removeprefix("oppsync:")
            seen.ttls[name] = ttl
            texts = [item.decode() for item in value]
            seen.hashes[name] = dict(zip(texts[::2], texts[1::2], strict=True))
        for lane, raws in zip(LANES, lanes, strict=True):
            for raw in raws:
                seen.messages[json.loads(raw)["headers"]["id"]].append(lane)
        for name, entry in seen.hashes.items():
            if name.startswith("claim:"):
                seen.messages[entry["job"]].append(name)
            elif name in PLACES.values() or name.startswith(("waiting:", "held:")):
                for job_id in entry:
                    seen.places[job_id].append(name)
        return seen

    def jobs(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every job that has an entry or stands in a place."""
        entries = {name.removeprefix("job:") for name in self.hashes if name.startswith("job:")}
        for job_id in sorted(entries | set(self.places)):
            yield job_id, self.hashes.get(f"job:{job_id}", {})

    def of(self, name: str) -> dict[str, str]:
        """One key; empty when it is not there."""
        return self.hashes.get(name, {})


@st.composite
def drafts(draw: st.DrawFn) -> AnyJob:
    """A job but for its id: any kind, lane and instance, often under one of a few keys and references."""
    creates = draw(st.integers(0, 2)) > 0
    document: dict[str, Any] = {
        "instance": draw(st.sampled_from(INSTANCES)),
        "lane": draw(st.sampled_from(["interactive", "bulk"])),
        "funnel_id": 7,
        "title": "Deal",
    }
    if draw(st.booleans()):
        document["idempotency_key"] = f"key-{draw(st.integers(0, 2))}"
    if draw(st.booleans()):
        document["external_ref"] = f"ref-{draw(st.integers(0, 2))}"
    when = draw(st.integers(0, 9))
    if when == 0:
        document["not_before"] = "2100-01-01T00:00:00Z"
    elif when == 1:
        document["deadline"] = "2020-01-01T00:00:00Z"
    if creates:
        return CreateOpportunity.parse({**document, "crm_column": 130})
    if "external_ref" not in document:
        document["opportunity_id"] = 5
    return UpdateOpportunity.parse(document)


ANSWERS = ["succeed", "succeed", "retry", "wait", "refuse", "bury", "doubt"]

ANY = st.integers(0, 999)
"""Which one of however many there are."""


class Lives(RuleBasedStateMachine):
    """All that can happen to jobs, in any order."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.known: dict[str, AnyJob] = {}
        self.copied: set[str] = set()
        self.claims: list[Claim] = []
        self.sent: dict[str, str] = {}
        """Creates that the CRM may have, and why they must not be sent again."""
        for instance in INSTANCES:
            self.announce(instance)

    def run(self, call: Call) -> Any:
        """Run a script; none may ever raise."""
        return run(self.client, call)

    def one_of(self, which: int, *, sent: bool) -> Claim | None:
        """A claim in hand that was sent already, or not."""
        candidates = [claim for claim in self.claims if claim.sent is sent]
        return candidates[which % len(candidates)] if candidates else None

    # Producers.

    @rule(draft=drafts())
    def enqueue(self, draft: AnyJob) -> None:
        """A producer of ours; doing it twice is doing it once."""
        job = draft.model_copy(update={"job_id": f"job-{len(self.known)}"})
        first = enqueuing.receipt(self.run(enqueuing.enqueue(job)))
        assert enqueuing.receipt(self.run(enqueuing.enqueue(job))) == (first[0], False)
        if first[1]:
            self.known[job.job_id] = job

    @rule(draft=drafts())
    def push(self, draft: AnyJob) -> None:
        """Another Celery application."""
        job = draft.model_copy(update={"job_id": f"job-{len(self.known)}"})
        self.known[job.job_id] = job
        self.client.lpush(job.lane.queue, encode(job))

    @rule(which=ANY)
    def push_a_copy(self, which: int) -> None:
        """A message sent twice, perhaps long after its job has ended."""
        if self.known:
            job = list(self.known.values())[which % len(self.known)]
            self.copied.add(job.job_id)
            self.client.lpush(job.lane.queue, encode(job))

    # Workers.

    @rule(most=st.integers(1, 4))
    def claim(self, most: int) -> None:
        """Take messages."""
        call = claims.claim(LANES, most=most, lease_ms=A_MINUTE_MS, worker="w")
        taken, buried = claims.claimed(self.run(call))
        assert not buried
        self.claims += [Claim(one.tag, read_message(one.message.decode())) for one in taken]

    @rule(which=ANY, again=st.booleans())
    def begin(self, which: int, again: bool) -> None:  # noqa: FBT001 - drawn
        """Ask to send, as late as a granted slot says; the answer may have to be asked for twice."""
        claim = self.one_of(which, sent=False)
        if claim is None:
            return
        time.sleep(max(0.0, claim.due - time.monotonic()))
        call = begin(claim.hand, claim.job, horizon_ms=HORIZON_MS)
        answer = begun(self.run(call))
        if isinstance(answer, Soon):
            assert answer.delay_ms <= HORIZON_MS
            claim.due = time.monotonic() + answer.delay_ms / 1000
        elif isinstance(answer, Go):
            if again:
                repeated = begun(self.run(call))
                assert isinstance(repeated, Go)
                assert repeated.attempt == answer.attempt
            self.goes(claim)
        else:
            self.claims.remove(claim)

    def goes(self, claim: Claim) -> None:
        """A request leaves."""
        job = claim.job
        claim.sent = True
        assert job.job_id not in self.sent, f"sent although {self.sent[job.job_id]}"
        if isinstance(job, CreateOpportunity):
            self.sent[job.job_id] = f"claim {claim.tag} may have created it"
        cool_until = float(self.client.hget(f"oppsync:budget:{job.instance}", "cool_until") or 0)
        seconds, _ = self.client.time()
        assert cool_until < (seconds + 10) * 1000, f"{job.job_id} was sent while {job.instance} cools down"
        assert not self.client.exists(f"oppsync:hold:{job.instance}"), "sent while its instance is on hold"

    @rule(most=st.integers(1, 4), answers=st.lists(st.sampled_from(ANSWERS), max_size=3))
    def work(self, most: int, answers: list[str]) -> None:
        """A worker at its usual business."""
        self.claim(most)
        for which in range(most):
            self.begin(which, again=False)
        for answer in answers:
            self.settle(0, answer)

    @rule(which=ANY, how=st.sampled_from(ANSWERS))
    def settle(self, which: int, how: str) -> None:
        """An answer came, or did not; the script may have to be asked twice."""
        claim = self.one_of(which, sent=True)
        if claim is None:
            return
        self.claims.remove(claim)
        hand, attempt = claim.hand, ends.Attempt("", 1, 1, 500, "E", "said")
        match how:
            case "doubt" if isinstance(claim.job, CreateOpportunity):
                call = ends.doubt(hand, attempt=attempt)
            case "retry":
                call = ends.reschedule(hand, delay_ms=A_MINUTE_MS, attempt=attempt)
            case "wait":
                call = ends.wait(hand, cool_down_ms=A_MINUTE_MS, limit=None, attempt=attempt)
            case "refuse":
                call = ends.refuse_credential(hand, fingerprint="one", attempt=attempt)
            case "bury":
                call = ends.bury(hand, cause=Cause.REJECTED, detail="said", attempt=attempt)
            case _:
                call = ends.succeed(hand, opportunity_id=9, result={})
        state = ends.ended(self.run(call))
        self.run(call)
        # Provably not carried out, and recorded so: it may go again.
        if state is not None and how in {"retry", "wait", "refuse"}:
            self.sent.pop(claim.job.job_id, None)

    @rule(which=ANY, held=st.booleans(), named=st.booleans())
    def settle_before_beginning(self, which: int, held: bool, named: bool) -> None:  # noqa: FBT001 - drawn
        """A worker that does not know the instance, or an older one that cannot read the job."""
        claim = self.one_of(which, sent=False)
        if claim is None:
            return
        self.claims.remove(claim)
        hand, job = claim.hand, claim.job
        if held:
            self.run(ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane))
        else:
            instance = job.instance if named else None
            self.run(ends.bury(hand, cause=Cause.INVALID, detail="said", kind=job.kind, instance=instance))

    @rule(which=ANY)
    def release(self, which: int) -> None:
        """A worker stops of its own will."""
        claim = self.one_of(which, sent=False)
        if claim is not None:
            self.claims.remove(claim)
            self.run(claims.release(claim.tag))

    @rule(which=ANY, sent=st.booleans(), dies=st.booleans())
    def lose(self, which: int, sent: bool, dies: bool) -> None:  # noqa: FBT001 - drawn
        """A worker is silent past its lease: dead, or only frozen and soon to go on with a stale claim."""
        claim = self.one_of(which, sent=sent)
        if claim is None:
            return
        if dies:
            self.claims.remove(claim)
        self.client.zadd("oppsync:leases", {claim.tag: 1}, xx=True)
        self.run(claims.restore(most=10, crashes=CRASHES, ttl_s=TTL_S))
        assert self.run(claims.renew([claim.tag], lease_ms=A_MINUTE_MS)) == [claim.tag.encode()]

    # Time.

    @rule(most=st.sampled_from([1, 2, 100]))
    def promote(self, most: int) -> None:
        """What time alone decides."""
        for job_id, _ in self.client.zscan_iter("oppsync:schedule"):
            self.client.zadd("oppsync:schedule", {job_id: 1})
        for instance, _ in self.client.zscan_iter("oppsync:slots"):
            self.client.zadd("oppsync:slots", {instance: 1})
        self.run(Call("promote", (most, HORIZON_MS)))

    @rule(instance=st.sampled_from(INSTANCES))
    def cool_down_ends(self, instance: str) -> None:
        """A minute passes."""
        self.client.hdel(f"oppsync:budget:{instance}", "cool_until", "next")

    @rule(instance=st.sampled_from(INSTANCES))
    def announce(self, instance: str, fingerprint: str = "one") -> None:
        """A worker tells what it knows."""
        budget = (REQUESTS_A_SECOND, 1000, CAP[instance], A_MINUTE_MS)
        self.run(Call("instance", (instance, *budget, fingerprint)))

    # Operators.

    @rule(instance=st.sampled_from(INSTANCES), on=st.booleans())
    def hold(self, instance: str, on: bool) -> None:  # noqa: FBT001 - drawn
        """Hold an instance, or release it."""
        self.run(operating.hold(instance, cause="operator", note="") if on else operating.unhold(instance))

    @rule(which=ANY)
    def replay(self, which: int) -> None:
        """Replay a dead letter: whoever does it says that it may be sent again."""
        letters = cast("list[bytes]", self.client.zrange("oppsync:dead", 0, -1))
        if letters:
            job_id = letters[which % len(letters)].decode()
            assert operating.word(self.run(operating.replay(job_id, by="me"))) == "dead"
            self.sent.pop(job_id, None)

    @rule(which=ANY, state=st.sampled_from([State.DEAD, State.WAITING, State.HELD, State.BLOCKED, State.SCHEDULED]))
    def discard(self, which: int, state: State) -> None:
        """Drop a job, if it is where the operator believes it to be."""
        if self.known:
            job_id = list(self.known)[which % len(self.known)]
            self.run(operating.discard(job_id, state=state, by="me", ttl_s=TTL_S))

    # What must always be true.

    @invariant()
    def all_is_well(self) -> None:
        """Look at everything."""
        seen = Ledger.look(self.client)
        self.every_job_is_in_exactly_one_place(seen)
        self.what_names_a_job_is_filed(seen)
        self.leases_and_slots_belong_to_somebody(seen)

    def every_job_is_in_exactly_one_place(self, seen: Ledger) -> None:
        """The one that its state names; and its message is there, once."""
        for job_id, entry in seen.jobs():
            state, instance = entry.get("state", "no entry"), entry.get("instance", "")
            place = f"{state}:{instance}" if state in {"waiting", "held"} else PLACES.get(state)
            assert seen.places[job_id] == ([place] if place else []), f"{job_id} is {state}"
            assert bool(entry.get("message")) == bool(place), f"{job_id} is {state}; has it a message there?"
            assert (seen.ttls[f"job:{job_id}"] > 0) == (state in ENDED), (
                f"{job_id} is {state}: is it forgotten in time?"
            )
            elsewhere = seen.messages[job_id]
            if state in {"queued", "no entry"}:
                assert elsewhere, f"{job_id} is {state}, and its message is nowhere"
            if state == "sending":
                assert f"claim:{entry['token']}" in elsewhere, f"{job_id} is sent by nobody"
            if job_id in self.known and job_id not in self.copied:
                travelling = state in {"queued", "sending", "no entry"}
                assert len(elsewhere) == travelling, f"{job_id} is {state}, with messages in {elsewhere}"

    def what_names_a_job_is_filed(self, seen: Ledger) -> None:
        """Or a twin would be created, and updates would wait for ever."""
        succeeded: dict[tuple[str, str], str] = {}
        for job_id, entry in seen.jobs():
            job = self.known.get(job_id)
            begun_before = entry.get("state") in BEGUN or (entry.get("state") == "scheduled" and "attempts" in entry)
            if job is None or not begun_before:
                continue
            assert entry.get("ref") == job.external_ref, job_id
            assert entry.get("key") == job.idempotency_key, job_id
            if job.idempotency_key and entry["state"] == "succeeded":
                other = succeeded.setdefault((job.instance, job.idempotency_key), job_id)
                assert other == job_id, f"{other} and {job_id} succeeded under one idempotency key"
        for name, entry in seen.hashes.items():
            if name.startswith("blocked:"):
                _, instance, ref = name.split(":", 2)
                for job_id in entry:
                    blocked = seen.of(f"job:{job_id}")
                    assert (blocked["state"], blocked["instance"], blocked["ref"]) == ("blocked", instance, ref)

    def leases_and_slots_belong_to_somebody(self, seen: Ledger) -> None:
        """No claim without a lease, no place in flight without a call, no line that nobody looks at."""
        tags = {name.removeprefix("claim:") for name in seen.hashes if name.startswith("claim:")}
        assert tags == set(seen.of("leases"))
        for instance in INSTANCES:
            in_flight = seen.of(f"inflight:{instance}")
            assert len(in_flight) <= CAP[instance]
            for job_id in in_flight:
                entry = seen.of(f"job:{job_id}")
                granted = entry["state"] == "queued" and "slot_at" in entry
                assert granted or entry["state"] == "sending", f"{job_id} keeps a place in flight, but is {entry}"
            if seen.of(f"waiting:{instance}") and not seen.of(f"hold:{instance}"):
                assert instance in seen.of("slots"), f"nobody looks at the line of {instance}"

    def teardown(self) -> None:
        """Every worker dies, every hold is lifted, all time passes: nothing may be left that could go on."""
        while self.claims:
            self.lose(0, self.claims[0].sent, dies=True)
        for _ in range(50):
            for instance in INSTANCES:
                self.hold(instance, on=False)
                self.cool_down_ends(instance)
                self.announce(instance, "another")
            self.promote(100)
            self.claim(100)
            while self.claims:
                self.begin(0, again=False)
                self.settle(0, "succeed")
            self.all_is_well()
            seen = Ledger.look(self.client)
            on_the_way = [job_id for job_id, entry in seen.jobs() if entry.get("state") not in AT_REST | {"scheduled"}]
            later = [job_id for job_id in seen.of("schedule") if self.known[job_id].not_before is None]
            if not (on_the_way or later or any(self.client.llen(lane) for lane in LANES)):
                break
        else:
            raise AssertionError(f"stuck: {on_the_way or later}")
        for job_id in seen.of("blocked"):
            entry = seen.of(f"job:{job_id}")
            assert entry["ref"] not in seen.of(f"refs:{entry['instance']}"), f"{job_id} waits for a known reference"
        super().teardown()


def test_whatever_happens_a_job_is_in_one_place_and_sent_once(ledger: redis.Redis) -> None:
    """A few thousand steps, another way each time."""

    class Here(Lives):
        """On this server."""

        client = ledger

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
