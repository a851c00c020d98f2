"""The HTTP side of one call: request in, call decided, waited, bytes out.

Built on aiohttp's low-level server, with answers written to the transport as one piece: the router and the response
objects of its framework would halve the rate, and the simulator must not be what a benchmark measures.
"""

from __future__ import annotations

import json
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from oppsync_ops.simulator.answers import Answer, Silence
from oppsync_ops.simulator.call import Call, Target
from oppsync_ops.simulator.dispatch import decide
from oppsync_ops.simulator.fault_effects import Decision
from oppsync_ops.simulator.refusals import named

if TYPE_CHECKING:
    import asyncio

    from oppsync_ops.simulator.simulation import Simulation

_log: Final = logging.getLogger(__name__)
_LINGER_RESET: Final = struct.pack("ii", 1, 0)


class Written(web.StreamResponse):
    """Bytes that go out as they are. Overrides everything aiohttp calls on an answer, so nothing else is set up."""

    def __init__(self, data: bytes, *, keep: bool) -> None:  # deliberately without super(): see above
        self._data = data
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write everything at once."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        if self._data:
            transport.write(self._data)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


async def received(sim: Simulation, request: web.BaseRequest, target: Target) -> tuple[Call, Answer | None]:
    """Read a request, and the answer it gets at once when its body is too big."""
    content = request.content
    if content.is_eof() and content.total_bytes <= sim.config.max_body_bytes:
        body, too_big = content.read_nowait(), False  # the usual case: the body came along with the head
    else:
        body, too_big = await _read_slowly(sim, request)
    headers = request.headers
    sim.ordinal += 1
    call = Call(
        ordinal=sim.ordinal,
        at=sim.clock.now(),
        method=request.method,
        target=target,
        api_token=headers.get("apitoken"),
        authorization=headers.get("Authorization"),
        body=None if too_big else _decoded(body, headers.get("Content-Type", "")),
    )
    return call, named(413, "request entity too large") if too_big else None


async def _read_slowly(sim: Simulation, request: web.BaseRequest) -> tuple[bytes, bool]:
    """The body, and whether it is bigger than is read."""
    most = sim.config.max_body_bytes
    if (request.content_length or 0) > most:
        return b"", True
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return b"", True
    return body, len(body) > most


async def settled(sim: Simulation, call: Call) -> tuple[Answer | Silence, Decision]:
    """Decide a call, wait as decided, and say how it ends. An accident inside becomes a counted 500."""
    generation = sim.generation
    try:
        decision = decide(sim, call)
        if decision.delay_s:
            await sim.clock.sleep(decision.delay_s)
        if sim.generation != generation:
            return Silence(), decision
        answer = decision.at_end() if decision.at_end else decision.answer
        if isinstance(answer, Silence) and answer.hang_s:
            await sim.clock.sleep(answer.hang_s)
    except Exception:  # noqa: BLE001 - one bad call must not take the others down
        _log.exception("the simulator failed at %s %s", call.method, call.target.path)
        sim.counters.internal_errors += 1
        accident = named(500, "Internal error in the simulator")
        return accident, Decision(accident)
    return answer, decision


def sent(sim: Simulation, request: web.BaseRequest, call: Call, answer: Answer | Silence, *, close: bool) -> Written:
    """Put the answer on the wire, or end the connection, and write counters and journal."""
    transport = request.transport
    gone = transport is None or transport.is_closing()
    status = answer.status if isinstance(answer, Answer) else None
    _record(sim, call, status=status, delivered=status is not None and not gone)
    if isinstance(answer, Silence):
        if transport is not None:
            end_connection(transport, reset=answer.reset)
        return Written(b"", keep=False)
    if gone:
        sim.counters.client_gone += 1
    close = close or not request.keep_alive or bool(answer.cut_bytes)
    data = answer.wire(sim.clock.now() + sim.config.clock_skew_s, close=close, head_only=request.method == "HEAD")
    return Written(data, keep=not close)


def end_connection(transport: asyncio.Transport, *, reset: bool) -> None:
    """Close a connection without an answer; ``reset`` makes the client see a TCP reset."""
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()


def _record(sim: Simulation, call: Call, *, status: int | None, delivered: bool) -> None:
    name = call.instance.name if call.instance else ""
    if name and name in sim.instances:
        sim.counters.instances[name].settled(status, call.fault, delivered=delivered)
    sim.journal.write(
        (
            "request",
            call.ordinal,
            call.at,
            name,
            call.method,
            call.target.path,
            call.marker,
            call.fault,
            call.committed,
            status,
            None,
        )
    )


def _decoded(body: bytes, content_type: str) -> Any:
    """The JSON value of a body; None when it is not JSON or does not say that it is."""
    if not body or "json" not in content_type.lower():
        return None
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
