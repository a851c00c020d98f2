"""Celery's own tools go on working."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from celery import Celery

from oppsync import JobClient, State
from oppsync_worker.ledger import keys
from stage import BIN, Worker, eventually


@pytest.mark.parametrize("asked", [["ping"], ["stats"], ["active"], ["registered"]], ids=lambda asked: asked[0])
def test_inspect_answers_through_our_app(
    worker: Callable[..., Worker], ledger: redis.Redis, asked: list[str], tmp_path: Path
) -> None:
    """And its answers are not taken for jobs."""
    process = worker()
    eventually(lambda: "worker_ready" in process.said())

    done = subprocess.run(
        [BIN / "celery", "-A", "oppsync_worker.app", "inspect", *asked, "--timeout", "10"],
        env=process.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 node online" in done.stdout, done.stdout + done.stderr
    assert ledger.zcard(keys.DEAD) == 0


def test_a_priority_of_another_producer_is_not_lost(
    redis_url: str, client: JobClient, worker: Callable[..., Worker]
) -> None:
    """Kombu puts it into another list; its queue is the job's lane."""
    app = Celery(broker=redis_url)
    kwargs = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130, "lead_id": 1}
    jobs = [
        app.send_task("opportunities.create", kwargs=kwargs, queue="opportunities.bulk", priority=priority).id
        for priority in (0, 3, 5, 9)
    ]

    worker()

    outcomes = [client.wait(job, timeout_s=30) for job in jobs]
    assert {(one.state, one.lane) for one in outcomes} == {(State.SUCCEEDED, "bulk")}
