"""`python celery_worker.py DSN`: a real Celery worker in a process of its own, set up in the order of production.

Prints one line of JSON: the figures that the test is about.
"""

import json
import logging
import sys

import sentry_sdk

from oppsync_worker.observe.observer import Observer
from oppsync_worker.observe.sentry import flush, init_sentry

logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
observer = Observer(reports=init_sentry(sys.argv[1], environment="test", server_name="worker-1", redact=str))

early = "celery.worker.consumer.consumer" not in sys.modules

from celery import Celery  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402

from oppsync_worker.contract.failures import JobFailed, JobRejected  # noqa: E402
from oppsync_worker.observe.lines import AttemptLine  # noqa: E402

app = Celery("observed", broker="memory://", backend="cache+memory://")
app.conf.broker_transport_options = {"polling_interval": 0.01}


class Unpicklable(Exception):
    """Celery replaces such an error by a stand-in."""

    def __init__(self, name: str, *, keyword: int) -> None:
        super().__init__(name, keyword)
        self.hold = lambda: None


def fail(error: Exception) -> None:
    """Raise it from somewhere below."""
    raise error


@app.task(name="opportunities.create", throws=(JobFailed,), bind=True)
def create(self, what: str) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Ends as it is told."""
    logging.getLogger("some.library").warning("crumb of %s", what)
    seen = len(sentry_sdk.get_isolation_scope()._breadcrumbs)
    kept = {"job_id": self.request.id, "instance": "acme", "kind": self.name}
    match what:
        case "dead":
            line = AttemptLine(**kept, lane="bulk", verdict="bury", state="dead", cause="rejected", status=400)
            observer.buried(line, detail="HTTP 400")
            raise JobRejected("HTTP 400")
        case "observed" | "observed-unpicklable":
            try:
                fail(ZeroDivisionError() if what == "observed" else Unpicklable("x", keyword=1))
            except Exception as error:
                observer.unexpected(error, **kept)
                raise
        case "unseen":
            raise LookupError("nobody watched")
        case "unseen-unpicklable":
            raise Unpicklable("x", keyword=1)
        case "retry":
            raise self.retry(countdown=0, max_retries=5, args=["fine"])
        case _:
            return f"{seen} breadcrumbs"


answers = {}
with start_worker(app, pool="solo", loglevel="warning", perform_ping_check=False, shutdown_timeout=30):
    for what in ("dead", "observed", "observed-unpicklable", "unseen", "unseen-unpicklable", "retry", "fine"):
        result = create.apply_async([what], task_id=f"id-{what}")
        answers[what] = str(result.get(timeout=30, propagate=False, interval=0.01))
flush(5)
sys.stdout.write(json.dumps({"early": early, "answers": answers, "wrapped": hasattr(create.run, "__wrapped__")}) + "\n")
