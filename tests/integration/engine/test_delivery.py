"""Jobs from an application through Redis and a real Celery worker into a (simulated) SprintHub."""

from collections.abc import Callable

import redis

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.jobs.facts import history
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually


def create(number: int = 1, **given: object) -> CreateOpportunity:
    """A create that the simulator takes."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": f"Deal {number}", "crm_column": 130, "lead_id": number, **given}
    )


def test_a_create_and_its_update_reach_the_crm(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """An update named by external_ref waits for its create, and finds the record."""
    worker()

    first = client.enqueue(create(external_ref="order-1", value="350.50"))
    second = client.enqueue(
        UpdateOpportunity(instance="acme", funnel_id=7, external_ref="order-1", title="Won", status="gain")
    )

    made, changed = client.wait(first, timeout_s=20), client.wait(second, timeout_s=20)
    assert (made.state, changed.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert made.opportunity_id == changed.opportunity_id
    (record,) = crm.records("acme")
    assert (record["title"], record["status"], record["value"]) == ("Won", "gain", "350.50")


def test_the_attempt_that_succeeded_stands_in_the_history(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """With its status, its time and its number, behind those that failed; and it is forgotten with the job."""
    worker()
    made = client.wait(client.enqueue(create()), timeout_s=20)
    crm.add_fault("http:status=503,method=PUT,times=1")
    update = UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="New")
    job = client.enqueue(update)
    assert client.wait(job, timeout_s=20).state == State.SUCCEEDED

    failed, succeeded = history(ledger, job)

    assert (failed["attempt"], failed["status"], failed["error"]) == (1, 503, "Unavailable")
    assert (succeeded["attempt"], succeeded["status"], succeeded["error"]) == (2, 200, None)
    assert succeeded["ms"] >= 0
    assert succeeded["at"] > failed["at"]
    assert [(line["attempt"], line["status"]) for line in history(ledger, made.job_id)] == [(1, 200)]
    assert ledger.ttl(f"oppsync:job:{job}") > 0


def test_a_transient_error_is_retried_and_spends_attempts(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Two refusals of an update, then success: three attempts."""
    worker()
    made = client.wait(client.enqueue(create()), timeout_s=20)
    crm.add_fault("http:status=503,method=PUT,times=2")

    job = client.enqueue(
        UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="Second")
    )

    assert client.wait(job, timeout_s=20).attempts == 3


def test_a_throttle_spends_no_attempt(client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator) -> None:
    """401 with `too many requests` cools the instance down and is no failure."""
    worker()
    crm.add_fault("throttle_burst:n=1,method=POST,times=1")

    outcome = client.wait(client.enqueue(create()), timeout_s=20)

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)


def test_an_exhausted_update_is_buried(client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator) -> None:
    """Attempts are bounded."""
    worker()
    made = client.wait(client.enqueue(create()), timeout_s=20)
    crm.add_fault("http:status=500,method=PUT")

    job = client.enqueue(UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="X"))

    outcome = client.wait(job, timeout_s=20)
    assert (outcome.state, outcome.cause, outcome.attempts) == (State.DEAD, "exhausted", 4)


def test_a_rejected_create_is_buried_with_its_reason(client: JobClient, worker: Callable[..., Worker]) -> None:
    """A column that the funnel does not have."""
    worker()

    outcome = client.wait(client.enqueue(create(crm_column=999)), timeout_s=20)

    assert (outcome.state, outcome.cause, outcome.attempts) == (State.DEAD, "rejected", 1)
    assert "400" in (outcome.detail or "")


def test_a_lost_answer_puts_a_create_in_doubt_and_nothing_is_sent_again(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """The record is there, the answer is not."""
    worker()
    crm.add_fault("drop_after_commit:method=POST,times=1")

    job = client.enqueue(create())

    eventually(lambda: client.outcome(job).state == State.IN_DOUBT)
    after = client.wait(client.enqueue(create(2)), timeout_s=20)
    assert after.state == State.SUCCEEDED
    assert client.outcome(job).state == State.IN_DOUBT
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert len(crm.records("acme")) == 2


def test_a_bad_credential_holds_its_instance_only(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """The instance's jobs are kept; those of another go on."""
    worker()
    crm.add_fault("token_revoked:instance=acme")
    # A hold is declared when different jobs are refused in a row; the pause in between is what takes the time. Those
    # that were refused before it come back on their own, and are held then.
    held = [client.enqueue(create(number)) for number in range(1, 6)]

    eventually(lambda: ledger.smembers("oppsync:holds") == {b"acme"}, within_s=40)

    other = client.wait(client.enqueue(create(instance="globex")), timeout_s=20)
    assert other.state == State.SUCCEEDED
    assert {client.outcome(job).state for job in held} <= {State.HELD, State.WAITING, State.SCHEDULED}
    assert {client.outcome(job).attempts for job in held} == {0}


def test_a_job_for_an_unknown_instance_is_held_until_a_worker_knows_it(
    client: JobClient, worker: Callable[..., Worker]
) -> None:
    """Kept, with the reason; taken up by itself once settings are right."""
    first = worker("ignorant", SPRINTHUB_INSTANCES_FILE="", SPRINTHUB_INSTANCE="globex", SPRINTHUB_API_TOKEN="x")
    job = client.enqueue(create())

    eventually(lambda: client.outcome(job).state == State.HELD)
    assert client.outcome(job).cause == "unknown_instance"
    assert first.stop() == 0

    worker("knowing")
    assert client.wait(job, timeout_s=20).state == State.SUCCEEDED
