"""The private names that the engine overrides.

When one of these fails, a new version of celery or kombu has moved what we stand on: read its changelog and ADR 0004
before changing the pin.
"""

import inspect
from importlib.metadata import version
from types import SimpleNamespace

import celery
import pytest
from celery.app import autoretry, trace
from celery.app import task as tasks
from celery.app.amqp import Queues
from celery.apps import worker as program
from celery.concurrency.base import BasePool
from celery.exceptions import Retry
from celery.worker import consumer
from celery.worker import request as requests
from celery.worker import state as worker_state
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import redis as stock
from kombu.transport import virtual
from kombu.utils.imports import symbol_by_name

from oppsync_worker.engine import consumer as ours
from oppsync_worker.engine import pool, request, transport
from oppsync_worker.tasks import OpportunityTask


def test_the_versions_are_the_ones_these_tests_were_written_for() -> None:
    """Pinned exactly in pyproject.toml."""
    assert (celery.__version__, version("kombu")) == ("5.7.0", "5.7.0")


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (transport.QoS, stock.QoS),
        (transport.Channel, stock.Channel),
        (transport.Message, virtual.Message),
        (ours.Consumer, consumer.Consumer),
        (pool.TaskPool, BasePool),
        (OpportunityTask, celery.Task),
        (request.Request, requests.Request),
    ],
)
def test_whatever_is_overridden_exists(mine: type, theirs: type) -> None:
    """An override of a name that went away would be dead code, and the stock behaviour back."""
    own = {"engine", "instances", "opening", "QoS", "terminate_job", "remote_control"}
    for name in vars(mine):
        if name.startswith("__") or name in own or name in {"_claim", "_hand_on", "_lanes", "_bury"}:
            continue
        if mine is pool.TaskPool and name in {"_spawn", "_run", "_back", "_drain", "_finished"}:
            continue
        assert hasattr(theirs, name), name


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (stock.QoS, "append", ["self", "message", "delivery_tag"]),
        (stock.QoS, "ack", ["self", "delivery_tag"]),
        (stock.QoS, "reject", ["self", "delivery_tag", "requeue"]),
        (stock.QoS, "restore_visible", ["self", "start", "num", "interval"]),
        (stock.QoS, "restore_by_tag", ["self", "tag", "client", "leftmost"]),
        (stock.QoS, "restore_unacked", ["self", "client"]),
        (virtual.QoS, "can_consume_max_estimate", ["self"]),
        (stock.Channel, "_brpop_start", ["self", "timeout"]),
        (stock.Channel, "_brpop_read", ["self", "options"]),
        (stock.Channel, "_connparams", ["self", "asynchronous"]),
        (stock.Channel, "_flush_brpop_reauth", ["self"]),
        (stock.Channel, "_on_connection_disconnect", ["self", "connection"]),
        (virtual.Transport, "_deliver", ["self", "message", "queue"]),
        (stock.Transport, "register_with_event_loop", ["self", "connection", "loop"]),
        (virtual.Transport, "close_connection", ["self", "connection"]),
        (
            celery.Task,
            "retry",
            ["self", "args", "kwargs", "exc", "throw", "eta", "countdown", "max_retries", "options"],
        ),
        (consumer.Consumer, "ensure_connected", ["self", "conn"]),
        (consumer.Consumer, "on_unknown_message", ["self", "body", "message"]),
        (consumer.Consumer, "on_unknown_task", ["self", "body", "message", "exc"]),
        (consumer.Consumer, "on_invalid_task", ["self", "body", "message", "exc"]),
        (consumer.Consumer, "on_decode_error", ["self", "message", "exc"]),
    ],
)
def test_signatures_are_the_ones_we_override(owner: type, name: str, parameters: list[str]) -> None:
    """Called by position in places."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_restoring_at_shutdown_can_be_switched_off() -> None:
    """The switch that ends both the mass re-queue on reconnect and the crash on a Redis restart."""
    source = inspect.getsource(virtual.QoS.restore_unacked_once)

    assert "if not self.restore_at_shutdown or not self.channel.do_restore:" in source
    assert transport.QoS.restore_at_shutdown is False


def test_closing_a_channel_reads_an_outstanding_answer() -> None:
    """Which must not claim: `_brpop_read` looks at `_closing` first."""
    source = inspect.getsource(stock.Channel.close)

    assert source.index("self._closing = True") < source.index("self._brpop_read()")


@pytest.mark.parametrize(
    ("step", "flag"),
    [
        ("celery.worker.consumer.mingle:Mingle", "without_mingle"),
        ("celery.worker.consumer.gossip:Gossip", "without_gossip"),
        ("celery.worker.consumer.heart:Heart", "without_heartbeat"),
    ],
)
def test_the_chatty_steps_can_be_switched_off(step: str, flag: str) -> None:
    """By the argument that the command line's flag becomes."""
    assert flag in inspect.signature(symbol_by_name(step).__init__).parameters


