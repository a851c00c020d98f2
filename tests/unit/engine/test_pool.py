"""What the pool makes of a tracer's results."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.app.trace import build_tracer, fast_trace_task
from celery.exceptions import Ignore, Retry

from oppsync_worker.engine.pool import untie


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Whatever is freed is freed because nobody holds it."""
    gc.disable()
    yield
    gc.enable()


def traced(raised: Exception | None) -> Any:
    """A task run as a worker does: (failed, what came of it, seconds)."""
    app = Celery("app", set_as_current=False, broker="memory://", backend="disabled://")

    def work() -> int:
        if raised is not None:
            raise raised
        return 1

    task = app._task_from_fun(work, name="task", shared=False)
    task.__trace__ = build_tracer("task", task, app=app)
    request = {"id": "1", "task": "task"}
    return fast_trace_task("task", "1", request, ((), {}, {}), None, None, _loc=(app.tasks, ["json"], "host"))


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("raised", [Ignore, ValueError, lambda: Retry(when=1)])
def test_the_report_of_a_job_that_did_not_succeed_dies_with_it(raised: Any) -> None:
    """By itself: a worker that parks thousands of jobs would carry hundreds of MiB of them to the next collection."""
    result = traced(raised())

    untie(result)

    report = weakref.ref(result[1])
    assert isinstance(report(), ExceptionInfo)
    del result
    assert report() is None


def test_what_succeeded_is_left_alone() -> None:
    """A result is a text by then."""
    result = traced(None)

    untie(result)

    assert result[:2] == (0, "1")
