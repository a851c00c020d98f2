"""All that can happen to jobs, in any order: the rules of the state machine in `test_ledger_machine`.

Producers, foreign applications that send copies, workers that die or freeze, look-ups, operators, and time itself take
turns at random. Time is moved by hand (leases, due times and cool-downs are rewritten in Redis), so that a failure does
not depend on how fast the machine is.
"""

import itertools
import time
from collections import defaultdict
from decimal import Decimal
from typing import Any, cast

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from integration.ledger import laws
from integration.ledger.aborting import abort
from integration.ledger.desk import LANES, push_as_before
from integration.ledger.drawn import A_MINUTE_MS, ANSWERS, ANY, ENDINGS, INSTANCES, SEEN, TTL_S, Claim, Focus, drafts
from integration.ledger.meddled import meddled
from integration.ledger.snapshot import Snapshot
from oppsync import CreateOpportunity, State, UpdateOpportunity
from oppsync_ops import redis_server
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import digest, encode, read_message
from oppsync_worker.ledger import claims, ends, enqueuing, looking, operating, presence, sweeping
from oppsync_worker.ledger.assembly import load
from oppsync_worker.ledger.begin import Go, Parked, Soon, Stale, begin, begun
from oppsync_worker.ledger.chains import run_in_order
from oppsync_worker.ledger.promoting import Look, promoted
from oppsync_worker.ledger.scripts import Call, run
from stage import claiming, time_passes, told

CAP = {"acme": 2, "globex": 1}
REQUESTS_A_SECOND = 100
HORIZON_MS = 250
IN_TIME_S = 0.005
"""How late a question may be asked anew at this pace: half a percent of the window."""
CRASHES = 2
MEDDLING = ["", "forget", "teach", "teach"]


AT_REST = laws.ENDED | {"dead", "in_doubt", "blocked"}


def units(jobs: list[AnyJob]) -> Call:
    """Several jobs in one run of the script, fewer than producers put there."""
    return Call("enqueue", ("", 0, *(part for job in jobs for part in enqueuing.enqueue(job).arguments[2:])))


def as_elsewhere(message: str) -> str:
    """A message as another application writes it."""
    return message.replace('"origin":"oppsync"', '"origin":"elsewhere"')


