"""A server that is closed leaves nothing open, whatever its connections are at: no socket, no task, no warning."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import socket
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import pytest

from integration.crm.loopback import Wire, serving
from integration.observe import sentry_server
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.simulator import HostedSimulator, Simulator, SimulatorConfig, running_simulator

ROUNDS: Final = 25
REQUEST: Final = b"GET /crm HTTP/1.1\r\nHost: x\r\napitoken: t\r\n\r\n"
JOURNAL: Final = b"GET /__sim/journal HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    """One connection, brought to a stage and left there."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        # Small, so that an answer that is not read fills the server's buffers as well.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))

    def close(self) -> None:
        """Gone."""
        self.socket.close()


def silent(client: Client) -> None:
    """Accepted, and nothing said."""


def half_a_request(client: Client) -> None:
    """The rest never comes."""
    client.socket.sendall(REQUEST[:20])


def under_way(client: Client) -> None:
    """The server has it and has not answered."""
    client.socket.sendall(REQUEST)


def answering(client: Client) -> None:
    """More is to be sent than the client takes."""
    client.socket.sendall(JOURNAL * 50)


def idle(client: Client) -> None:
    """Answered, and kept for the next request."""
    client.socket.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(TimeoutError, ConnectionError):
        client.socket.settimeout(0.2)
        client.socket.recv(16)


def gone(client: Client) -> None:
    """The client has left in the middle."""
    client.socket.sendall(REQUEST)
    client.close()


def reset(client: Client) -> None:
    """The client's machine has forgotten it."""
    client.socket.sendall(REQUEST)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


STAGES: Final[tuple[Callable[[Client], None], ...]] = (
    silent,
    half_a_request,
    under_way,
    answering,
    idle,
    gone,
    reset,
)


def descriptors() -> set[str]:
    """The sockets of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
            if target.startswith("socket:"):
                found.add(target)
    return found


@pytest.fixture
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever was opened in the test is closed when it ends."""
    gc.collect()
    before = descriptors()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
        left = descriptors() - before
        gc.collect()
    assert [str(one.message) for one in told] == []
    assert not left, f"{len(left)} sockets are left open"
    complaints = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert complaints == []


def crowd(port: int, stages: tuple[Callable[[Client], None], ...]) -> list[Client]:
    """A connection at each of these stages."""
    clients = []
    for stage in stages:
        client = Client(port)
        clients.append(client)
        stage(client)
    return clients


def drawn(seed: int) -> tuple[Callable[[Client], None], ...]:
    """Some stages in some order, most of them of connections that have only just come."""
    draw = random.Random(seed)
    quick = [stage for stage in STAGES if stage is not idle]
    return tuple(draw.choices(quick, k=draw.randint(1, 12)))


def alone_and_drawn() -> list[tuple[Callable[[Client], None], ...]]:
    """Each stage alone, then crowds."""
    return [(stage,) for stage in STAGES] + [drawn(seed) for seed in range(ROUNDS)]


@contextlib.contextmanager
def closing(clients: list[Client]) -> Iterator[None]:
    """The clients go after the server, so that nothing is closed for its sake."""
    try:
        yield
    finally:
        for client in clients:
            client.close()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("mode", [Proxy.flow, Proxy.freeze, Proxy.forget, Proxy.refuse, Proxy.cut])
def test_a_proxy_that_stops(mode: Callable[[Proxy], object]) -> None:
    """With a server behind it that is slow to take connections, or takes none; in every mode."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as target:
        for number, stages in enumerate(alone_and_drawn()):
            clients: list[Client] = []
            with closing(clients), proxied(target.getsockname()[1]) as proxy:
                clients += crowd(proxy.port, stages)
                if number % 2:
                    mode(proxy)
                time.sleep(0.002 * (number % 3))


@pytest.mark.usefixtures("nothing_left")
def test_a_proxy_that_holds_back_what_nobody_takes() -> None:
    """Megabytes in its buffers, in both directions."""
    with socket.create_server(("127.0.0.1", 0)) as target:
        for number in range(ROUNDS):
            with socket.socket() as client, proxied(target.getsockname()[1]) as proxy:
                client.connect(("127.0.0.1", proxy.port))
                taken, _ = target.accept()
                with taken:
                    for end in (client, taken):
                        end.setblocking(False)
                        with contextlib.suppress(BlockingIOError):
                            for _ in range(100):
                                end.send(b"x" * 1_000_000)
                    time.sleep(0.001 * (number % 4))
                    proxy.stop()
                    proxy.stop()


CONFIG: Final = SimulatorConfig(throttle="off", latency_ms=200)


@pytest.mark.usefixtures("nothing_left")
def test_a_simulator_in_a_thread_that_stops() -> None:
    """The one of synchronous tests."""

    def prepared(simulator: HostedSimulator) -> int:
        return int(simulator.url.rpartition(":")[2])

    for number, stages in enumerate(alone_and_drawn()):
        clients: list[Client] = []
        with closing(clients), running_simulator(CONFIG) as simulator:
            clients += crowd(prepared(simulator), stages)
            time.sleep(0.002 * (number % 3))


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("trouble", ["none", "refuse", "restart"])
async def test_a_simulator_in_this_loop_that_stops(trouble: str) -> None:
    """The one of asynchronous tests: nobody ends its loop, so nothing may be left in it."""
    for number, stages in enumerate(alone_and_drawn()):
        clients: list[Client] = []
        with closing(clients):
            async with Simulator.start(config=CONFIG) as simulator:
                port = int(simulator.url.rpartition(":")[2])
                clients += await asyncio.to_thread(crowd, port, stages)
                if trouble != "none":
                    getattr(simulator, trouble)(30)
                await asyncio.sleep(0.002 * (number % 3))
            assert others() == set()


@pytest.mark.usefixtures("nothing_left")
async def test_a_simulator_that_stops_before_it_has_seen_who_came() -> None:
    """Connections in the queue of the listening socket, and those that the loop has just taken."""
    for ticks in range(ROUNDS):
        clients: list[Client] = []
        with closing(clients):
            async with Simulator.start(config=CONFIG) as simulator:
                clients += crowd(int(simulator.url.rpartition(":")[2]), (silent, under_way, half_a_request))
                for _ in range(ticks % 6):
                    await asyncio.sleep(0)
            assert others() == set()


@contextlib.asynccontextmanager
async def tiny() -> AsyncIterator[int]:
    """The server of the client's tests."""

    async def behave(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b"x" * 5_000_000)
        await wire.request()

    async with serving(behave) as seen:
        yield seen.port


@pytest.mark.usefixtures("nothing_left")
async def test_the_tiny_server_of_tests_that_stops() -> None:
    """The same for our own tools."""
    for number, stages in enumerate(alone_and_drawn()):
        clients: list[Client] = []
        with closing(clients):
            async with tiny() as port:
                clients += await asyncio.to_thread(crowd, port, stages)
                for _ in range(number % 6):
                    await asyncio.sleep(0)
            assert others() == set()


@pytest.mark.usefixtures("nothing_left")
def test_the_sentry_of_tests_that_stops() -> None:
    """The same for our own tools."""
    for stages in alone_and_drawn():
        clients: list[Client] = []
        with closing(clients), sentry_server.running() as server:
            clients += crowd(server.server_port, stages)


def others() -> set[str]:
    """Tasks of this loop besides this one."""
    return {repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()}
