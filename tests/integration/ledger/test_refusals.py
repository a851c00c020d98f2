"""Refused with 401 or 403: whose fault it is, told by who else is refused; one step at a time, and in any order."""

from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from integration.ledger.desk import Desk, deal
from oppsync import CreateOpportunity
from oppsync_worker.ledger import ends, keys, operating
from oppsync_worker.ledger.begin import Go, Parked
from oppsync_worker.ledger.scripts import run
from stage import time_passes, told

MOST = 3
"""Refusals that a job survives alone, while others succeed, but for the first."""

FORBIDDEN = ends.Attempt(at="", number=1, duration_ms=1, status=403, error="CredentialRefused", message="no right")


def refuse(desk: Desk, hand: ends.Hand) -> str:
    """SprintHub refuses it; where the job is now."""
    call = ends.refuse_credential(hand, fingerprint="one", attempt=FORBIDDEN, max_refusals=MOST)
    state = ends.ended(desk.run(call))
    # The next request is begun later than this answer came.
    desk.a_moment_passes()
    return str(state)


def all_is_due(desk: Desk) -> None:
    """Pauses of jobs and of the instance are over, and so is the breaker's."""
    desk.client.hdel(keys.budget("acme"), "cool_until", "next")
    desk.pass_time()


def send(desk: Desk) -> tuple[ends.Hand, CreateOpportunity]:
    """The next job of the line is being sent."""
    while True:
        for hand, job in desk.claim(1):
            if isinstance(desk.begin(hand, job), Go):
                return hand, job  # type: ignore[return-value]
        all_is_due(desk)


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """Everybody in one hand; no limit."""
    return Desk(ledger)


def budget_of(desk: Desk) -> dict[str, str]:
    """The instance's budget."""
    fields: Any = desk.client.hgetall(keys.budget("acme"))
    return {name.decode(): value.decode() for name, value in fields.items()}


def is_held(desk: Desk) -> bool:
    """Whether the instance is on hold."""
    return bool(desk.client.exists(keys.hold("acme")))


def test_one_job_alone_never_holds_its_instance(desk: Desk) -> None:
    """However often it is refused; it waits longer each time, spends no attempt, and nobody else is paused."""
    job = deal()
    desk.enqueue(job)
    waits = []
    for _ in range(9):
        hand, _ = send(desk)
        assert refuse(desk, hand) == "scheduled"
        due = float(desk.client.zscore(keys.SCHEDULE, job.job_id) or 0)
        waits.append(round(due / 1000 - desk.now_s()))

    assert not is_held(desk)
    assert waits == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert (desk.field(job, "attempts"), desk.field(job, "refused")) == ("0", "9")
    assert "cool_until" not in budget_of(desk)


def test_it_stands_behind_all_that_wait_whatever_its_lane(desk: Desk) -> None:
    """Also when it is the oldest, and interactive."""
    job = deal(lane="interactive")
    desk.enqueue(job)
    hand, _ = send(desk)
    others = [deal(lane="bulk") for _ in range(5)]
    desk.enqueue(*others)
    refuse(desk, hand)
    desk.client.hset(keys.budget("acme"), mapping={"trips": 1, "open_until": int(desk.now_s() * 1000) + 60_000})
    desk.client.zadd(keys.SCHEDULE, {job.job_id: 1}, xx=True)
    desk.run(time_passes())
    for taken in desk.claim():
        assert isinstance(desk.begin(*taken), Parked)

    line = [one.decode() for one in desk.client.zrange(keys.waiting("acme"), 0, -1)]

    assert {*line[:-1]} == {other.job_id for other in others}
    assert line[-1] == job.job_id


def test_three_rounds_of_different_jobs_hold_it(desk: Desk) -> None:
    """With a pause in between, and with what was said."""
    jobs = [deal() for _ in range(4)]
    desk.enqueue(*jobs)

    states, pauses = [], []
    for _ in range(3):
        hand, _ = send(desk)
        states.append(refuse(desk, hand))
        pauses.append(round(max(0.0, float(budget_of(desk).get("cool_until", 0)) / 1000 - desk.now_s())))

    assert pauses == [0, 5, 5]
    assert states == ["scheduled", "scheduled", "held"]
    assert desk.client.hget(keys.hold("acme"), "cause") == b"credential"
    assert desk.client.hget(keys.hold("acme"), "note") == b"HTTP 403: no right"
    assert "refusals" not in budget_of(desk)


def test_a_success_in_between_begins_anew(desk: Desk) -> None:
    """The credential is good: two refused jobs are two jobs' faults."""
    desk.enqueue(*[deal() for _ in range(8)])
    for _ in range(2):
        for _ in range(2):
            refuse(desk, send(desk)[0])
        hand, job = send(desk)
        desk.succeed(hand, job)

    assert not is_held(desk)
    assert budget_of(desk)["proofs"] == "2"


