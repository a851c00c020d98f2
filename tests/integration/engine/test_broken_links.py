"""Links between a worker and its Redis that break in every way there is: each job is delivered, and once."""

import json
from collections.abc import Callable, Iterator

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.redis_server import RedisServer, url_at
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually


@pytest.fixture
def proxy(session_redis: RedisServer) -> Iterator[Proxy]:
    """In front of Redis."""
    with proxied(session_redis.port) as one:
        yield one


def deals(count: int, first: int = 0) -> list[CreateOpportunity]:
    """Many creates."""
    return [
        CreateOpportunity(instance="acme", funnel_id=7, title=f"Deal {n}", crm_column=130, lead_id=n + 1, lane="bulk")
        for n in range(first, first + count)
    ]


def through(proxy: Proxy) -> str:
    """Redis as the worker sees it."""
    return url_at(proxy.port)


def states(client: JobClient, jobs: list[str]) -> set[State]:
    """Where the jobs are."""
    return {outcome.state for outcome in client.outcomes(jobs)}


def test_a_link_that_is_half_open_for_longer_than_a_lease(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, proxy: Proxy
) -> None:
    """The claims of the worker behind it are taken over, what it had sent is settled by its own answers."""
    crm.configure(latency_ms=3000)
    cut_off = worker("w1", REDIS_URL=through(proxy))
    jobs = client.enqueue_many(deals(40))
    eventually(lambda: received(crm) == 40)

    proxy.freeze()
    worker("w2")
    more = client.enqueue_many(deals(40, first=40))
    eventually(lambda: states(client, jobs) == {State.IN_DOUBT})
    eventually(lambda: states(client, more) == {State.SUCCEEDED})
    proxy.flow()

    eventually(lambda: states(client, jobs) == {State.SUCCEEDED}, within_s=40)
    assert cut_off.running
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert len(crm.records("acme")) == 80
    last = client.enqueue(deals(1, first=90)[0])
    assert client.wait(last, timeout_s=20).state == State.SUCCEEDED


def test_a_half_open_link_costs_a_worker_that_is_alone_nothing(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, proxy: Proxy
) -> None:
    """Its leases ran out meanwhile; it renews them before it looks for anybody's."""
    crm.configure(latency_ms=3000)
    process = worker("w1", REDIS_URL=through(proxy))
    jobs = client.enqueue_many(deals(40))
    eventually(lambda: received(crm) == 40)

    proxy.freeze()
    eventually(lambda: process.said().count('"chore":"renew"') > 0, what="a renewal that failed")
    eventually(lambda: len(crm.records("acme")) == 40)
    proxy.flow()

    eventually(lambda: states(client, jobs) == {State.SUCCEEDED})
    assert process.running
    assert not {"restored", "stale_claim"} & events(process)
    assert {one.attempts for one in client.outcomes(jobs)} == {1}


@pytest.mark.parametrize("broken_by", ["proxy", "CLIENT KILL"])
def test_a_link_that_breaks_again_and_again(
    client: JobClient,
    worker: Callable[..., Worker],
    crm: HostedSimulator,
    proxy: Proxy,
    ledger: redis.Redis,
    broken_by: str,
) -> None:
    """Sixty times while forty slow calls are in flight: nothing is sent twice, nothing is given up."""
    crm.configure(latency_ms=1500)
    process = worker("w1", REDIS_URL=through(proxy), OPPSYNC_CONCURRENCY="40", OPPSYNC_LEASE_SECONDS="10")
    jobs = client.enqueue_many(deals(80))
    eventually(lambda: State.SENDING in states(client, jobs))
    broken = 0

    def break_it() -> bool:
        nonlocal broken
        cut = proxy.cut() if broken_by == "proxy" else ledger.client_kill_filter(_type="normal", skipme=True)
        broken += bool(cut)
        return broken >= 60

    eventually(break_it, within_s=60, what="sixty times")
    eventually(lambda: states(client, jobs) == {State.SUCCEEDED}, within_s=60)

    assert process.running
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert crm.counters()["instances"]["acme"]["received"] == 80
    assert {one.attempts for one in client.outcomes(jobs)} == {1}
    assert not {"restored", "stale_claim", "unexpected"} & events(process)
    assert process.stop() == 0


def test_connections_that_a_firewall_forgot_are_replaced(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, proxy: Proxy
) -> None:
    """Calls in flight are settled, and what comes then is taken: within seconds, not after a minute."""
    crm.configure(latency_ms=3000)
    process = worker("w1", REDIS_URL=through(proxy), OPPSYNC_LEASE_SECONDS="30")
    jobs = client.enqueue_many(deals(40))
    eventually(lambda: received(crm) == 40)

    proxy.forget()
    late = client.enqueue(deals(1, first=90)[0])

    eventually(lambda: states(client, [*jobs, late]) == {State.SUCCEEDED}, within_s=25)
    assert process.running
    assert crm.counters()["instances"]["acme"]["received"] == 41


def events(process: Worker) -> set[str]:
    """Names of the events in a worker's log."""
    return {json.loads(line)["event"] for line in process.said().splitlines() if line.startswith('{"')}


def received(crm: HostedSimulator) -> int:
    """Requests that have arrived. That a job is being sent says less: its worker may not know it yet."""
    return int(crm.counters()["instances"].get("acme", {}).get("received", 0))
