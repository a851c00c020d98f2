"""What SprintHub's answers ask for is bounded: pauses, paces, and how often one create is looked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.jobs.facts import history
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import run
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
marker_field = "oppsync"
connect_seconds = 0.5
read_seconds = 1.0
call_seconds = 1.2
[acme.budget]
requests = 20
window_seconds = 1.0
concurrency = 4
cool_down_seconds = 0.5
max_pause_seconds = {max_pause}
[acme.retry]
first_delay_seconds = 0.05
max_delay_seconds = 0.2
[acme.breaker]
failures = 0
[acme.reconcile]
probe_after_seconds = [0.2, 0.4, 0.6, 0.9, 1.3]
"""

Start = Callable[..., Worker]


@pytest.fixture
def start(worker: Callable[..., Worker], tmp_path: Path) -> Start:
    """Start a worker: twenty requests a second."""

    def begin(*, max_pause: float = 1.0) -> Worker:
        file = tmp_path / "acme.toml"
        file.write_text(SETTINGS.format(max_pause=max_pause), "utf-8")
        return worker("w1", SPRINTHUB_INSTANCES_FILE=str(file))

    return begin


def deal(**given: object) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": "D", "crm_column": 130, "lead_id": 1, **given}
    )


def test_no_retry_after_pauses_an_instance_for_longer_than_the_settings_say(
    client: JobClient, start: Start, crm: HostedSimulator
) -> None:
    """Thirty thousand years, cut to a second."""
    crm.add_fault("http:status=429,msg=too many requests,retry_after=999999999999,method=POST,times=1")
    start()

    outcome = client.wait(client.enqueue(deal()), timeout_s=15)

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)


def test_a_person_ends_a_long_pause(client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis) -> None:
    """With `oppsync budget resume`: who waits is sent at once."""
    crm.add_fault("http:status=429,msg=too many requests,retry_after=600,method=POST,times=1")
    start(max_pause=600)
    job = client.enqueue(deal())
    eventually(lambda: client.outcome(job).state == State.WAITING and client.outcome(job).cause == "throttled")

    run(ledger, operating.resume("acme"))

    assert client.wait(job, timeout_s=5).state == State.SUCCEEDED


def test_a_limit_of_one_slows_an_instance_down_to_its_floor_and_no_further(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """One a second would be a sixtieth of nothing: a fifth of the pace is kept; and the job's history says why."""
    crm.add_fault("http:status=401,msg=too many requests,limite=1,method=POST,times=1")
    start()
    jobs = client.enqueue_many([deal() for _ in range(20)])

    eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.SUCCEEDED}, within_s=16)

    told = [str(line.get("message")) for job in jobs for line in history(ledger, job)]
    assert [line for line in told if line.startswith("too many requests (usage 2, limite 1)")]


def test_no_retry_after_kills_an_update_at_its_first_attempt(
    client: JobClient, start: Start, crm: HostedSimulator
) -> None:
    """A day is as long as a job's whole time: the next attempt comes within the retry settings."""
    start()
    made = client.wait(client.enqueue(deal()), timeout_s=20)
    crm.add_fault("http:status=503,retry_after=86400,method=PUT,times=1")

    job = client.enqueue(UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="U"))

    outcome = client.wait(job, timeout_s=10)
    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 2)


def test_a_create_that_always_fails_costs_a_bounded_number_of_requests(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """Three sends; five look-ups for the first, three for each of the others; then it is dead, and can be replayed."""
    start()
    client.wait(client.enqueue(deal()), timeout_s=20)
    before = len(crm.journal())
    crm.add_fault("http:status=500,method=POST,path=/crmopportunity")

    job = client.enqueue(deal())

    outcome = client.wait(job, timeout_s=60)
    assert (outcome.state, outcome.cause, outcome.attempts) == (State.DEAD, "exhausted", 3)
    assert "proved absent 3 times" in (outcome.detail or "")
    assert len(crm.journal()) - before <= 3 + 5 + 3 + 3
    assert sum(1 for line in history(ledger, job) if line.get("event") == "look_up") <= 11