def test_a_count_of_the_version_before_holds_nobody_by_itself(desk: Desk) -> None:
    """It says how often, and not whom; one job that is refused is no proof."""
    desk.client.hset(keys.budget("acme"), "refusals", 2)
    desk.enqueue(deal(), deal())

    states = [refuse(desk, send(desk)[0]) for _ in range(2)]

    assert states == ["scheduled", "held"]


def test_names_that_outlived_their_count_are_not_believed(desk: Desk) -> None:
    """A worker of the version before takes the count away at a success, and nothing else."""
    desk.enqueue(deal(), deal())
    refuse(desk, send(desk)[0])
    desk.client.hdel(keys.budget("acme"), "refusals")

    refuse(desk, send(desk)[0])

    assert len(budget_of(desk)["refused"].split()) == 1


def test_it_dies_as_refused_with_what_to_do_and_lives_again_when_replayed(desk: Desk) -> None:
    """One refusal with nobody to compare it with, and `max_refusals` while others succeed."""
    bad = deal()
    desk.enqueue(bad)
    refuse(desk, send(desk)[0])
    desk.enqueue(deal())
    desk.succeed(*send(desk))
    states = [refuse(desk, send(desk)[0]) for _ in range(MOST)]

    assert states == ["scheduled"] * (MOST - 1) + ["dead"]
    assert desk.field(bad, "cause") == "refused"
    assert desk.field(bad, "detail").startswith(
        "HTTP 403: no right: refused 4 times, while other jobs of acme succeeded."
    )
    assert b'"exc_type":"JobRefused"' in (desk.client.get(f"celery-task-meta-{bad.job_id}") or b"")
    assert desk.replay(bad) == "dead"
    assert refuse(desk, send(desk)[0]) == "scheduled"
    assert desk.field(bad, "refused") == "1"


@pytest.mark.parametrize("how", ["released", "another token"])
def test_a_hold_that_ends_is_tried_with_one_request_first(desk: Desk, how: str) -> None:
    """Of however many jobs were held; those that were refused before are the last of them."""
    jobs = [deal() for _ in range(6)]
    desk.enqueue(*jobs)
    refused = []
    for _ in range(3):
        hand, job = send(desk)
        refused.append(job.job_id)
        refuse(desk, hand)
    for taken in desk.claim():
        desk.begin(*taken)
    all_is_due(desk)
    for taken in desk.claim():
        desk.begin(*taken)
    assert desk.client.zcard(keys.held("acme")) == 6

    if how == "released":
        assert desk.run(operating.unhold("acme")) == 6
    else:
        desk.run(told("acme", fingerprint="another"))
    all_is_due(desk)
    answers = [desk.begin(*taken) for taken in desk.claim()]

    assert [type(answer) for answer in answers].count(Go) == 1
    desk.line_moves()
    assert desk.claim() == []
    last = [*dict.fromkeys(reversed(refused))][::-1]
    assert [one.decode() for one in desk.client.zrange(keys.waiting("acme"), 0, -1)][-len(last) :] == last


def test_refused_again_after_it_was_released_needs_new_proof(desk: Desk) -> None:
    """The old successes say nothing of the credential that was found bad since: nobody dies of it."""
    bad = deal()
    desk.enqueue(bad, deal())
    refuse(desk, send(desk)[0])
    desk.succeed(*send(desk))
    for _ in range(4):
        desk.client.hset(keys.budget("acme"), mapping={"refusals": 2, "refused": "x y"})
        refuse(desk, send(desk)[0])
        assert is_held(desk)
        desk.run(operating.unhold("acme"))
        all_is_due(desk)
        assert refuse(desk, send(desk)[0]) == "scheduled"

    assert desk.field(bad, "refused_alone") == ""


def test_a_refusal_that_is_told_twice_counts_once(desk: Desk) -> None:
    """The answer to the first telling was lost on its way."""
    job = deal()
    desk.enqueue(job)
    hand, _ = send(desk)

    states = [refuse(desk, hand) for _ in range(3)]

    assert states == ["scheduled"] * 3
    assert (desk.field(job, "refused"), desk.field(job, "attempts")) == ("1", "0")


def test_another_token_hurries_those_that_the_old_one_could_not_send(desk: Desk) -> None:
    """They need not wait for a time that was chosen for a bad one; and nobody else is touched."""
    job, later = deal(), deal(not_before="2100-01-01T00:00:00Z")
    desk.enqueue(job)
    refuse(desk, send(desk)[0])
    desk.enqueue(later)

    desk.run(told("acme", fingerprint="one"))
    desk.run(time_passes())
    assert desk.state(job) == "scheduled"
    desk.run(told("acme", fingerprint="another"))
    desk.run(time_passes())

    assert desk.states([job, later]) == ["queued", "scheduled"]
    assert not desk.client.exists(f"{keys.PREFIX}refused:acme")


