"""Redis that loads its data, and names that cannot be found: a worker waits, and then goes on."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops import redis_server
from oppsync_ops.redis_server import RedisServer, free_port, server_program, spawn
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

KEYS = 100_000
"""So many that a server which is slowed down loads them for some seconds."""


def deals(count: int, first: int = 0) -> list[CreateOpportunity]:
    """Many creates."""
    return [
        CreateOpportunity(instance="acme", funnel_id=7, title=f"Deal {n}", crm_column=130, lead_id=n + 1)
        for n in range(first, first + count)
    ]


def loading(data: Path, port: int) -> RedisServer:
    """Start a server that takes its time to read its data; it answers LOADING meanwhile."""
    return spawn(server_program(), data, port=port, more=("--key-load-delay", "400"))


def hurry(server: RedisServer) -> None:
    """It has taken long enough: a worker that is slow to start has met it."""
    # Redis 6.2 takes no orders meanwhile, and so takes its time.
    with redis.Redis.from_url(server.url) as client, suppress(redis.ResponseError):
        client.config_set("key-load-delay", "0")
    eventually(lambda: not is_loading(server.url), within_s=90)


def is_loading(url: str) -> bool:
    """Whether it says so."""
    with redis.Redis.from_url(url) as client:
        try:
            client.ping()
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return False
    return False


@pytest.mark.timeout(300)
def test_a_worker_waits_for_a_redis_that_is_loading(crm: HostedSimulator, tmp_path: Path) -> None:
    """At its start, and in the middle of forty slow calls."""
    crm.configure(latency_ms=1000)
    data, port = tmp_path / "redis", free_port()
    with (
        redis_server.running(data) as first,
        redis.Redis.from_url(first.url) as ballast,
        ballast.pipeline(transaction=False) as pipe,
    ):
        for number in range(KEYS):
            pipe.set(f"ballast:{number}", number)
        pipe.execute()
    server = loading(data, port)
    worker = Worker(redis_url=server.url, crm_url=crm.url, folder=tmp_path, environ={"OPPSYNC_CONCURRENCY": "40"})
    try:
        eventually(lambda: is_loading(server.url))
        worker.start()
        eventually(lambda: " loading " in worker.said(), what="a worker that met it loading")
        hurry(server)
        with JobClient(server.url) as client:
            jobs = client.enqueue_many(deals(60))
            eventually(lambda: any(one.state == State.SENDING for one in client.outcomes(jobs)), within_s=30)

            server.kill()
            met = worker.said().count(" loading ")
            server = loading(data, port)
            eventually(lambda: worker.said().count(" loading ") > met, what="a worker that met it loading again")
            hurry(server)

            eventually(lambda: answered(client, jobs) == {State.SUCCEEDED}, within_s=60)
        assert worker.running
        assert crm.counters()["instances"]["acme"]["duplicates"] == 0
        assert crm.counters()["instances"]["acme"]["received"] == 60
        assert worker.stop() == 0
    finally:
        if worker.running:
            worker.kill()
        server.stop()


def answered(client: JobClient, jobs: list[str]) -> set[State]:
    """Where the jobs are; nowhere while Redis is away."""
    try:
        return {one.state for one in client.outcomes(jobs)}
    except Exception as error:
        if "Redis" not in str(error):
            raise
        return set()


@pytest.fixture
def named(
    session_redis: RedisServer, redis_url: str, crm: HostedSimulator, tmp_path: Path
) -> Iterator[Callable[..., Worker]]:
    """Starts a worker that knows Redis and the CRM by names, and a name server that knows what it is told."""
    assert redis_url
    server = tmp_path / "names"
    server.write_text("", "utf-8")
    (tmp_path / "instances.toml").write_text(
        '[acme]\ntoken = "acme-token-1234"\n[acme.budget]\nrequests = 0\nconcurrency = 0\n'
        "[acme.breaker]\nfailures = 0\n"
        "[acme.retry]\nmax_attempts = 500\nfirst_delay_seconds = 0.1\nmax_delay_seconds = 0.3\n",
        "utf-8",
    )
    with ExitStack() as stack:

        def start() -> Worker:
            one = Worker(
                redis_url=session_redis.url.replace("127.0.0.1", "redis.test"),
                crm_url=f"http://crm.test:{urlsplit(crm.url).port}",
                folder=tmp_path,
                environ={"NAME_SERVER": str(server)},
                app="integration.engine.named_app",
            )
            stack.callback(lambda: one.kill() if one.running else None)
            return one.start()

        yield start


def test_names_that_cannot_be_found_for_a_while(
    named: Callable[..., Worker], client: JobClient, crm: HostedSimulator, tmp_path: Path
) -> None:
    """Redis' name: the worker waits. The CRM's: nothing was sent, so creates are tried again and are never in doubt."""
    names = tmp_path / "names"
    jobs = client.enqueue_many(deals(20))
    worker = named()
    eventually(lambda: "ledger_unavailable" in worker.said())
    assert {one.state for one in client.outcomes(jobs)} <= {State.QUEUED, State.WAITING}

    names.write_text("redis.test", "utf-8")
    eventually(lambda: all(one.attempts >= 3 for one in client.outcomes(jobs)), within_s=40)
    assert {one.state for one in client.outcomes(jobs)} <= {State.SCHEDULED, State.WAITING, State.QUEUED, State.SENDING}
    names.write_text("redis.test crm.test", "utf-8")

    eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.SUCCEEDED}, within_s=40)
    errors = {
        line["error"]
        for line in map(json.loads, filter(lambda text: text.startswith('{"'), worker.said().splitlines()))
        if line["event"] == "attempt" and line["error"]
    }
    assert errors == {"NotSent"}
    assert crm.counters()["instances"]["acme"]["received"] == 20
    assert worker.running