class Lives(RuleBasedStateMachine):
    """The rules, and what the CRM would have seen of them."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.known: dict[str, AnyJob] = {}
        self.raw: dict[str, str] = {}
        self.copied: set[str] = set()
        self.unseen: set[str] = set()
        """Jobs that came into a lane without a slot: another application's, and those of the version before."""
        self.numbers = itertools.count()
        self.questions = itertools.count(1)
        self.asked: list[Call] = []
        self.claims: list[Claim] = []
        self.looks: list[Look] = []
        self.looked_for: set[str] = set()
        self.sent: dict[str, str] = {}
        """Creates that the CRM may have, and why they must not be sent again."""
        self.written: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
        """Record and field -> the updates that may have written it, by job id, with their numbers."""
        self.unsure: dict[tuple[str, str], str] = {}
        """Record -> the update of which an answer was lost, and which may still be carried out."""
        self.successes: dict[str, int] = defaultdict(int)
        self.first_refused: dict[str, int] = {}
        """Instance -> how often it succeeded; and how often it had when a job was refused first."""
        self.focus = Focus.EVERYTHING
        self.abort_at = 0
        """Before which of its writes the next script is aborted; 0 for none."""
        self.ending = False
        """Whether all time passes but that of jobs for the year 2100: taken for due, they would only take slots."""
        for instance in INSTANCES:
            self.announce(instance, after_dead="go_on")

    @initialize(focus=st.sampled_from(Focus))
    def looks_at(self, focus: Focus) -> None:
        """Choose what this life is about."""
        self.focus = focus

    def focused(self, draft: AnyJob) -> AnyJob:
        """The draft as a job of this life."""
        given: dict[str, Any] = {"job_id": f"job-{next(self.numbers)}"}
        if self.focus is not Focus.EVERYTHING:
            given["instance"] = "acme"
        if self.focus is Focus.RECORD:
            names = ("title", "value", "fields", "lane", "deadline")
            kept = {name: value for name in names if (value := getattr(draft, name)) is not None}
            return UpdateOpportunity(funnel_id=7, opportunity_id=5, **kept, **given)
        return draft.model_copy(update=given)

    def run(self, call: Call) -> Any:
        """Run a script; none may ever raise, unless it is aborted: then it is asked again, as callers do."""
        if self.abort_at:
            at, self.abort_at = self.abort_at, 0
            aborted, answer = abort(self.client, call, at)
            if not aborted:
                return answer
            self.all_is_well()
        return run(self.client, call)

    @rule(write=st.integers(1, 16))
    def the_next_script_is_aborted(self, write: int) -> None:
        """For want of a right, or of memory, or by a bug."""
        self.abort_at = write

    def entry(self, job_id: str) -> dict[str, str]:
        """A job's entry."""
        fields = cast("dict[bytes, bytes]", self.client.hgetall(f"oppsync:job:{job_id}"))
        return {name.decode(): value.decode() for name, value in fields.items()}

    def one_of(self, which: int, *, sent: bool) -> Claim | None:
        """A claim in hand that was sent already, or not."""
        candidates = [claim for claim in self.claims if claim.sent is sent]
        return candidates[which % len(candidates)] if candidates else None

    # Producers.

    @rule(draft=drafts())
    def enqueue(self, draft: AnyJob) -> None:
        """A producer of ours; doing it twice is doing it once."""
        job = self.focused(draft)
        first = enqueuing.receipt(self.run(enqueuing.enqueue(job)))
        again = enqueuing.receipt(self.run(enqueuing.enqueue(job)))
        assert again == (first[0], False)
        if first[1]:
            self.known[job.job_id] = job
            self.raw[job.job_id] = encode(job)

    @rule(
        batch=st.lists(drafts(), min_size=2, max_size=8),
        unit=st.integers(1, 4),
        meddling=st.lists(st.sampled_from(MEDDLING), max_size=8),
    )
    def enqueue_many(self, batch: list[AnyJob], unit: int, meddling: list[str]) -> None:
        """A batch, some jobs per call, while Redis forgets scripts and others teach them between two of its calls."""
        jobs = [self.focused(draft) for draft in batch]
        calls = [units(jobs[start : start + unit]) for start in range(0, len(jobs), unit)]
        happenings = iter(meddling)

        def between(_: int) -> None:
            match next(happenings, ""):
                case "forget":
                    self.client.script_flush()
                case "teach":
                    self.client.script_load(load("enqueue").text)

        port = self.client.connection_pool.connection_kwargs["port"]
        with meddled(redis_server.url_at(port), between) as producer:
            answers = [one for answer in run_in_order(producer._redis, calls) for one in answer]
        new = [job for job, answer in zip(jobs, answers, strict=True) if answer[1] == 1]
        for job in new:
            self.known[job.job_id] = job
            self.raw[job.job_id] = encode(job)
        # Their messages tell nothing of it: which of those that have a slot is sent first, is left to chance.
        entries = [self.entry(job.job_id) for job in new]
        for named in ("number", "at"):
            said = [int(entry[named]) for entry in entries if named in entry]
            assert said == sorted(said), "a later job of a batch has overtaken an earlier one"

    @rule(which=ANY, by_key=st.booleans())
    def enqueue_at_odds(self, which: int, by_key: bool) -> None:  # noqa: FBT001 - drawn
        """Something else under a taken id or key: it is told, and the job that stands is left as it is."""
        known = [job for job in self.known.values() if not by_key or job.idempotency_key]
        if not known:
            return
        stands = known[which % len(known)]
        other = stands.model_copy(update={"title": "Another", **({"job_id": "another"} if by_key else {})})
        entry = self.entry(stands.job_id)
        named = self.entry_under_key(stands) if by_key else entry
        if not named.get("digest"):
            return
        answer = self.run(enqueuing.enqueue(other))
        ((_, created, *_),) = answer
        assert created == (-1 if named["digest"] != digest(other) else 0), f"{answer}: {named} and {other}"
        assert self.entry(stands.job_id) == entry
        assert not self.entry("another")

    def entry_under_key(self, job: AnyJob) -> dict[str, str]:
        """The entry of the job that stands under this one's key."""
        first = self.client.get(f"oppsync:idem:{job.instance}:{job.idempotency_key}")
        return self.entry(first.decode()) if first else {}

    @rule()
    def scripts_are_forgotten(self) -> None:
        """Redis was restarted, or told to."""
        self.client.script_flush()

    @rule(draft=drafts())
    def push(self, draft: AnyJob) -> None:
        """Another Celery application."""
        job = self.focused(draft)
        self.known[job.job_id] = job
        self.raw[job.job_id] = as_elsewhere(encode(job))
        self.unseen.add(job.job_id)
        self.client.lpush(job.lane.queue, self.raw[job.job_id])

    @rule(draft=drafts())
    def enqueue_as_before(self, draft: AnyJob) -> None:
        """A producer of the version before: every job goes into its lane."""
        job = self.focused(draft)
        if job.not_before is None and job.idempotency_key is None:
            self.known[job.job_id] = job
            self.raw[job.job_id] = encode(job)
            self.unseen.add(job.job_id)
            push_as_before(self.client, job)

    @rule(hands=st.sampled_from([1, 2, 3, 250]))
    def hands(self, hands: int) -> None:
        """Workers come and go."""
        self.run(presence.present("w", hands=hands))

    @rule(which=ANY, strange=st.booleans())
    def push_a_copy(self, which: int, strange: bool) -> None:  # noqa: FBT001 - drawn
        """A message sent twice, perhaps long after its job has ended; or something else under its id."""
        if self.known:
            job = list(self.known.values())[which % len(self.known)]
            self.copied.add(job.job_id)
            raw = self.raw[job.job_id]
            if strange:
                raw = as_elsewhere(encode(job.model_copy(update={"value": Decimal("9.00")})))
            self.client.lpush(job.lane.queue, raw)

    # Workers.

    @rule(most=st.integers(1, 4))
    def claim(self, most: int) -> None:
        """Take messages."""
        call = claiming(LANES, most=most, lease_ms=A_MINUTE_MS)
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
        call = begin(claim.hand, claim.job, horizon_ms=HORIZON_MS, number=next(self.questions))
        first_asked = time.monotonic()
        answer = begun(self.run(call))
        self.asked.append(call)
        if isinstance(answer, Soon):
            assert answer.delay_ms <= HORIZON_MS
            claim.due = time.monotonic() + answer.delay_ms / 1000
        elif isinstance(answer, Go):
            if again:
                anew = begin(claim.hand, claim.job, horizon_ms=HORIZON_MS, number=next(self.questions))
                repeated = begun(self.run(anew))
                if isinstance(repeated, Parked):
                    # Asked again so late, on a busy machine, that its place in the window is over: it gets another.
                    assert repeated.state is State.WAITING
                    assert time.monotonic() - first_asked > IN_TIME_S
                    self.claims.remove(claim)
                    return
                assert isinstance(repeated, Go)
                assert (repeated.attempt, repeated.overwritten) == (answer.attempt, answer.overwritten)
            self.goes(claim, answer)
        else:
            self.claims.remove(claim)

    @rule(which=ANY)
    def question_arrives_late(self, which: int) -> None:
        """A link that stood still delivers one once more, long after it was answered: nobody hears what it says."""
        if self.asked:
            late = begun(self.run(self.asked[which % len(self.asked)]))
            assert late in (Stale(), Parked(State.UNKNOWN, "lost"))

    def goes(self, claim: Claim, go: Go) -> None:
        """A request leaves."""
        job = claim.job
        claim.sent = True
        assert job.job_id not in self.sent, f"sent although {self.sent[job.job_id]}"
        if isinstance(job, CreateOpportunity):
            self.sent[job.job_id] = f"claim {claim.tag} may have created it"
        else:
            self.overwrites_nothing_newer(claim, go)
        budget = cast("dict[bytes, bytes]", self.client.hgetall(f"oppsync:budget:{job.instance}"))
        soon_ms = (self.client.time()[0] + 10) * 1000
        assert float(budget.get(b"cool_until", 0)) < soon_ms, f"{job.job_id} was sent while {job.instance} cools down"
        assert float(budget.get(b"open_until", 0)) < soon_ms, f"{job.job_id} was sent although the breaker is open"
        if b"trips" in budget:
            assert budget.get(b"trial") == job.job_id.encode(), f"{job.job_id} is not the trial"
        assert not self.client.exists(f"oppsync:hold:{job.instance}"), "sent while its instance is on hold"

    def overwrites_nothing_newer(self, claim: Claim, go: Go) -> None:
        """No field is sent that a newer update has written, or may write yet."""
        job, entry = claim.job, self.entry(claim.job.job_id)
        record = (job.instance, f"id:{go.opportunity_id}")
        assert entry["record"] == record[1]
        claim.number, claim.fields = int(entry["number"]), job.without(go.overwritten).written()
        assert self.unsure.get(record, job.job_id) == job.job_id, f"{self.unsure[record]} may be carried out still"
        for field in claim.fields:
            others = {one: number for one, number in self.written[*record, field].items() if one != job.job_id}
            newer = {one: number for one, number in others.items() if number > claim.number}
            assert not newer, f"{job.job_id} writes {field} of {record} over {newer}"
            self.written[*record, field][job.job_id] = claim.number

    @rule(most=st.integers(1, 4), answers=st.lists(st.sampled_from(ANSWERS), max_size=3))
    def work(self, most: int, answers: list[str]) -> None:
        """A worker at its usual business."""
        self.claim(most)
        for which in range(most):
            self.begin(which, again=False)
        for answer in answers:
            self.settle(0, answer)

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=4, max_size=8))
    def time_and_work(self, answers: list[str]) -> None:
        """What is due goes on, and is worked off, one by one."""
        for answer in answers:
            self.promote(100)
            self.work(1, [answer])

    @rule(which=ANY, how=st.sampled_from(ANSWERS))
    def settle(self, which: int, how: str) -> None:
        """An answer came, or did not; the script may have to be asked twice."""
        claim = self.one_of(which, sent=True)
        if claim is None:
            return
        self.claims.remove(claim)
        if self.focus is Focus.FAILING and how in {"succeed", "bury"} and which % 3:
            how = "unsent"
        call, carried_out = ENDINGS[how](claim)
        entry, paused_till = self.entry(claim.job.job_id), self.paused_till(claim.job.instance)
        token = entry.get("token")
        state = ends.ended(self.run(call))
        self.run(call)
        if token != claim.tag:
            assert state is None
            assert self.entry(claim.job.job_id) == entry, "whoever owns the job no more has changed it"
        elif state is not None:
            assert "crashes" not in self.entry(claim.job.job_id), "a worker that came to an end was not taken down"
        if state is not None and how.startswith("refuse"):
            self.is_refused_by_right(claim.job, state)
        elif state == State.SUCCEEDED:
            self.successes[claim.job.instance] += 1
        if how != "succeed":
            assert self.paused_till(claim.job.instance) >= paused_till, "a throttle has made a pause shorter"
        if state is not None and carried_out is False:
            # Provably not carried out, and recorded so: it may go again.
            self.sent.pop(claim.job.job_id, None)
            self.unwrite(claim)
        if state is not None and carried_out is None and isinstance(claim.job, UpdateOpportunity):
            assert token == claim.tag
            self.is_unsure(claim.job.job_id)

    def is_refused_by_right(self, job: AnyJob, state: State) -> None:
        """A job dies of it only if others succeed; an instance is held only if others are refused as well."""
        succeeded, first = self.successes[job.instance], self.first_refused
        before = first.setdefault(job.job_id, succeeded)
        assert state in {State.SCHEDULED, State.HELD, State.DEAD}
        if state == State.DEAD:
            assert succeeded > before, f"{job.job_id} is dead of a refusal, and nobody has succeeded since its first"
        if state == State.HELD:
            assert self.client.exists(f"oppsync:hold:{job.instance}")
            others = [one for one in first if one != job.job_id and self.known[one].instance == job.instance]
            assert others, f"{job.instance} is held because one job alone was refused"

    def paused_till(self, instance: str) -> float:
        """Until when nobody calls the instance."""
        return float(self.client.hget(f"oppsync:budget:{instance}", "cool_until") or 0)

    def is_unsure(self, job_id: str) -> None:
        """The update may be carried out still."""
        entry = self.entry(job_id)
        if "record" in entry:
            self.unsure[entry["instance"], entry["record"]] = job_id

    def unwrite(self, claim: Claim) -> None:
        """It has written nothing after all; but an earlier attempt of it may have."""
        if self.unsure.get((claim.job.instance, f"id:{claim.job.target}")) != claim.job.job_id:
            for writers in self.written.values():
                writers.pop(claim.job.job_id, None)

    @rule(which=ANY, held=st.booleans(), named=st.booleans())
    def settle_before_beginning(self, which: int, held: bool, named: bool) -> None:  # noqa: FBT001 - drawn
        """A worker that does not know the instance, or an older one that cannot read the job."""
        claim = self.one_of(which, sent=False)
        if claim is None:
            return
        self.claims.remove(claim)
        hand, job, entry = claim.hand, claim.job, self.entry(claim.job.job_id)
        if held:
            self.run(ends.hold_unknown_instance(hand, kind=job.kind, instance=job.instance, lane=job.lane))
        else:
            instance = job.instance if named else None
            self.run(ends.bury(hand, cause=Cause.INVALID, detail="said", kind=job.kind, instance=instance))
        if entry.get("state") == "sending":
            assert self.entry(job.job_id) == entry, "a copy has changed a job that is being sent"

    @rule(which=ANY, sent=st.booleans())
    def release(self, which: int, sent: bool) -> None:  # noqa: FBT001 - drawn
        """A worker stops of its own will; what it has sent it keeps in hand."""
        claim = self.one_of(which, sent=sent)
        if claim is None:
            return
        entry = self.entry(claim.job.job_id)
        answer = self.run(claims.release(claim.tag))
        if sent:
            assert answer == 0, "a request that is on its way was handed back"
            assert self.entry(claim.job.job_id) == entry
        else:
            self.claims.remove(claim)
            if answer == 1:
                self.is_first_again(claim)

    @rule(which=ANY, begun_unheard=st.booleans(), late=st.booleans())
    def give_back(self, which: int, begun_unheard: bool, late: bool) -> None:  # noqa: FBT001 - drawn
        """Redis did not say whether it may be sent, or nobody heard it; the worker tells that it has not been."""
        claim = self.one_of(which, sent=False)
        if claim is None:
            return
        self.claims.remove(claim)
        job_id, attempts = claim.job.job_id, self.entry(claim.job.job_id).get("attempts", "0")
        if begun_unheard:
            call = begin(claim.hand, claim.job, horizon_ms=HORIZON_MS, number=next(self.questions))
            self.run(call)
            self.asked.append(call)
        if late:
            self.client.zadd("oppsync:leases", {claim.tag: 1}, xx=True)
            self.run(claims.restore(most=10, crashes=CRASHES, ttl_s=TTL_S))
        token = self.entry(job_id).get("token")
        doubted = isinstance(claim.job, CreateOpportunity) and token == claim.tag
        job = claim.job
        call = ends.not_begun(claim.hand, kind=job.kind, instance=job.instance, lane=job.lane)
        self.run(call)
        self.run(call)
        entry = self.entry(job_id)
        if doubted:
            assert entry["state"] not in {"sending", "in_doubt"}, f"{job_id} was never sent, and is {entry['state']}"
            assert entry["attempts"] == attempts, "an attempt that never was is counted"

    def is_first_again(self, claim: Claim) -> None:
        """Who comes back unread comes before all that came after it."""
        if "state" not in self.entry(claim.job.job_id):
            first = read_message(self.client.lindex(claim.job.lane.queue, -1))
            assert first.job_id == claim.job.job_id, f"{claim.job.job_id} was put behind {first.job_id}"

    @rule(which=ANY)
    def a_claim_is_removed_by_hand(self, which: int) -> None:
        """With a request on its way; then a copy of its message comes."""
        claim = self.one_of(which, sent=True)
        if claim is None or self.entry(claim.job.job_id).get("token") != claim.tag:
            return
        job_id, creates = claim.job.job_id, isinstance(claim.job, CreateOpportunity)
        if self.entry(job_id)["state"] != "sending":
            return
        self.claims.remove(claim)
        self.client.delete(f"oppsync:claim:{claim.tag}")
        self.client.zrem("oppsync:leases", claim.tag)
        self.copied.add(job_id)
        self.client.rpush(claim.job.lane.queue, self.raw[job_id])
        before, self.abort_at = len(self.claims), 0
        self.claim(100)
        copies = [at for at in range(before, len(self.claims)) if self.claims[at].job.job_id == job_id]
        copy = self.claims.pop(copies[0])
        if not creates:
            self.is_unsure(job_id)
        answer = begun(self.run(begin(copy.hand, copy.job, horizon_ms=HORIZON_MS, number=next(self.questions))))
        if creates:
            assert answer == Parked(State.IN_DOUBT, "in_doubt"), (
                f"nobody knows what became of {job_id}, and the answer is {answer}"
            )
        elif isinstance(answer, Go):
            self.claims.append(copy)
            self.goes(copy, answer)
        elif isinstance(answer, Soon):
            self.claims.append(copy)

    @rule(which=ANY, sent=st.booleans(), dies=st.booleans())
    def lose(self, which: int, sent: bool, dies: bool) -> None:  # noqa: FBT001 - drawn
        """A worker is silent past its lease: dead, or only frozen and soon to go on with a stale claim."""
        claim = self.one_of(which, sent=sent)
        if claim is None:
            return
        if dies:
            self.claims.remove(claim)
        token = self.entry(claim.job.job_id).get("token")
        owned = self.client.exists(f"oppsync:claim:{claim.tag}")
        self.client.zadd("oppsync:leases", {claim.tag: 1}, xx=True)
        _, _, buried = self.run(claims.restore(most=10, crashes=CRASHES, ttl_s=TTL_S))
        if owned and not buried:
            self.is_first_again(claim)
        assert self.run(claims.renew([claim.tag], lease_ms=A_MINUTE_MS)) == [claim.tag.encode()]
        if claim.sent and token == claim.tag and isinstance(claim.job, UpdateOpportunity):
            self.is_unsure(claim.job.job_id)

    # Look-ups.

    @rule(takes=st.integers(1, 3))
    def take_on_looks(self, takes: int) -> None:
        """A worker looks into doubts."""
        for job_id, _ in self.client.zscan_iter("oppsync:probes"):
            self.client.zadd("oppsync:probes", {job_id: 1})
        self.looks += promoted(self.run(time_passes(takes=takes))).looks
        self.looked_for |= {look.job_id for look in self.looks}

    @rule(which=ANY, asked=st.booleans(), how=st.sampled_from(SEEN))
    def look(self, which: int, asked: bool, how: str) -> None:  # noqa: FBT001 - drawn
        """It asks for leave, or does not even come to it; then it tells what it saw."""
        if not self.looks:
            return
        look = self.looks.pop(which % len(self.looks))
        others = {f"look/{one.token}/{one.job_id}" for one in self.looks} & self.places(look.instance)
        self.tell_of_look(look, how, asked=asked)
        assert others <= self.places(look.instance), "a look-up has freed the place of another one"

    def places(self, instance: str) -> set[str]:
        """Whose calls count as in flight, and may still be under way."""
        return {one.decode() for one in self.client.zrangebyscore(f"oppsync:inflight:{instance}", 2, "+inf")}

    def tell_of_look(self, look: Look, how: str, *, asked: bool) -> None:
        """It asks for leave, and tells."""
        if asked:
            leave = looking.leave(self.run(looking.may_look(look, horizon_ms=HORIZON_MS)))
            if isinstance(leave, looking.LookNever):
                return
        told_of = looking.Told("{}", ends.Effects(answers=how != "again"))
        match how:
            case "again" | "more":
                call = looking.again(look, told_of, inquiry="{}", delay_ms=0 if how == "more" else A_MINUTE_MS)
            case "person":
                call = looking.ask_person(look, told_of, inquiry="{}", why="said")
            case "adopt":
                call = looking.adopt(look, told_of, opportunity_id=50, result={}, unmarked=True, ttl_s=TTL_S)
            case "resend":
                call = looking.resend(look, told_of, why="said")
            case _:
                call = looking.bury(look, told_of, detail="said")
        current = self.entry(look.job_id).get("probe_token")
        state = self.run(call).decode()
        assert state == "lost" or current == look.token, "whoever looks no more has changed something"
        if state in {"scheduled", "dead"}:
            self.sent.pop(look.job_id, None)

    @rule(which=ANY)
    def lose_a_look(self, which: int) -> None:
        """A worker dies over it."""
        if self.looks:
            self.looks.pop(which % len(self.looks))

    # Time.

    @rule(most=st.sampled_from([1, 2, 100]))
    def promote(self, most: int) -> None:
        """What time alone decides."""
        for place in ("schedule", "slots"):
            for member, _ in self.client.zscan_iter(f"oppsync:{place}"):
                job = self.known.get(member.decode())
                if not (self.ending and job and job.not_before):
                    self.client.zadd(f"oppsync:{place}", {member: 1})
        before = {lane: self.client.lrange(lane, 0, -1) for lane in LANES}
        self.run(time_passes(most=most))
        for lane, lay in before.items():
            assert self.client.lrange(lane, 0, -1)[: len(lay)] == lay, "whoever has a slot was put behind others"

    @rule(instance=st.sampled_from(INSTANCES), forgets=st.booleans())
    def a_person_ends_a_pause(self, instance: str, forgets: bool) -> None:  # noqa: FBT001 - drawn
        """Or has an instance forget what throttles taught."""
        self.run(operating.forget(instance) if forgets else operating.resume(instance))
        if not forgets:
            assert self.paused_till(instance) == 0
            due = self.client.zscore("oppsync:slots", instance)
            assert due is None or due <= time.time() * 1000 + 1000, "the pause is over, and its line is not looked at"

    @rule(instance=st.sampled_from(INSTANCES))
    def cool_down_ends(self, instance: str) -> None:
        """A minute passes; so does the breaker's pause, and whatever a look-up or a trial has kept that was lost."""
        budget = f"oppsync:budget:{instance}"
        for member, _ in self.client.zscan_iter(f"oppsync:inflight:{instance}"):
            if member.startswith(b"look/"):
                self.client.zadd(f"oppsync:inflight:{instance}", {member: 1})
                self.client.zadd("oppsync:calls", {member: 1})
        self.client.hdel(budget, "cool_until", "next", "trial_until")
        if self.client.hexists(budget, "open_until"):
            self.client.hset(budget, "open_until", 1)

    @rule()
    def updates_have_landed(self) -> None:
        """Whatever the CRM might still have carried out, it has."""
        for key in self.client.scan_iter("oppsync:unsure:*"):
            self.client.delete(key)
        self.unsure.clear()

    @rule()
    def deadlines_pass(self) -> None:
        """All of them."""
        for job_id, _ in self.client.zscan_iter("oppsync:expiring"):
            self.client.zadd("oppsync:expiring", {job_id: 1})
        self.run(time_passes())

    @rule(instance=st.sampled_from(INSTANCES), after_dead=st.sampled_from(["go_on", "go_on", "wait"]))
    def announce(self, instance: str, after_dead: str, fingerprint: str = "one") -> None:
        """A worker tells what it knows."""
        pace: dict[str, Any] = {"requests": REQUESTS_A_SECOND, "window_ms": 1000, "concurrency": CAP[instance]}
        choices: dict[str, Any] = {"breaker_failures": 4, "settle_ms": 600_000, "probe_ms": 0}
        chosen = self.client.hget(f"oppsync:budget:{instance}", "after_dead") or after_dead.encode()
        choices["after_dead"] = chosen.decode()
        self.run(told(instance, fingerprint=fingerprint, **pace, **choices))

    @rule()
    def sweep(self) -> None:
        """Nothing is ever found where nobody meddles."""
        seen = Snapshot.of(self.client)
        jobs = [job_id for job_id, _ in seen.jobs()]
        _, mended = sweeping.swept(self.run(sweeping.sweep(jobs, ttl_s=TTL_S, patience_ms=0)))
        places = {**sweeping.PLACES, **{f"{s}:{i}": f"oppsync:{s}:{i}" for s in ("waiting", "held") for i in INSTANCES}}
        for state, place in places.items():
            call = sweeping.ghosts(state.partition(":")[0], place, list(seen.of_key(place.removeprefix("oppsync:"))))
            mended += sweeping.laid(self.run(call))
        tags = [tag for tag, _ in seen.named("claim:")]
        mended += sweeping.laid(self.run(sweeping.ghosts("claim", "oppsync:leases", tags)))
        assert mended == []

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
            if job_id.startswith("raw-"):
                assert operating.word(self.run(operating.replay(job_id, by="me"))) == "unreadable"
                return
            job = self.known[job_id]
            writes = job.written() if laws.is_update(job) else ()
            answer = operating.word(self.run(operating.replay(job_id, by="me", writes=writes)))
            assert answer == "dead" or (answer == "superseded" and laws.is_update(job))
            if answer == "dead":
                self.sent.pop(job_id, None)

    @rule(which=ANY, how=st.sampled_from(["adopt", "resend", "inquire", "discard"]))
    def decide(self, which: int, how: str) -> None:
        """An operator settles a doubt."""
        doubts = cast("list[bytes]", self.client.zrange("oppsync:in_doubt", 0, -1))
        if not doubts:
            return
        job_id = doubts[which % len(doubts)].decode()
        match how:
            case "adopt":
                call = operating.adopt(job_id, opportunity_id=60, result={}, by="me", ttl_s=TTL_S, though_taken=True)
                assert operating.adopted(self.run(call)) == ("in_doubt", None)
            case "resend":
                assert operating.word(self.run(operating.resend(job_id, by="me"))) == "in_doubt"
                self.sent.pop(job_id, None)
            case "inquire":
                assert operating.word(self.run(operating.inquire(job_id, by="me"))) == "in_doubt"
            case _:
                self.run(operating.discard(job_id, state=State.IN_DOUBT, by="me", ttl_s=TTL_S))

    @rule(which=ANY, state=st.sampled_from([State.DEAD, State.WAITING, State.HELD, State.BLOCKED, State.SCHEDULED]))
    def discard(self, which: int, state: State) -> None:
        """Drop a job, if it is where the operator believes it to be."""
        if self.known:
            job_id = list(self.known)[which % len(self.known)]
            self.run(operating.discard(job_id, state=state, by="me", ttl_s=TTL_S))

    @invariant()
    def all_is_well(self) -> None:
        """Look at everything."""
        seen = Snapshot.of(self.client)
        laws.every_job_is_in_exactly_one_place(seen, self.known, self.copied)
        laws.what_names_a_job_is_filed(seen, self.known)
        laws.whoever_waits_for_a_job_is_told_its_end(seen)
        laws.all_of_an_ended_job_is_forgotten_in_time(seen)
        laws.updates_stand_in_the_line_of_their_record(seen)
        laws.letters_are_remembered_while_they_can_be_replayed(seen)
        laws.doubts_are_looked_into(seen)
        laws.deadlines_are_watched(seen)
        laws.leases_and_slots_belong_to_somebody(seen, CAP, self.looked_for)
        laws.a_trial_is_under_way(seen, self.looked_for)
        laws.lanes_hold_only_what_can_be_sent_now(seen, self.unseen)
        laws.interactive_updates_wait_for_nobody_in_bulk(seen)
        laws.calls_are_counted_once(seen)

    def teardown(self) -> None:
        """Every worker dies, every hold is lifted, all time passes: nothing may be left that could go on."""
        self.ending = True
        while self.claims:
            self.lose(0, self.claims[0].sent, dies=True)
        for _ in range(80):
            for instance in INSTANCES:
                self.hold(instance, on=False)
                self.cool_down_ends(instance)
                self.announce(instance, "go_on", "another")
            self.updates_have_landed()
            self.promote(100)
            self.claim(100)
            while self.claims:
                self.begin(0, again=False)
                self.settle(0, "succeed")
            self.all_is_well()
            seen = Snapshot.of(self.client)
            on_the_way = [job_id for job_id, entry in seen.jobs() if entry.get("state") not in AT_REST | {"scheduled"}]
            later = [job_id for job_id in seen.of_key("schedule") if self.known[job_id].not_before is None]
            if not (on_the_way or later or any(self.client.llen(lane) for lane in LANES)):
                break
        else:
            stuck = {job_id: (seen.job(job_id), seen.messages[job_id]) for job_id in on_the_way or later}
            about = ("record:", "waiting:", "budget:", "inflight:", "calls", "slots", "looking:", "granted")
            lines = {name: value for name, value in seen.hashes.items() if name.startswith(about)}
            raise AssertionError(f"stuck: {stuck} in {lines}")
        laws.nothing_that_is_resolved_is_blocked(seen)
        self.sweep()
        super().teardown()
