"""Celery's consumer, without the parts that let a message go unrecorded or the workers chatter.

Stock Celery deletes what it cannot run: unknown tasks (every deploy with old workers has some), messages without a
task, undecodable bodies. Here each is buried, whole, before anything is acknowledged.
"""

from collections.abc import Callable
from typing import Any, Final

from celery.worker.consumer import Consumer as StockConsumer
from celery.worker.consumer.control import Control

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine import remote, starting
from oppsync_worker.engine.engine import Engine

RECONNECT_S: Final = 0.5
RECONNECT_STEP_S: Final = 0.5
RECONNECT_MOST_S: Final = 3.0
"""Stock Celery waits up to half a minute between two tries: so long would jobs lie about after Redis is back."""


class Consumer(StockConsumer):  # type: ignore[misc]
    """Buries what Celery cannot run. The composition root makes a subclass that knows its engine."""

    engine: Engine
    remote_control: remote.Level = "inspect"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Workers that greet and watch each other broadcast all the time, and the ledger knows more than they do. Celery
        # has command-line flags for these and no settings.
        quiet = {"without_mingle": True, "without_gossip": True}
        # With `-E` somebody watches (Flower), who takes a worker without a heartbeat for dead.
        options = kwargs.get("worker_options") or {}
        quiet["without_heartbeat"] = bool(options.get("without_heartbeat")) or not kwargs.get("task_events")
        super().__init__(*args, **{**kwargs, **quiet})
        starting.check_pool(self.controller, self.pool)
        for step in self.steps:
            if isinstance(step, Control):
                step.box.node.handlers = remote.handlers(self.remote_control)
        # What is consumed now: chosen on the command line, and changed by remote control while the worker runs.
        self.engine.consumed = lambda: list(self.app.amqp.queues.consume_from)

    def ensure_connected(self, conn: Any) -> Any:
        """Wait for Redis, a little between two tries, and be seen to be awake meanwhile."""
        ensure = conn.ensure_connection

        def ensure_connection(errback: Any, max_retries: int | None, *, callback: Callable[[], None]) -> Any:
            def turn() -> None:
                self.engine.polled()
                callback()

            return ensure(errback, max_retries, RECONNECT_S, RECONNECT_STEP_S, RECONNECT_MOST_S, callback=turn)

        conn.ensure_connection = ensure_connection
        return super().ensure_connected(conn)

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """A message without a task."""
        self._bury(message, Cause.MALFORMED, "the message names no task")

    def on_unknown_task(self, _body: Any, message: Any, _exc: BaseException) -> None:
        """A task that this version does not have."""
        name = str(message.headers.get("task"))[:100]
        self._bury(message, Cause.UNKNOWN_TASK, f"there is no task {name!r} in this worker")

    def on_invalid_task(self, _body: Any, message: Any, exc: BaseException) -> None:
        """A message that Celery finds invalid."""
        self._bury(message, Cause.MALFORMED, f"Celery refuses the message: {type(exc).__name__}")

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """A body that Celery cannot decode."""
        self._bury(message, Cause.UNDECODABLE, f"Celery cannot decode the message: {type(exc).__name__}")

    def _bury(self, message: Any, cause: Cause, detail: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else None
        self.engine.bury(message.delivery_tag, headers, cause=cause, detail=detail)
        message.ack()
