"""Random lives of jobs on a Redis that forgets a suffix of its writes, as a promoted replica does.

Workers go on with what they have in hand, and tell the ledger the truth of it. A success that was told is never sent
again, a doubt is never sent blindly, each record too many can be found, and nothing is lost that anybody has in hand.
"""

import itertools
from collections import defaultdict
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from integration.ledger import laws
from integration.ledger.desk import ATTEMPT, TTL_S, Desk, change, deal
from integration.ledger.drawn import A_MINUTE_MS, ANY
from integration.ledger.forgetting import Memory
from integration.ledger.snapshot import Snapshot
from oppsync import CreateOpportunity, State
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger import ends, keys, looking, operating
from oppsync_worker.ledger.begin import Go
from oppsync_worker.ledger.looking import Told
from oppsync_worker.ledger.promoting import Look
from oppsync_worker.ledger.recalling import Sent, as_sent, is_forgotten, recall, recalled
from oppsync_worker.ledger.scripts import Call
from stage import told

TOLD = Told(history="{}", effects=ends.NOTHING)
HOW = ["succeed", "succeed", "lost", "refuse", "unsent", "throttle"]

BY = st.sampled_from(["us", "another", "another, oddly"])


class Forgetting(RuleBasedStateMachine):
    """Producers, workers, and a Redis that falls back to what it was before."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.desk = Desk(self.client)
        self.memory = Memory(self.client)
        self.memory.take()
        self.numbers = itertools.count(1)
        self.jobs: dict[str, AnyJob] = {}
        self.waiting: list[tuple[ends.Hand, AnyJob]] = []
        self.sent: list[tuple[ends.Hand, AnyJob]] = []
        self.made: dict[str, set[int]] = defaultdict(set)
        """Records that each create has made, and that its worker has told of."""
        self.begun: set[str] = set()
        self.forgotten: set[str] = set()
        """Tags under which something was sent since the replica was level; and of which the ledger forgot that."""
        self.settled: dict[str, str] = {}
        """What was told of a job since Redis forgot last, and must not be sent again for."""
        self.hidden: dict[str, int] = {}
        """Records of creates whose answer was lost: a look-up finds them, also when the ledger forgot all of it."""
        self.looks: list[Look] = []
        self.looked_for: set[str] = set()
        self.desk.run(told("acme", probe_ms=0))
        self.memory.take()

    @rule(creates=st.booleans(), record=st.integers(5, 6), by=BY)
    def enqueue(self, creates: bool, record: int, by: str) -> None:  # noqa: FBT001 - drawn
        """A producer of ours, or another application: its message is filed, or left to a worker."""
        name = f"job-{next(self.numbers)}"
        job: AnyJob = (
            deal(job_id=name, external_ref=name, idempotency_key=name)
            if creates
            else change(record, job_id=name, title=name, idempotency_key=name)
        )
        self.jobs[name] = job
        (self.desk.enqueue if by == "us" else self.desk.push)(job)
        if by == "another, oddly":
            queue = job.lane.queue
            self.client.lset(queue, 0, b" \n" + (self.client.lindex(queue, 0) or b""))

    @rule(which=ANY)
    def repeat(self, which: int) -> None:
        """A producer that was not answered makes the same job anew, under its key."""
        in_hand = [job for _, job in self.waiting + self.sent]
        if not in_hand:
            return
        job = in_hand[which % len(in_hand)]
        name = f"job-{next(self.numbers)}"
        self.jobs[name] = again = job.model_copy(update={"job_id": name})
        self.desk.enqueue(again)

    @rule(most=st.integers(1, 3))
    def claim(self, most: int) -> None:
        """A worker takes messages."""
        self.waiting += self.desk.claim(most)

    @rule(which=ANY)
    def begin(self, which: int) -> None:
        """And sends, if it may."""
        if not self.waiting:
            return
        hand, job = self.waiting.pop(which % len(self.waiting))
        if isinstance(self.desk.begin(hand, job), Go):
            assert job.job_id not in self.settled, f"{job.job_id} is sent although {self.settled[job.job_id]}"
            self.sent.append((hand, job))
            self.begun.add(hand.tag)

    @rule(which=ANY, how=st.sampled_from(HOW))
    def settle(self, which: int, how: str) -> None:
        """An answer has come, or is lost; the worker tells it until the ledger has understood."""
        if not self.sent:
            return
        hand, job = self.sent.pop(which % len(self.sent))
        creates = isinstance(job, CreateOpportunity)
        record = 1_000 + next(self.numbers) if creates else int(job.target or 0)
        state, surplus = self.tell(self.ending(hand, job, how, record), job)
        if how == "succeed":
            if creates:
                self.made[job.job_id].add(record)
            assert surplus or state == State.SUCCEEDED or not creates, f"a success of {job.job_id} was not believed"
            if state == State.SUCCEEDED:
                self.settled[job.job_id] = "it has succeeded"
        elif how == "lost" and creates:
            if record % 2:
                self.hidden[job.job_id] = record
            known = {State.IN_DOUBT} if hand.tag in self.forgotten else {State.IN_DOUBT, None}
            assert surplus or state in known, f"nobody looks for what {job.job_id} may have made"
            if state == State.IN_DOUBT:
                self.settled.setdefault(job.job_id, "it is in doubt")

    def ending(self, hand: ends.Hand, job: AnyJob, how: str, record: int) -> Call:
        """The end of an attempt."""
        creates = isinstance(job, CreateOpportunity)
        effects = ends.Effects(wrote=() if creates else job.written(), unsure=not creates)
        match how:
            case "succeed":
                marker = ends.Marker(7, lands=True) if creates else None
                return ends.succeed(hand, opportunity_id=record, result={}, effects=ends.NOTHING, marker=marker)
            case "lost" if creates:
                return ends.doubt(hand, attempt=ATTEMPT)
            case "lost":
                return ends.reschedule(hand, delay_ms=A_MINUTE_MS, attempt=ATTEMPT, effects=effects)
            case "refuse":
                return ends.bury(hand, cause=Cause.REJECTED, detail="words", attempt=ATTEMPT)
            case "unsent":
                return ends.reschedule(hand, delay_ms=A_MINUTE_MS, attempt=ATTEMPT)
        return ends.wait(hand, cool_down_ms=0, limit=None, attempt=ATTEMPT)

    def tell(self, call: Call, job: AnyJob, *, attempts: int | None = None) -> tuple[State | None, bool]:
        """As `Book.settle_sent` does; each script may have to be asked twice."""
        surplus, sent = False, Sent(job, lease_ms=A_MINUTE_MS, attempts=attempts)
        for _ in range(3):
            answer: Any = self.desk.run(as_sent(call))
            if not is_forgotten(answer):
                return ends.ended(answer), surplus
            known = recalled(self.desk.run(recall(call, sent, sent_ms_ago=10)))
            surplus = surplus or known.surplus
            if not known.settle:
                return known.state, surplus
        raise AssertionError("the ledger does not understand")

    @rule()
    def look(self) -> None:
        """Workers ask the CRM for what is in doubt."""
        self.looks += self.desk.looks()
        self.looked_for |= {look.job_id for look in self.looks}

    @precondition(lambda self: self.looks)
    @rule(which=ANY)
    def find(self, which: int) -> None:
        """It is there, or the look-up is lost."""
        look = self.looks.pop(which % len(self.looks))
        record = self.hidden.get(look.job_id)
        if record is None:
            return
        answer = self.desk.run(looking.adopt(look, TOLD, opportunity_id=record, result={}, unmarked=False, ttl_s=TTL_S))
        if answer == b"lost":
            call = looking.recall_adopted(look, TOLD, opportunity_id=record, result={}, ttl_s=TTL_S)
            state, surplus = self.tell(call, read_message(look.message), attempts=look.attempts)
            assert surplus or state == State.SUCCEEDED, f"the record of {look.job_id} was found, and not believed"
        self.made[look.job_id].add(record)
        self.settled[look.job_id] = "its record was found"

    @rule(dies=st.booleans())
    def leases_run_out(self, dies: bool) -> None:  # noqa: FBT001 - drawn
        """All workers are silent for longer than a lease: dead, or frozen and soon to go on."""
        self.desk.silence(crashes=50)
        if dies:
            self.waiting, self.sent = [], []

    @rule()
    def time_passes(self) -> None:
        """Everything that waits for a time is due."""
        self.desk.settle_down()
        self.desk.pass_time()

    @rule()
    def replicate(self) -> None:
        """The replica has all that the primary has."""
        self.memory.take()
        self.begun.clear()
        self.kept = dict(self.settled)
        self.kept_made = {job_id: set(made) for job_id, made in self.made.items()}

    kept: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed
    kept_made: dict[str, set[int]] = {}  # noqa: RUF012

    @precondition(lambda self: len(self.jobs) > 1)
    @rule()
    def fail_over(self) -> None:
        """The replica is promoted, and lacks what was written since."""
        self.memory.restore()
        self.forgotten |= self.begun
        self.settled = dict(self.kept)
        # What was told in between is in nobody's hands any more.
        self.made = defaultdict(set, {job_id: set(made) for job_id, made in self.kept_made.items()})

    @rule(
        creates=st.booleans(),
        by=BY,
        level=st.sampled_from(["nothing", "enqueued", "enqueued", "claimed", "claimed"]),
        meanwhile=st.sampled_from(
            [
                "",
                "claim begin",
                "claim begin end",
                "claim begin end",
                "enqueue claim begin",
                "repeat",
                "repeat claim begin",
                "repeat claim begin end",
            ]
        ),
        looks=st.booleans(),
        how=st.sampled_from(["succeed", "succeed", "lost", *HOW]),
    )
    def a_replica_lags(self, creates: bool, by: str, level: str, meanwhile: str, looks: bool, how: str) -> None:  # noqa: FBT001 - drawn
        """What chance seldom brings together: a request is forgotten, others go on, and its answer comes."""
        steps = {
            "nothing": lambda: None,
            "enqueued": lambda: self.enqueue(creates, 5, by),
            "claimed": lambda: self.claim(3),
        }
        for name, step in steps.items():
            step()
            if name == level:
                self.replicate()
        self.begin_all()
        if looks:
            # What is forgotten has come as far as a look-up that is under way.
            self.settle(-1, "lost")
            self.look()
        self.fail_over()
        for step_name in meanwhile.split():
            match step_name:
                case "enqueue":
                    self.enqueue(creates, 5, by)
                case "repeat":
                    self.repeat(-1)
                case "claim":
                    self.claim(3)
                case "begin":
                    self.begin_all()
                case _:
                    self.settle(-1, how)
        while looks and self.looks:
            self.find(-1)
        self.settle(-1 if level == "claimed" else 0, how)
        self.time_passes()
        self.claim(3)
        self.begin_all()

    @rule(
        creates=st.booleans(),
        first=st.sampled_from(["succeed", "lost", "unsent", "refuse"]),
        second=st.sampled_from(["succeed", "lost", "unsent", "refuse", "", ""]),
        sooner=st.booleans(),
    )
    def a_producer_repeats_what_is_forgotten(self, creates: bool, first: str, second: str, sooner: bool) -> None:  # noqa: FBT001 - drawn
        """As another job under the same key, while the first one is under way; both may have been sent."""
        self.replicate()
        self.enqueue(creates, 5, "us")
        self.claim(100)
        self.begin_all()
        self.fail_over()
        self.repeat(-1)
        name = f"job-{max(int(name.removeprefix('job-')) for name in self.jobs) - 1}"
        mine = [at for at, (_, job) in enumerate(self.sent) if job.job_id == name]
        if second:
            self.claim(100)
            self.begin_all()
            if sooner:
                self.settle(-1, second)
        for at in mine:
            self.settle(at, first)
        if second and not sooner:
            self.settle(-1, second)
        self.time_passes()
        self.claim(100)
        self.begin_all()

    def begin_all(self) -> None:
        """Everything in hand is sent, as far as it may be."""
        for _ in range(len(self.waiting)):
            self.begin(0)

    @rule(which=ANY)
    def resend(self, which: int) -> None:
        """A person says that a create in doubt has made no record, or replays a letter."""
        doubts, letters = (self.client.zrange(place, 0, -1) for place in (keys.IN_DOUBT, keys.DEAD))
        for found, call in ((doubts, operating.resend), (letters, operating.replay)):
            if found:
                job_id = found[which % len(found)].decode()
                self.desk.run(call(job_id, by="me"))
                self.settled.pop(job_id, None)

    @invariant()
    def nothing_is_silent(self) -> None:
        """Each record that a create has made is the job's, or can be found as one too many; claims have leases."""
        for job_id, made in self.made.items():
            entry = {k.decode(): v.decode() for k, v in self.client.hgetall(keys.job(job_id)).items()}
            told = {entry.get("opportunity_id", ""), *entry.get("surplus", "").split(",")}
            silent = {str(one) for one in made} - told
            assert not silent, f"{silent} of {job_id} are not in {told}"
        by_key: dict[str | None, list[str]] = defaultdict(list)
        for job_id in self.made:
            by_key[self.jobs[job_id].idempotency_key].append(job_id)
        for key, twins in by_key.items():
            known = self.client.zmscore(keys.SURPLUS, twins)
            assert len(twins) == 1 or any(known), f"{twins} made a record each under the key {key}, and nobody is told"
        tags = {key.decode().removeprefix("oppsync:claim:") for key in self.client.scan_iter("oppsync:claim:*")}
        assert tags == {tag.decode() for tag in self.client.zrange(keys.LEASES, 0, -1)}

    @invariant()
    def the_ledger_is_whole(self) -> None:
        """Whatever was forgotten and told again, every job is where its state says, with all that belongs to it."""
        seen = Snapshot.of(self.client)
        laws.every_job_is_in_exactly_one_place(seen, {}, ())
        laws.whoever_waits_for_a_job_is_told_its_end(seen)
        laws.all_of_an_ended_job_is_forgotten_in_time(seen)
        laws.letters_are_remembered_while_they_can_be_replayed(seen)
        laws.doubts_are_looked_into(seen)
        laws.deadlines_are_watched(seen)
        # One that nobody could read yet, since its workers died, is read where it came from.
        unread = {job_id for job_id, entry in seen.jobs() if "kind" not in entry}
        laws.lanes_hold_only_what_can_be_sent_now(seen, unread)
        laws.interactive_updates_wait_for_nobody_in_bulk(seen)
        laws.calls_are_counted_once(seen)
        laws.places_in_flight_are_for_calls(seen, ["acme"], self.looked_for)
        laws.nobody_is_first_and_blocked(seen)

    def teardown(self) -> None:
        """All answers come, all time passes: each job that anybody knows of has ended, or is a person's."""
        while self.sent:
            self.settle(0, "succeed")
        for _ in range(40):
            self.leases_run_out(dies=True)
            self.time_passes()
            self.claim(100)
            while self.waiting:
                self.begin(0)
                while self.sent:
                    self.settle(0, "succeed")
        for key in self.client.scan_iter("oppsync:job:*"):
            state = (self.client.hget(key, "state") or b"").decode()
            assert state in {"succeeded", "dead", "in_doubt", "discarded"}, (
                f"{key!r} is {state}: {self.client.hgetall(key)}"
            )
        for lane in ("interactive", "bulk"):
            assert self.client.llen(f"opportunities.{lane}") == 0
        super().teardown()


def test_the_truth_wins_over_whatever_is_forgotten(ledger: redis.Redis) -> None:
    """A few thousand steps, another way each time."""

    class Here(Forgetting):
        """On this server."""

        client = ledger

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
