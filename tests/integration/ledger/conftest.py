"""The ledger's tests are run twice: as they are, and with every script aborted at each of its writes first."""

import re
import sys
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import redis

from integration.ledger.aborting import Aborter, aborting

_TWICE: Final = {f"test_{name}" for name in ("breaker", "cases", "doubts", "hostile", "order", "sweep")}
_ONCE: Final = {"test_of_those_who_have_slots_already_only_one_tries", "test_a_long_line_takes_no_memory"}
"""Within a tenth of a second, and with very many jobs: whichever branch they meet, others meet it too."""
_RUNNERS: Final = ("integration.ledger.desk", "oppsync_worker.engine.sweep")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An abort must change nothing, whichever branch of whichever script it meets."""
    if metafunc.module.__name__.rpartition(".")[2] in _TWICE and metafunc.function.__name__ not in _ONCE:
        metafunc.parametrize("aborts", ["", "aborted"], ids=["", "aborted"], indirect=True)


@pytest.fixture(autouse=True)
def aborts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ledger: redis.Redis) -> Iterator[None]:
    """Whether scripts are aborted first."""
    if not getattr(request, "param", ""):
        yield
        return
    modules = [sys.modules[name] for name in _RUNNERS if name in sys.modules]
    aborting(monkeypatch, [request.module, *modules], Aborter())
    # Many times the writes: a disk that is slow must not decide a test.
    ledger.config_set("appendfsync", "no")
    yield
    ledger.config_set("appendfsync", "always")


@pytest.fixture
def with_rights(ledger: redis.Redis, redis_url: str) -> Iterator[Callable[..., redis.Redis]]:
    """Gives a client with these rights."""
    clients = []

    def some(*words: str, keys: str = "~*", channels: str = "&*") -> redis.Redis:
        ledger.execute_command("ACL", "SETUSER", "some", "reset", "on", ">p", *keys.split(), "resetchannels")
        ledger.execute_command("ACL", "SETUSER", "some", *channels.split(), "+@all", *words)
        clients.append(redis.Redis.from_url(re.sub(r"//[^@]*@", "//some:p@", redis_url)))
        return clients[-1]

    yield some
    for client in clients:
        client.close()
    ledger.execute_command("ACL", "DELUSER", "some")
