"""The two Celery tasks. They translate between Celery's words and the runner's, and decide nothing.

| end | what Celery is told |
|---|---|
| Done | success |
| Dead | a `JobFailed` by cause is raised: failure |
| Parked, Abandoned | `Ignore`: the job goes on elsewhere |

`Task.retry`, and so `autoretry_for`, puts the job back through the ledger (`engine/retrying.py`):

| it becomes | what Celery is told |
|---|---|
| scheduled | `Retry`, without a copy to send |
| dead, exhausted | `JobExhausted` |
| anything else | `Ignore`; for a job that is dead already, the error that it was to be retried for |
"""

import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import iscoroutine
from typing import Any, ClassVar, assert_never

from celery import Celery, Task
from celery.exceptions import Ignore, Retry

from oppsync_worker.contract import failures
from oppsync_worker.contract.names import Kind, Lane
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.contract.wire import ORIGIN
from oppsync_worker.engine.bridge import drive
from oppsync_worker.engine.engine import TAG_HEADER, Engine
from oppsync_worker.engine.retrying import Asked, put_back
from oppsync_worker.instances import InstanceSettings, RetrySettings
from oppsync_worker.policy import verdicts
from oppsync_worker.runner.ends import Abandoned, Dead, Done, Parked
from oppsync_worker.runner.reports import Report
from oppsync_worker.runner.runner import Delivery

logger = logging.getLogger(__name__)


class OpportunityTask(Task):  # type: ignore[misc]
    """A task that may wait for coroutines, run on the pool's loop. Each app makes a subclass that knows its engine."""

    engine: ClassVar[Engine]
    instances: ClassVar[Mapping[str, InstanceSettings]]

    abstract = True
    Request = "oppsync_worker.engine.request:Request"
    throws = (failures.JobFailed,)
    """Expected ends: Celery logs them without a traceback."""
    max_retries = None
    """As many as the instance's settings allow attempts; Celery itself would read it as without end."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the body, to its end if it is a coroutine, within the job's greenlet."""
        answer = self.run(*args, **kwargs)
        return drive(answer) if iscoroutine(answer) else answer

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,  # noqa: FBT001, FBT002
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Have the job tried again later: as it was enqueued, whatever else is given here.

        Raises:
            Retry: it is on the schedule (returned if not `throw`).
            JobExhausted: it was put back as often as it may be.
            Ignore: it is in doubt now, or not this worker's any more.
        """
        request = self.request
        tag = request.get(TAG_HEADER)
        if request.called_directly or request.is_eager:
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)  # publishes nothing
        if tag is None:
            raise failures.JobFailed("this task runs in an oppsync worker only: it was called without a claim")
        if args is not None or kwargs is not None or options:
            logger.warning("a retry cannot change its job: args, kwargs and options given to it are not looked at")
        if eta is not None:
            aware = eta if eta.tzinfo else eta.replace(tzinfo=self.app.timezone)
            countdown = (aware - datetime.now(UTC)).total_seconds()
        most = self.max_retries if max_retries is None else max_retries
        report = _report(self.name, request)
        known = self.instances.get(report.instance)
        settings = known.retry if known else RetrySettings()
        asked = Asked(countdown, most, type(exc).__name__ if exc else "Retry")
        end = drive(put_back(self.engine, tag, report, asked, settings, draw=random.random()))
        match end:
            case verdicts.Retry(delay_s):
                told = Retry(exc=exc, when=delay_s)
                if throw:
                    raise told
                return told
            case Dead(cause, detail):
                raise failure_of(cause)(detail) from exc
            case Parked(State.DEAD) if exc:
                raise exc
            case _:
                raise Ignore


def _report(name: str, request: Any) -> Report:
    """What a message says of its job, which nobody may have checked yet."""
    given = request.kwargs if isinstance(request.kwargs, Mapping) else {}
    instance, lane = given.get("instance"), given.get("lane")
    known = lane if lane in [one.value for one in Lane] else Lane.BULK.value
    return Report(request.id, name, instance if isinstance(instance, str) else "", known)


def failure_of(cause: Cause) -> type[failures.JobFailed]:
    """The exception class for a cause; the ledger writes the same name into the result."""
    name = "Job" + "".join(part.capitalize() for part in cause.value.split("_"))
    return getattr(failures, name)  # type: ignore[no-any-return]


def register(app: Celery, engine: Engine, instances: Mapping[str, InstanceSettings]) -> None:
    """Give the app its two tasks."""

    class AppTask(OpportunityTask):
        """The tasks of this app."""

        abstract = True

    AppTask.engine, AppTask.instances = engine, instances

    def body(kind: Kind) -> Callable[..., Any]:
        # No coroutine function: what goes wrong must go wrong within the call, where `autoretry_for` looks for it.
        def deliver(self: Task, /, *args: Any, **kwargs: Any) -> Any:
            request = self.request
            tag = request.get(TAG_HEADER)
            if tag is None:
                raise failures.JobFailed("this task runs in an oppsync worker only: it was called without a claim")
            own = request.get("origin") == ORIGIN
            end = drive(engine.deliver(Delivery(tag, kind.value, request.id, args, kwargs, own)))
            match end:
                case Done(result):
                    # Nobody reads it but callbacks: the outcome is written already, and Celery makes a text of whatever
                    # is returned, which would take a tenth of a job's time.
                    return dict(result) if request.callbacks or request.chain else None
                case Dead(cause, detail):
                    raise failure_of(cause)(detail)
                case Parked() | Abandoned():
                    raise Ignore
            assert_never(end)

        return deliver

    for kind in Kind:
        app.task(name=kind.value, bind=True, base=AppTask)(body(kind))
