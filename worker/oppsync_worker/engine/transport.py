"""Claiming instead of popping: a kombu Redis transport in which a message is never in nobody's hands.

Stock kombu takes a message with BRPOP and records it afterwards; whoever dies in between loses it, and a broken
connection restores everything that is still running. Here:

 1. An idle channel waits on a *bell*, a list that is rung when a queue gets work. Losing its element loses nothing.
    A stock producer rings no bell, so the wait ends after a quarter of a second and looks all the same.
 2. A script moves messages into claims, each with a lease and a fresh tag, as many as there is room for.
 3. Acknowledging is bookkeeping: the script that settled the job has let go of its claim already.
 4. Nothing is restored because a channel closes. Leases decide, on Redis' clock.

Wire-compatible with `redis://` producers. Overrides private names of kombu 5.7.0, pinned by `tests/conformance/`.
"""

import logging
from queue import Empty
from time import monotonic
from typing import Any, Final

import click
import redis
from kombu.transport import redis as stock
from kombu.transport import virtual
from redis.connection import parse_url

from oppsync_worker.contract.names import Lane
from oppsync_worker.contract.states import Cause
from oppsync_worker.engine.engine import CLAIM_MOST, Engine
from oppsync_worker.engine.envelopes import CALL, Unreadable, prepare
from oppsync_worker.ledger import keys
from oppsync_worker.ledger.claims import Claimed
from oppsync_worker.ledger.connect import connection_options

logger = logging.getLogger(__name__)

ALIAS: Final = "oppsync"
"""The transport's scheme in a broker URL."""

WAKE_S: Final = 0.25
"""Longest wait for a bell: how late a stock producer's message may be noticed by an idle worker."""

TIMER_SUFFIX: Final = "_tref"
"""How kombu's poller names the timers that it has on the event loop."""

CLAIM_ROUNDS: Final = 10
"""Scripts in a row before the event loop gets its turn."""


class QoS(stock.QoS):  # type: ignore[misc]
    """Who holds what, within one channel. The ledger knows better, so this only counts."""

    restore_at_shutdown = False

    def append(self, message: Any, delivery_tag: str) -> None:
        """The claim is recorded already."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Celery is done with it; what is unsettled is not deleted."""
        self.channel.engine.acknowledged(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Celery will not run it: handed back, or buried."""
        if requeue:
            self.channel.engine.release(delivery_tag)
        else:
            self.channel.engine.acknowledged(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Housekeeping does it, by script."""

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002
        """Never: a lease that runs out restores its claim."""

    def restore_unacked(self, client: Any = None) -> None:
        """Never: a broken connection says nothing about the jobs that run."""


class Message(virtual.Message):  # type: ignore[misc]
    """A message that may have been read already: a claimed one."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **options: Any) -> None:
        super().__init__(payload, channel=channel, **options)
        self._call = payload.get(CALL)

    def decode(self) -> Any:
        """What the body says."""
        return super().decode() if self._call is None else self._call


class Channel(stock.Channel):  # type: ignore[misc]
    """A channel that waits for a bell and claims by script."""

    QoS = QoS
    Message = Message
    engine: Engine
    from_transport_options = (*stock.Channel.from_transport_options, "engine")

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        """Connect as everybody else in this process does; kombu's own reading of URLs is passed by."""
        url = self.engine.redis_url
        given: dict[str, Any] = {"db": 0, **connection_options(url), **parse_url(url)}  # type: ignore[no-untyped-call]
        given["connection_class"] = chosen = given.get("connection_class", redis.Connection)
        if asynchronous:
            channel = self

            class Watched(chosen):  # type: ignore[misc, valid-type]
                """Tells the poller when its socket goes away."""

                def disconnect(self, *args: Any, **kwargs: Any) -> None:
                    super().disconnect(*args, **kwargs)
                    if channel._registered:
                        channel._on_connection_disconnect(self)

            given["connection_class"] = Watched
        return given

    def _purge(self, queue: str) -> int:
        """Never: producers were told that their jobs are safe."""
        raise click.UsageError(
            f"{queue} is not purged: its jobs would be lost without a trace. Stop the producer, or `oppsync hold set`."
        )

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._lanes()
        if not queues:
            # Somebody else's queue, such as the one that `celery inspect` waits for its answers on.
            super()._brpop_start(timeout)
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = self.engine.polled_at = monotonic()
        bells = [keys.bell(queue) for queue in queues]
        self.client.connection.send_command("BRPOP", *bells, timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        if not self._lanes() and not self._closing:
            return bool(super()._brpop_read(**options))
        try:
            self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except redis.RedisError as error:
            self.engine.refused(error)
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        # `close` reads an outstanding answer too: that is no moment to take on work.
        if self._closing or not self._claim():
            raise Empty
        return True

    def _claim(self) -> int:
        queues, taken = self._lanes(), 0
        for _ in range(CLAIM_ROUNDS):
            room = self.qos.can_consume_max_estimate()
            # After a reconnect the channel is new and believes itself empty, while all that was claimed still runs.
            # With no room (0) the claim script still takes out of the lanes what has no slot.
            most = min(CLAIM_MOST if room is None else room, CLAIM_MOST, self.engine.room())
            claimed = self.engine.claim(queues, most)
            for one in claimed:
                self._hand_on(one)
            taken += len(claimed)
            if len(claimed) < CLAIM_MOST:
                break
        return taken

    def _hand_on(self, claimed: Claimed) -> None:
        """Read a message and give it to Celery. Whatever is in it, this neither raises nor leaves the claim renewed."""
        try:
            payload = prepare(claimed)
        except Exception as error:
            refused = error if isinstance(error, Unreadable) else None
            if refused is None:
                logger.exception("a message could not be read")
                refused = Unreadable(Cause.INTERNAL, f"the message cannot be read: {type(error).__name__}")
            self.engine.bury(claimed.tag, {"task": refused.task}, cause=refused.cause, detail=str(refused))
            self.engine.hands.drop(claimed.tag)
            return
        try:
            self.connection._deliver(payload, claimed.queue)  # noqa: SLF001
        except Exception:
            # Celery got what is written here, so that the message is not to blame: its lease runs out, and it is
            # delivered again; should it be to blame all the same, it is buried as poison in the end.
            logger.exception("a message could not be delivered; its claim is left to its lease")
            self.engine.hands.drop(claimed.tag)
            virtual.QoS.ack(self.qos, claimed.tag)

    def _lanes(self) -> list[str]:
        """The lanes that are consumed: interactive before bulk, whatever order they were named in."""
        return [lane.queue for lane in Lane if lane.queue in self.active_queues]


class Transport(stock.Transport):  # type: ignore[misc]
    """`oppsync://`: the Redis of the engine that stands in the transport options."""

    Channel = Channel
    brpop_timeout = WAKE_S
    _hooked: Any = None
    driver_name = ALIAS

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Remember what is hung on the loop: kombu only takes it down for a poller that is used again."""
        hung_before = set(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        self._hooked = (loop, loop.on_tick - hung_before)

    def close_connection(self, connection: Any) -> None:
        """Take it down again, or every reconnect leaves five timers, a callback and two clients behind."""
        super().close_connection(connection)
        if self._hooked is None:
            return
        (loop, ticks), self._hooked = self._hooked, None
        loop.on_tick -= ticks
        for name, entry in list(vars(self.cycle).items()):
            if name.endswith(TIMER_SUFFIX):
                entry.cancel()
