"""The proxy misbehaves as told, and only then."""

import socket
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.redis_server import RedisServer, free_port, login
from stage import eventually


@pytest.fixture
def proxy(session_redis: RedisServer) -> Iterator[Proxy]:
    """In front of Redis."""
    with proxied(session_redis.port) as one:
        yield one


SILENCE_S = 0.5
"""Long enough to be called silence; whatever is to arrive gets far more time."""


def connect(proxy: Proxy, *, timeout_s: float = 20) -> redis.Redis:
    """A client that does not try again."""
    return redis.Redis(port=proxy.port, **login(), socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def pings(client: redis.Redis) -> bool:
    """Whether it is answered in its time, which a busy machine may exceed."""
    try:
        return bool(client.ping())
    except redis.TimeoutError:
        return False


def test_everything_passes_until_it_is_told_otherwise(proxy: Proxy) -> None:
    """Also large things."""
    with connect(proxy) as client:
        client.set("large", b"x" * 5_000_000)

        assert client.get("large") == b"x" * 5_000_000


def test_a_cut_ends_connections_and_new_ones_work(proxy: Proxy) -> None:
    """With a reset, at once."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"-NOAUTH Authentication required.\r\n"

        assert proxy.cut() == 1

        with pytest.raises(ConnectionResetError):
            client.recv(16)
    with connect(proxy) as another:
        assert another.ping()


def test_a_frozen_link_answers_nothing_and_closes_nothing(proxy: Proxy) -> None:
    """Old and new connections alike; what was held back arrives in the end."""
    with connect(proxy, timeout_s=SILENCE_S) as hasty, connect(proxy) as client:
        eventually(lambda: pings(hasty))
        proxy.freeze()

        with pytest.raises(redis.TimeoutError):
            hasty.set("held", "back")
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        proxy.flow()

        eventually(lambda: client.get("held") == b"back", what="what was held back")


def test_what_is_forgotten_stays_silent_and_new_connections_work(proxy: Proxy) -> None:
    """Neither side of the old one is told, whatever the proxy is told later."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as old:
        old.sendall(b"PING\r\n")
        assert old.recv(100) == b"-NOAUTH Authentication required.\r\n"

        proxy.forget()
        proxy.flow()

        with connect(proxy) as another:
            assert another.ping()
        old.sendall(b"PING\r\n")
        old.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            old.recv(16)


def test_whoever_is_refused_is_told_so(proxy: Proxy) -> None:
    """And the port is the same afterwards."""
    port = proxy.port
    with connect(proxy) as client:
        client.ping()
        proxy.refuse()

        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        proxy.flow()

        assert client.ping()
        assert proxy.port == port


def test_nobody_behind_it_is_told_by_an_ended_connection() -> None:
    """As a port that nobody listens on."""
    with proxied(free_port()) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        assert client.recv(1) == b""
