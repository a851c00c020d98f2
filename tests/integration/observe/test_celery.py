"""Each failure is told once, under a real Celery worker and its real tracer."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import celery.app.trace
import pytest
from celery import Celery

from integration.observe.sentry_server import SentryServer
from oppsync_worker.contract.failures import JobFailed, JobRejected
from oppsync_worker.observe.observer import Observer
from oppsync_worker.observe.sentry import flush

WORKER = Path(__file__).with_name("celery_worker.py")


def test_a_worker_tells_each_failure_once(sentry: SentryServer) -> None:
    """Dead letters, errors the observer saw, errors it never saw; no retry, no success."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(WORKER), sentry.dsn],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["early"] is True, "the SDK was set up after Celery's consumer had been imported"
    assert told["wrapped"] is False, "the SDK wraps the task's call: a broker connection per job"
    assert "jobs share one scope" not in done.stderr
    names = Counter(
        (event["tags"]["job_id"], event.get("message") or event["exception"]["values"][-1]["type"])
        for event in sentry.events
    )
    assert names == {
        ("id-dead", "dead letter: rejected (HTTP 400)"): 1,
        ("id-observed", "ZeroDivisionError"): 1,
        ("id-observed-unpicklable", "Unpicklable"): 1,
        ("id-unseen", "LookupError"): 1,
        ("id-unseen-unpicklable", "Unpicklable"): 1,
    }
    assert {event["tags"]["kind"] for event in sentry.events} == {"opportunities.create"}
    crumbs = [[crumb["message"] for crumb in event["breadcrumbs"]["values"]] for event in sentry.events]
    assert all(said.count("crumb of %s") == 1 for said in crumbs), "breadcrumbs of one job stand in another's event"


@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "SDK wraps the call"])
def test_the_tracer_doubles_nothing(observer: Observer, sentry: SentryServer, *, wrapped: bool) -> None:
    """Nor would it if a later SDK wrapped the task's call in spite of us."""
    app = Celery("traced", broker="memory://", backend="cache+memory://", set_as_current=False)

    def run(what: str) -> None:
        if what == "dead":
            raise JobRejected("HTTP 400")
        try:
            int(what)
        except ValueError as error:
            if what == "observed":
                observer.unexpected(error, job_id="j-observed", instance="acme", kind="opportunities.update")
            raise

    task = app.task(name="opportunities.update", throws=(JobFailed,), shared=False)(run)
    app.finalize()
    task = app.tasks[task.name]
    if wrapped:
        task._sentry_is_patched = False
    trace = celery.app.trace.build_tracer(task.name, task, app=app)
    for what in ("dead", "observed", "unseen"):
        trace(f"j-{what}", (what,), {}, {"id": f"j-{what}", "retries": 0})
    flush(5)
    app.close()

    told = [(event["tags"]["job_id"], event["exception"]["values"][-1]["type"]) for event in sentry.events]
    assert hasattr(task.run, "__wrapped__") is wrapped
    assert told == [("j-observed", "ValueError"), ("j-unseen", "ValueError")]
