"""`Task.retry` and `autoretry_for` in a real worker: through the ledger, and never by a copy."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.scripts import run
from stage import Worker, eventually

PUBLISHING = ("LPUSH ", "RPUSH ", "ZADD ", "PUBLISH ")


@pytest.fixture
def plugged(redis_url: str, crm: HostedSimulator, tmp_path: Path) -> Iterator[Worker]:
    """A worker with the plugin."""
    app = "integration.engine.retrying_app"
    one = Worker(redis_url=redis_url, crm_url=crm.url, folder=tmp_path, app=app)
    try:
        yield one.start()
    finally:
        if one.running:
            one.kill()


@pytest.fixture
def published(redis_url: str) -> Iterator[list[str]]:
    """Commands that put something into a lane, or anywhere in a Celery queue's reach, other than our scripts do."""
    seen: list[str] = []
    client = redis.Redis.from_url(redis_url)
    with client.monitor() as monitor:

        def listen() -> None:
            for told in monitor.listen():
                command = str(told["command"])
                if command == "ECHO over":
                    return
                if told["client_type"] != "lua" and command.upper().startswith(PUBLISHING):
                    seen.append(command)

        thread = threading.Thread(target=listen)
        thread.start()
        yield seen
        with redis.Redis.from_url(redis_url) as another:
            another.echo("over")
        thread.join(10)
    client.close()


def deal(title: str, lead: int = 1, **given: Any) -> CreateOpportunity:
    """A create whose title tells the plugin what to do."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": title, "crm_column": 130, "lead_id": lead, **given}
    )


def history(ledger: redis.Redis, job: str) -> list[Any]:
    """What the ledger says happened to a job."""
    return [json.loads(line) for line in ledger.lrange(keys.attempts(job), 0, -1)]


def test_a_job_that_was_not_begun_runs_again_when_it_is_due(
    plugged: Worker, client: JobClient, crm: HostedSimulator, ledger: redis.Redis, published: list[str]
) -> None:
    """Twice; no attempt is spent on what never began, and nothing is published."""
    job = client.enqueue(deal("before"))

    outcome = client.wait(job, timeout_s=30)

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
    assert [line["error"] for line in history(ledger, job)] == ["Boom", "Boom"]
    assert len(crm.records("acme")) == 1
    assert [command for command in published if "opportunities" in command] == []
    assert ledger.llen("opportunities.interactive") + ledger.zcard(keys.LEASES) == 0
    assert "Joana" not in plugged.said() + json.dumps(history(ledger, job))


@pytest.mark.usefixtures("plugged")
def test_a_job_stands_in_the_schedule_until_it_is_due(client: JobClient, ledger: redis.Redis) -> None:
    """Once, for as long as was asked for, on Redis' clock."""
    job = client.enqueue(deal("never"))

    def scheduled() -> tuple[float, float] | None:
        with ledger.pipeline() as pipe:
            pipe.hmget(keys.job(job), "state", "since")
            pipe.zscore(keys.SCHEDULE, job)
            (state, since), due = pipe.execute()
        return (float(since), due) if state == b"scheduled" else None

    since, due = eventually(scheduled)
    assert due - since == 300