def test_the_pool_has_every_hook_that_celery_calls() -> None:
    """By name, with the defaults of the base class."""
    assert {"on_start", "on_stop", "on_apply", "on_terminate", "register_with_event_loop"} <= set(vars(BasePool))
    assert pool.TaskPool.signal_safe is False
    assert pool.TaskPool.body_can_be_buffer


def test_the_consumer_connects_through_the_connection_that_it_is_given() -> None:
    """Where the pauses are shortened, and every second of waiting is seen to be awake."""
    called = "conn.ensure_connection(\n            _error_handler, self.app.conf.broker_connection_max_retries,"
    source = inspect.getsource(consumer.Consumer.ensure_connected)

    assert called in source
    assert "callback=maybe_shutdown" in source
    assert list(inspect.signature(Connection._ensure_connection).parameters)[1:7] == [
        *("errback", "max_retries", "interval_start", "interval_step", "interval_max", "callback"),
    ]


def test_a_closed_connection_takes_everything_off_the_event_loop() -> None:
    """Kombu leaves a callback and five timers behind for each reconnect, and they hold the old channels' clients."""
    hub, connection = Hub(), Connection("redis://", transport=transport.Transport)
    opened = transport.Transport(client=connection)

    opened.register_with_event_loop(SimpleNamespace(client=connection), hub)
    hung = len(hub.on_tick), [timer.entry.canceled for timer in hub.timer.queue]
    opened.close_connection(None)

    assert hung == (1, [False] * 5)
    assert not hub.on_tick
    assert all(timer.entry.canceled for timer in hub.timer.queue)


def test_a_half_open_poll_is_noticed_by_the_transports_own_interval() -> None:
    """From the transport's options: both how often it looks, and how late an answer may be."""
    assert "health_check_interval" in stock.Channel.from_transport_options
    assert "'health_check_interval'" in inspect.getsource(stock.Transport.register_with_event_loop)
    assert "channel.health_check_interval" in inspect.getsource(stock.MultiChannelPoller.maybe_check_brpop_health)


def test_what_a_worker_consumes_can_be_asked_for() -> None:
    """By the watchdog: work in a lane that nobody here consumes is no reason to be awake."""
    queues = Queues({}, create_missing=False)
    for name in ("a", "b"):
        queues.add(name)
    queues.select(["a"])

    assert list(queues.consume_from) == ["a"]


def test_a_worker_that_was_told_to_stop_says_so() -> None:
    """In two names that its signal handlers set to an exit code, 0 among them."""
    assert hasattr(worker_state, "should_stop")
    assert hasattr(worker_state, "should_terminate")
    assert "'Warm': 'should_stop'" in inspect.getsource(program)


def test_our_retry_takes_what_celerys_takes() -> None:
    """Whoever calls it knows the stock one: names, order and defaults."""
    ours = inspect.signature(OpportunityTask.retry).parameters
    theirs = inspect.signature(celery.Task.retry).parameters

    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


def test_nothing_but_retry_itself_publishes_a_retry() -> None:
    """Neither autoretry nor the tracer nor the request does: overriding the one method is enough."""
    assert inspect.getsource(tasks.Task.retry).count("S.apply_async()") == 1
    assert "task.retry(exc=exc, **retry_kwargs_for_attempt)" in inspect.getsource(autoretry)
    assert "apply_async" not in inspect.getsource(autoretry)
    assert ".sig" not in inspect.getsource(trace.TraceInfo.handle_retry)
    assert ".sig" not in inspect.getsource(requests.Request.on_retry)


def test_whoever_calls_a_task_directly_is_answered_before_anything_is_published() -> None:
    """The two cases that are left to the stock method."""
    source = inspect.getsource(tasks.Task.retry)

    published = source.index("S.apply_async()")
    assert source.index("if request.called_directly:") < published
    assert source.index("if is_eager:") < published


def test_a_retry_without_a_signature_is_traced_and_acknowledged() -> None:
    """The tracer turns it into a state of its own, and the request into an acknowledgement, once the work is late."""
    app = celery.Celery(set_as_current=False, backend="disabled://")
    app.conf.task_ignore_result = True

    @app.task(bind=True, acks_late=True, shared=False)
    def again(self: celery.Task) -> None:
        assert not self.request.called_directly
        raise Retry(exc=ValueError("x"), when=3.0)

    told = trace.build_tracer(again.name, again, app=app)("id", (), {}, {"id": "id", "delivery_info": {}})

    assert told.info.state == "RETRY"
    assert told.retval.exception.exc.sig is None
    assert "isinstance(exc, Retry):\n            return self.on_retry(exc_info)" in inspect.getsource(
        requests.Request.on_failure
    )
    assert "if self.task.acks_late:\n            self.acknowledge()" in inspect.getsource(requests.Request.on_retry)


def test_a_retry_for_a_job_in_hand_tells_how_long() -> None:
    """Celery makes a text of it for its log."""
    assert "3.0" in str(Retry(exc=None, when=3.0))
