"""The two Celery tasks. They translate between Celery's words and the runner's, and decide nothing.

| end | what Celery is told |
|---|---|
| Done | success; callbacks, if there are any, get the outcome |
| Dead | a `JobFailed` by cause is raised: failure, error callbacks fire |
| Parked, Abandoned | `Ignore`: the job goes on elsewhere |
"""

from collections.abc import Callable
from typing import Any, assert_never

from celery import Celery, Task
from celery.exceptions import Ignore

from oppsync_worker.contract import failures
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause
from oppsync_worker.engine.bridge import drive
from oppsync_worker.engine.engine import TAG_HEADER, Engine
from oppsync_worker.runner.ends import Abandoned, Dead, Done, Parked
from oppsync_worker.runner.runner import Delivery


class OpportunityTask(Task):  # type: ignore[misc]
    """A task whose body is a coroutine, run on the pool's loop."""

    abstract = True
    throws = (failures.JobFailed,)
    """Expected ends: Celery logs them without a traceback."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the coroutine to its end, within the job's greenlet."""
        return drive(self.run(*args, **kwargs))


def failure_of(cause: Cause) -> type[failures.JobFailed]:
    """The exception class for a cause; the ledger writes the same name into the result."""
    name = "Job" + "".join(part.capitalize() for part in cause.value.split("_"))
    return getattr(failures, name)  # type: ignore[no-any-return]


def register(app: Celery, engine: Engine) -> None:
    """Give the app its two tasks."""

    def body(kind: Kind) -> Callable[..., Any]:
        async def deliver(self: Task, /, *args: Any, **kwargs: Any) -> Any:
            request = self.request
            tag = request.get(TAG_HEADER)
            if tag is None:
                raise failures.JobFailed("this task runs in an oppsync worker only: it was called without a claim")
            end = await engine.deliver(Delivery(tag, kind.value, request.id, args, kwargs))
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
        app.task(name=kind.value, bind=True, base=OpportunityTask)(body(kind))
