"""A plain Celery application elsewhere enqueues and reads outcomes, without a line of this project."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oppsync import JobClient, State
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

APP = Path(__file__).with_name("foreign_app.py")
JOB = {"instance": "acme", "funnel_id": 7, "title": "From elsewhere", "crm_column": 130, "lead_id": 5, "value": "10.10"}


def ask(redis_url: str, **asked: Any) -> tuple[str, dict[str, Any]]:
    """Run the foreign application once: the task's id, and what it was told."""
    done = subprocess.run(
        [sys.executable, str(APP), redis_url],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    job_id, told = done.stdout.splitlines()
    return job_id, json.loads(told)


def test_async_result_gets_the_outcome(
    redis_url: str, client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """`AsyncResult.get()` wakes and gives the opportunity's id."""
    worker()

    job_id, told = ask(redis_url, kwargs=JOB)

    (record,) = crm.records("acme")
    assert told["state"] == "SUCCESS"
    assert told["result"]["opportunity_id"] == record["id"]
    assert client.outcome(job_id).state == State.SUCCEEDED


def test_async_result_raises_by_cause(redis_url: str, worker: Callable[..., Worker]) -> None:
    """A dead job is a FAILURE with an exception type for its cause."""
    worker()

    _, told = ask(redis_url, kwargs={**JOB, "crm_column": 999})

    assert (told["state"], told["error"]) == ("FAILURE", "JobRejected")


def test_countdown_waits_in_the_ledger(redis_url: str, client: JobClient, worker: Callable[..., Worker]) -> None:
    """An eta is kept durably, not in a worker's memory."""
    process = worker()
    started = time.time()

    job_id, _ = ask(redis_url, kwargs=JOB, options={"countdown": 8}, timeout=0.01)

    eventually(lambda: client.outcome(job_id).state == State.SCHEDULED)
    assert process.stop() == 0
    worker("w2")
    assert client.wait(job_id, timeout_s=20).state == State.SUCCEEDED
    assert time.time() - started >= 8


def test_an_expired_message_is_not_sent(redis_url: str, worker: Callable[..., Worker], crm: HostedSimulator) -> None:
    """`expires` is the job's deadline."""
    worker()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()

    _, told = ask(redis_url, kwargs=JOB, options={"expires": past})

    assert (told["state"], told["error"]) == ("FAILURE", "JobExpired")
    assert crm.records("acme") == []


def test_an_idempotency_key_makes_one_record(
    redis_url: str, client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Twice the same key from a foreign producer: the second is discarded, and points at the first."""
    worker()

    first, _ = ask(redis_url, kwargs={**JOB, "idempotency_key": "k1"})
    second, told = ask(redis_url, kwargs={**JOB, "idempotency_key": "k1"})

    assert told["error"] == "JobDiscarded"
    assert client.outcome(second).points_to == first
    assert len(crm.records("acme")) == 1


@pytest.mark.parametrize("compression", ["zlib", "bzip2"])
def test_a_compressed_message_is_a_job(redis_url: str, worker: Callable[..., Worker], compression: str) -> None:
    """`compression=` of Celery."""
    worker()

    _, told = ask(redis_url, kwargs=JOB, options={"compression": compression})

    assert told["state"] == "SUCCESS"


SIGNATURE = {"task": "t.add", "args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"link": [SIGNATURE]}, "link: nothing is called here"),
        ({"link_error": [SIGNATURE]}, "link_error: nothing is called here"),
        ({"chain": [SIGNATURE]}, "a chain: nothing is called here"),
        ({"chord": SIGNATURE}, "a chord: nothing is called here"),
        ({"compression": "lzma"}, "compressed with 'application/x-lzma'"),
    ],
)
def test_what_is_not_done_here_is_refused_aloud(
    redis_url: str, client: JobClient, worker: Callable[..., Worker], options: dict[str, Any], says: str
) -> None:
    """A dead letter with a sentence, and a failure for whoever waits; nothing is sent and its callbacks left out."""
    worker()

    job_id, told = ask(redis_url, kwargs=JOB, options=options)

    assert told["state"] == "FAILURE"
    assert says in told["text"]
    outcome = client.outcome(job_id)
    assert outcome.state == State.DEAD
    assert says in (outcome.detail or "")


def test_the_earlier_of_two_expiries_counts(
    redis_url: str, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """A later `deadline` among the fields does not bring back a message that has expired."""
    worker()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()

    _, told = ask(redis_url, kwargs={**JOB, "deadline": "2099-01-01T00:00:00Z"}, options={"expires": past})

    assert told["error"] == "JobExpired"
    assert crm.records("acme") == []
