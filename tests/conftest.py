"""Fixtures of all tiers. Nothing here leaves loopback."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st

from oppsync import JobClient
from oppsync_ops import redis_server
from oppsync_ops.redis_server import RedisServer
from oppsync_ops.simulator import HostedSimulator, SimulatorConfig, running_simulator
from stage import Worker

# How long a drawn case takes says how busy the machine is, and nothing of what is tested. All else stays as it was set.
settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and every process below inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """On a fresh machine Hypothesis builds its tables of Unicode, for seconds, and blames the test that draws first."""
    st.text().validate()


@pytest.fixture(scope="session")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests; each empties it first."""
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(session_redis: RedisServer) -> str:
    """An empty Redis, with AOF always."""
    with redis.Redis.from_url(session_redis.url) as client:
        client.flushall()
        client.script_flush()
    return session_redis.url


@pytest.fixture
def ledger(redis_url: str) -> Iterator[redis.Redis]:
    """A client to look at the ledger with."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def client(redis_url: str) -> Iterator[JobClient]:
    """A producer."""
    with JobClient(redis_url) as client:
        yield client


@pytest.fixture
def crm() -> Iterator[HostedSimulator]:
    """SprintHub without a limit, answering at once."""
    with running_simulator(config=SimulatorConfig(throttle="off")) as simulator:
        yield simulator


@pytest.fixture
def worker(redis_url: str, crm: HostedSimulator, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts worker processes; they are gone when the test is over."""
    with ExitStack() as stack:

        def start(name: str = "w1", options: Sequence[str] = (), **environ: str) -> Worker:
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            one = Worker(redis_url=redis_url, crm_url=crm.url, folder=folder, environ=environ, options=options)
            stack.callback(lambda: one.kill() if one.running else None)
            return one.start()

        yield start
