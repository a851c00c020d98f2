"""Celery's remote control, as far as it can be true here. ops/docs/celery.md has the table.

Whoever may write to Redis may send a command, and Celery asks nobody who they are. So by default only what looks on is
answered (`OPPSYNC_REMOTE_CONTROL=inspect`); `all` lets commands change the worker, `off` hears none. A command that
this worker could not carry out is answered with an error and a sentence, never with "successfully".
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from celery.worker import state as celery_state
from celery.worker.control import Panel

from oppsync_worker.contract.names import Lane

logger = logging.getLogger(__name__)

Level = Literal["all", "inspect", "off"]
Handler = Callable[..., Any]

ALWAYS: Final = frozenset({"enable_events", "disable_events", "heartbeat"})
"""Commands of type `control` that change no more than what is told: Flower gives them by itself."""

_NO_POOL: Final = "the number of calls in flight is fixed when the worker starts: use --concurrency, or more workers"
IMPOSSIBLE: Final[Mapping[str, str]] = {
    "rate_limit": "rates are kept by the ledger, for all workers together: set [INSTANCE.budget] in the settings",
    "time_limit": "a call that was sent cannot be called back: set call_seconds in the instances' file",
    "pool_grow": _NO_POOL,
    "pool_shrink": _NO_POOL,
    "autoscale": _NO_POOL,
    "pool_restart": "the pool is the worker: stop it, and start it again",
    "revoke_by_stamped_headers": "stamps are not read here: use revoke with the jobs' ids",
    "election": "workers here elect nobody: each does what is due",
}
"""Commands that Celery answers with success, or an exception's name, and that do nothing here."""


def handlers(level: Level) -> dict[str, Handler]:
    """What each command does in a worker that allows `level`."""
    ours: dict[str, Handler] = {"revoke": revoke, "terminate": terminate}
    ours |= {"enable_events": enable_events, "disable_events": disable_events}
    ours |= {"add_consumer": add_consumer, "cancel_consumer": cancel_consumer}
    found = {name: ours.get(name, handler) for name, handler in Panel.data.items()}
    found |= {name: _refusing(name, why) for name, why in IMPOSSIBLE.items()}
    if level != "all":
        closed = f"this worker only answers questions: it was started with OPPSYNC_REMOTE_CONTROL={level}"
        for name, meta in Panel.meta.items():
            if meta.type == "control" and name not in ALWAYS:
                found[name] = _refusing(name, closed)
    return found


def revoke(
    state: Any,
    task_id: Any = None,
    terminate: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
    signal: Any = None,
    **_: Any,
) -> dict[str, str]:
    """Have jobs buried that come to this worker from now on; what is under way goes on to its true end."""
    ids = sorted({str(one) for one in ([task_id] if isinstance(task_id, str) else task_id or [])})
    if not ids:
        return {"error": "no id was given"}
    running = {request.id for request in tuple(celery_state.active_requests)}
    started = [one for one in ids if one in running]
    waiting = [one for one in ids if one not in running]
    celery_state.revoked.update(waiting)
    said = []
    if waiting:
        said.append(f"will be buried as revoked when this worker gets them: {', '.join(waiting)}")
    if started:
        said.append(
            f"under way, and not called back, for nobody could tell what the CRM has done by then: {', '.join(started)}"
        )
    logger.info("revoke: %s", "; ".join(said))
    del state, terminate, signal
    return {"error" if not waiting else "ok": "; ".join(said)}


def terminate(state: Any, signal: Any = None, task_id: Any = None, **_: Any) -> dict[str, str]:
    """The same as `revoke`: nothing is ended by force."""
    return revoke(state, task_id, signal=signal)


def enable_events(state: Any, **_: Any) -> Any:
    """Tell what becomes of jobs, to whoever watches."""
    if state.consumer.event_dispatcher is None:
        return {"error": "this worker tells no events: start it as `celery -A oppsync_worker.app worker -E`"}
    return Panel.data["enable_events"](state)


def disable_events(state: Any, **_: Any) -> Any:
    """Tell no more of jobs."""
    if state.consumer.event_dispatcher is None:
        return {"ok": "this worker tells no events, as it was started without -E"}
    dispatcher = state.consumer.event_dispatcher
    # Celery starts a worker with -E without any group, which means all; none could be taken away from that.
    dispatcher.groups = dispatcher.groups or {"worker", "task"}
    return Panel.data["disable_events"](state)


def add_consumer(state: Any, queue: str, **options: Any) -> Any:
    """Serve one more lane."""
    if queue not in {lane.queue for lane in Lane}:
        return {"error": f"there is no queue {queue!r}: only {', '.join(lane.queue for lane in Lane)}"}
    return Panel.data["add_consumer"](state, queue, **options)


def cancel_consumer(state: Any, queue: str, **options: Any) -> Any:
    """Serve a lane no longer."""
    if queue not in state.app.amqp.queues.consume_from:
        return {"error": f"this worker does not serve a queue {queue!r}"}
    return Panel.data["cancel_consumer"](state, queue, **options)


def _refusing(name: str, why: str) -> Handler:
    def refused(_state: Any, *_: Any, **__: Any) -> dict[str, str]:
        logger.warning("the remote command %s was refused: %s", name, why)
        return {"error": f"{name} was refused: {why}"}

    return refused