def test_who_succeeds_after_all_is_remembered_no_more(desk: Desk) -> None:
    """One stray 401."""
    desk.enqueue(deal())
    refuse(desk, send(desk)[0])
    assert desk.client.zcard(f"{keys.PREFIX}refused:acme") == 1

    desk.succeed(*send(desk))

    assert not desk.client.exists(f"{keys.PREFIX}refused:acme")


class Refusals(RuleBasedStateMachine):
    """Good jobs, jobs that are refused for themselves, and a credential that is good or bad, in any order."""

    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.desk = Desk(self.client)
        self.bad: set[str] = set()
        self.revoked = False
        self.in_flight: list[tuple[ends.Hand, CreateOpportunity]] = []
        self.since: list[str] = []
        """Who was refused since the last success, or since the last hold."""
        self.era: set[str] = set()
        """Who was refused since the credential was last found bad."""
        self.proven: set[str] = set()
        """Who was refused before somebody else succeeded, in this era."""
        self.counted: dict[str, int] = {}
        """How often one was refused alone, although others had succeeded since its first refusal."""
        self.requests: dict[str, int] = {}

    @rule(bad=st.booleans(), lane=st.sampled_from(["interactive", "bulk"]))
    def enqueue(self, bad: bool, lane: str) -> None:  # noqa: FBT001 - drawn
        """A producer."""
        job = deal(lane=lane)
        if bad:
            self.bad.add(job.job_id)
        self.desk.enqueue(job)

    @rule(most=st.integers(1, 3))
    def send(self, most: int) -> None:
        """As many as there are hands."""
        self.desk.a_moment_passes()
        for hand, job in self.desk.claim(most):
            if isinstance(self.desk.begin(hand, job), Go):
                self.in_flight.append((hand, job))  # type: ignore[arg-type]

    @rule(which=st.integers(0, 9))
    def answer(self, which: int) -> None:
        """SprintHub answers one of those in flight."""
        if not self.in_flight:
            return
        hand, job = self.in_flight.pop(which % len(self.in_flight))
        name = job.job_id
        self.requests[name] = self.requests.get(name, 0) + 1
        if not self.revoked and name not in self.bad:
            self.desk.succeed(hand, job, opportunity_id=len(self.requests) + 100)
            if self.since:
                self.proven |= self.era
            self.since = []
            return
        held = is_held(self.desk)
        call = ends.refuse_credential(hand, fingerprint="one", attempt=FORBIDDEN, max_refusals=MOST)
        state = str(ends.ended(self.desk.run(call)))
        self.since.append(name)
        self.era.add(name)
        alone = set(self.since) == {name}
        if alone and name in self.proven:
            self.counted[name] = self.counted.get(name, 0) + 1
        if is_held(self.desk) and not held:
            assert len(set(self.since)) > 1, "one job alone has held its instance"
            assert len(self.since) >= ends.CREDENTIAL_REFUSALS
            self.begins_anew()
        elif state == "dead":
            assert self.counted[name] >= MOST, "dead before its time"
            assert alone, "dead although others are refused as well"
        else:
            assert state == "scheduled"
            assert self.counted.get(name, 0) < MOST, "it should have been dead by now"

    @rule()
    def time_goes_by(self) -> None:
        """Pauses end."""
        all_is_due(self.desk)

    @rule(revoked=st.booleans())
    def credential(self, revoked: bool) -> None:  # noqa: FBT001 - drawn
        """It is taken away, or given back."""
        self.revoked = revoked

    @rule()
    def release(self) -> None:
        """A person lifts the hold."""
        run(self.client, operating.unhold("acme"))

    @rule()
    def another_token(self) -> None:
        """A worker has another one, which is good."""
        self.desk.run(told("acme", fingerprint="another"))
        self.revoked = False
        self.begins_anew()

    def begins_anew(self) -> None:
        """The credential was found bad, or is another one: what was known of it is of no use."""
        self.since, self.era, self.proven, self.counted = [], set(), set(), {}

    def teardown(self) -> None:
        """With a good credential, and others that succeed, every bad job dies in time, and no good one."""
        self.revoked = False
        left = {*self.desk.jobs}
        for _ in range(20 + 6 * len(left)):
            self.release()
            self.desk.enqueue(deal())
            self.time_goes_by()
            self.send(100)
            while self.in_flight:
                self.answer(0)
            left = {name for name, job in self.desk.jobs.items() if self.desk.state(job) not in ("succeeded", "dead")}
            if not left & self.bad:
                break
        assert not left & self.bad, "refused for ever"
        for name, job in self.desk.jobs.items():
            assert (self.desk.state(job) == "dead") <= (name in self.bad), "a good job has died"
            assert int(self.desk.field(job, "attempts") or 0) <= 1
        super().teardown()


def test_whatever_is_refused_the_laws_hold(ledger: redis.Redis) -> None:
    """Some thousand steps, another way each time."""

    class Here(Refusals):
        """On this server."""

        client = ledger

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