def test_a_job_that_was_put_back_too_often_is_buried(
    plugged: Worker, client: JobClient, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """As exhausted, without a word of the error's text; a replay counts from nothing."""
    assert plugged.running
    job = client.enqueue(deal("never"))

    outcome = client.wait(job, timeout_s=30)

    assert (outcome.state, outcome.cause, outcome.attempts) == (State.DEAD, "exhausted", 0)
    assert outcome.detail == "put back 3 times by its task; the last: Boom"
    assert len(history(ledger, job)) == 4
    assert ledger.hget(keys.job(job), "retries") == b"3"
    assert crm.records("acme") == []
    assert ledger.zcard(keys.LEASES) == 0
    run(ledger, operating.replay(job, by="somebody"))
    eventually(lambda: len(history(ledger, job)) == 9 and client.outcome(job).state == State.DEAD)
    assert ledger.hget(keys.job(job), "retries") == b"3"


def test_a_create_that_was_being_sent_is_in_doubt(
    plugged: Worker, client: JobClient, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """Given up in the middle of its call: sent once, and never again."""
    assert plugged.running
    client.wait(client.enqueue(deal("first")), timeout_s=30)
    crm.configure(latency_ms=1000)

    job = client.enqueue(deal("midway", 2))

    eventually(lambda: client.outcome(job).state == State.IN_DOUBT)
    after = client.enqueue(deal("after", 3))
    assert client.wait(after, timeout_s=30).state == State.SUCCEEDED
    assert client.outcome(job).state == State.IN_DOUBT
    assert history(ledger, job)[-1]["error"] == "TimeoutError"
    assert crm.counters()["instances"]["acme"]["received"] == 3
    assert ledger.zcard(keys.LEASES) == 0


def test_an_update_that_was_being_sent_is_sent_again(plugged: Worker, client: JobClient, crm: HostedSimulator) -> None:
    """It says what shall be, however often."""
    assert plugged.running
    made = client.wait(client.enqueue(deal("first")), timeout_s=30)
    crm.configure(latency_ms=1000)

    job: AnyJob = UpdateOpportunity(
        instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="midway", status="gain"
    )

    outcome = client.wait(client.enqueue(job), timeout_s=30)
    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 2)
    assert crm.records("acme")[0]["status"] == "gain"


def test_retry_called_by_hand_keeps_the_job_as_it_was_enqueued(
    plugged: Worker, client: JobClient, crm: HostedSimulator
) -> None:
    """From a hook of the task's, with an eta, and with other arguments, which are refused aloud."""
    outcome = client.wait(client.enqueue(deal("by hand")), timeout_s=30)

    assert outcome.state == State.SUCCEEDED
    assert [record["title"] for record in crm.records("acme")] == ["by hand"]
    assert "a retry cannot change its job" in plugged.said()


def test_a_job_that_is_done_stays_done(plugged: Worker, client: JobClient, crm: HostedSimulator) -> None:
    """Whatever fails after it was delivered, and wants it again."""
    job = client.enqueue(deal("finished"))

    assert client.wait(job, timeout_s=30).state == State.SUCCEEDED
    after = client.enqueue(deal("after", 2))
    assert client.wait(after, timeout_s=30).state == State.SUCCEEDED
    assert client.outcome(job).state == State.SUCCEEDED
    assert len(crm.records("acme")) == 2
    assert plugged.running


@pytest.mark.usefixtures("plugged")
def test_a_job_that_another_application_sent_keeps_its_lane(
    redis_url: str, client: JobClient, ledger: redis.Redis
) -> None:
    """Put back before anybody looked at it."""
    kwargs = {"instance": "acme", "funnel_id": 7, "title": "before", "crm_column": 130, "lead_id": 1}
    sent = Celery(broker=redis_url).send_task("opportunities.create", kwargs=kwargs, queue="opportunities.interactive")

    outcome = client.wait(sent.id, timeout_s=30)

    assert (outcome.state, outcome.lane) == (State.SUCCEEDED, "interactive")
    assert len(history(ledger, sent.id)) == 2


def test_a_redis_that_is_away_when_a_job_is_put_back_loses_nothing(
    plugged: Worker, client: JobClient, ledger: redis.Redis, crm: HostedSimulator
) -> None:
    """Its writes are refused for a moment; the job is put back when they are taken again."""
    client.wait(client.enqueue(deal("first")), timeout_s=30)
    job = client.enqueue(deal("before", 2))
    eventually(lambda: client.outcome(job).state == State.SCHEDULED)

    ledger.config_set("maxmemory", "1")
    try:
        eventually(lambda: "ledger_unavailable" in plugged.said())
    finally:
        ledger.config_set("maxmemory", "0")

    assert client.wait(job, timeout_s=30).state == State.SUCCEEDED
    assert len(crm.records("acme")) == 2
