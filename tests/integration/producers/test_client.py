"""The producing side against a real Redis, in all its moods."""

import math
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from oppsync import (
    AsyncJobClient,
    CreateOpportunity,
    InvalidJob,
    JobClient,
    LedgerUnavailable,
    NoRedisUrl,
    Outcome,
    State,
    UnknownJob,
    WaitTimeout,
)
from oppsync_ops import redis_server
from stage import eventually, handed_over


def deal(number: int = 1, **given: object) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": f"Deal {number}", "crm_column": 130, **given}
    )


def test_enqueue_is_one_round_trip_and_one_script(client: JobClient, ledger: redis.Redis) -> None:
    """Recorded and pushed at once, or not at all."""
    client.enqueue(deal())
    ledger.ping()
    with ledger.monitor() as monitor:
        client.enqueue(deal(2))
        ledger.ping()
        sent = []
        for command in monitor.listen():
            if command["command"].startswith(("PING", "HELLO")):
                break
            if command["client_type"] != "lua":
                sent.append(command["command"].split()[0].upper())

    assert sent == ["EVALSHA"]


def test_the_same_key_gives_the_same_job(client: JobClient, ledger: redis.Redis) -> None:
    """However it travels: the first one stands."""
    first = client.enqueue(deal(1, idempotency_key="order-1"))
    second = client.enqueue(deal(1, idempotency_key="order-1", lane="bulk", deadline="2100-01-01T00:00:00Z"))
    elsewhere = client.enqueue(deal(3, idempotency_key="order-1", instance="globex"))

    assert first == second
    assert elsewhere != first
    assert handed_over(ledger, "interactive") == 2


def test_the_same_id_is_the_same_job(client: JobClient, ledger: redis.Redis) -> None:
    """So a call whose answer was lost may be repeated."""
    job = deal()

    assert client.enqueue(job) == client.enqueue(job) == job.job_id
    assert handed_over(ledger, "interactive") == 1


def test_enqueue_many_keeps_order_and_tells_what_was_new(client: JobClient, ledger: redis.Redis) -> None:
    """More than one batch, with a repetition in it."""
    jobs = [deal(number, lane="bulk") for number in range(1200)]

    ids = client.enqueue_many([*jobs, jobs[0]])

    assert ids == [*(job.job_id for job in jobs), jobs[0].job_id]
    assert handed_over(ledger, "bulk") == 1200
    assert [receipt.created for receipt in client.hand_over([jobs[5], deal()])] == [False, True]


def test_a_job_for_later_is_scheduled(client: JobClient) -> None:
    """With the time at which it is due."""
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

    outcome = client.outcome(client.enqueue(deal(not_before=later.isoformat())))

    assert (outcome.state, outcome.due) == (State.SCHEDULED, later)


def test_an_unknown_id_is_told_apart(client: JobClient) -> None:
    """From one that is queued."""
    assert client.outcome("nobody").state == State.UNKNOWN
    assert client.outcome(client.enqueue(deal())).state == State.QUEUED


def test_waiting_ends(client: JobClient) -> None:
    """With where the job is."""
    with pytest.raises(WaitTimeout, match=r"is queued after 0\.1 s"):
        client.wait(client.enqueue(deal()), timeout_s=0.1)


def test_nothing_of_a_refused_batch_is_sent(client: JobClient, ledger: redis.Redis) -> None:
    """A job that is too large, in the middle."""
    huge = deal(fields={f"F{number}": "x" * 1000 for number in range(70)})

    with pytest.raises(InvalidJob):
        client.enqueue_many([deal(), huge, deal()])

    assert ledger.dbsize() == 0


async def test_the_asyncio_client_does_the_same(redis_url: str) -> None:
    """Verb by verb."""
    async with AsyncJobClient(redis_url) as client:
        job = deal(idempotency_key="k")
        assert await client.enqueue(job) == job.job_id
        assert await client.enqueue_many([job, deal(2)]) != []
        assert (await client.outcome(job.job_id)).state == State.QUEUED
        with pytest.raises(WaitTimeout):
            await client.wait(job.job_id, timeout_s=0.05)


def test_without_redis_url_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And finds the embedded server's address, when there is one."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoRedisUrl, match="REDIS_URL is not set"):
        JobClient()
    monkeypatch.setenv("REDIS_URL", "http://127.0.0.1")
    with pytest.raises(NoRedisUrl, match="must begin with redis://"):
        JobClient()


def test_redis_absent_is_told_within_bounds() -> None:
    """Connection refused."""
    started = time.monotonic()

    with (
        JobClient(f"redis://127.0.0.1:{redis_server.free_port()}/0") as client,
        pytest.raises(LedgerUnavailable, match="not answering"),
    ):
        client.enqueue(deal())

    assert time.monotonic() - started < 5


def test_redis_that_never_answers_is_told_within_bounds() -> None:
    """A socket that accepts and stays silent."""
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with JobClient(url) as client, pytest.raises(LedgerUnavailable, match="not answering"):
            client.enqueue(deal())

    assert time.monotonic() - started < 12


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[tuple[JobClient, redis.Redis]]:
    """A Redis of its own, to be spoilt."""
    with (
        redis_server.running(tmp_path / "redis") as server,
        JobClient(server.url) as client,
        redis.Redis.from_url(server.url) as admin,
    ):
        yield client, admin


def read_only(admin: redis.Redis) -> None:
    """A replica of nobody."""
    admin.replicaof("127.0.0.1", "1")


def full(admin: redis.Redis) -> None:
    """No memory left."""
    admin.config_set("maxmemory", "1")


@pytest.mark.parametrize(("spoil", "says"), [(read_only, "read-only"), (full, "out of memory")])
def test_redis_that_refuses_writes_is_told(
    spoilt: tuple[JobClient, redis.Redis], spoil: Callable[[redis.Redis], None], says: str
) -> None:
    """With what is wrong and what to do; nothing is half-done."""
    client, admin = spoilt
    spoil(admin)

    with pytest.raises(LedgerUnavailable, match=says):
        client.enqueue(deal())
    with pytest.raises(LedgerUnavailable, match=says):
        client.enqueue_many([deal(), deal()])

    assert admin.dbsize() == 0


class Loading(socketserver.StreamRequestHandler):
    """Answers every command as a Redis that is still loading."""

    def handle(self) -> None:
        """One line in, one refusal out."""
        while self.rfile.readline():
            self.wfile.write(b"-LOADING Redis is loading the dataset in memory\r\n")


def test_a_loading_redis_is_told() -> None:
    """While it reads its file."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Loading) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"redis://127.0.0.1:{server.server_address[1]}/0"
            with JobClient(url) as client, pytest.raises(LedgerUnavailable, match="still loading"):
                client.enqueue(deal())
        finally:
            server.shutdown()
            thread.join()


def test_a_lost_script_cache_is_no_matter(client: JobClient, ledger: redis.Redis) -> None:
    """A Redis that was restarted knows no script."""
    client.enqueue(deal())
    ledger.script_flush()
    client.enqueue(deal())
    ledger.script_flush()
    assert len(client.enqueue_many([deal(), deal()])) == 2
    assert handed_over(ledger, "interactive") == 4


@pytest.mark.parametrize("timeout_s", [None, 30.0])
async def test_waiting_for_an_id_that_nobody_knows_ends(redis_url: str, timeout_s: float | None) -> None:
    """After `appear_s`, with an error of its own; both clients."""
    started = time.monotonic()
    with JobClient(redis_url) as client, pytest.raises(UnknownJob, match="no job nobody"):
        client.wait("nobody", timeout_s=timeout_s, appear_s=0.2)
    async with AsyncJobClient(redis_url) as client:
        with pytest.raises(UnknownJob, match="no job nobody"):
            await client.wait("nobody", timeout_s=timeout_s, appear_s=0.2)

    assert time.monotonic() - started < 5


def test_a_short_wait_for_an_unknown_id_times_out(client: JobClient) -> None:
    """Whoever waits less than that long learns where the job is: nowhere."""
    with pytest.raises(WaitTimeout, match="unknown"):
        client.wait("nobody", timeout_s=0.1)


async def test_a_wait_for_no_number_is_refused(redis_url: str) -> None:
    """NaN is not less than anything: it would be waited for ever."""
    with JobClient(redis_url) as client, pytest.raises(ValueError, match="NaN"):
        client.wait("nobody", timeout_s=math.nan)
    async with AsyncJobClient(redis_url) as asking:
        with pytest.raises(ValueError, match="NaN"):
            await asking.wait("nobody", timeout_s=math.nan)


class Watched(JobClient):
    """Keeps the states that it has seen."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.seen: set[State] = set()

    def outcome(self, job_id: str) -> Outcome:
        """Look at a job."""
        found = super().outcome(job_id)
        self.seen.add(found.state)
        return found


def test_an_id_that_appears_later_is_waited_for(redis_url: str, client: JobClient, ledger: redis.Redis) -> None:
    """As that of a foreign message, which a worker sees late; and one that is forgotten meanwhile is told of."""
    job, waiting = deal(), Watched(redis_url)

    def appear() -> None:
        eventually(lambda: State.UNKNOWN in waiting.seen)
        client.enqueue(job)
        eventually(lambda: len(waiting.seen) > 1)
        ledger.delete(f"oppsync:job:{job.job_id}")

    thread = threading.Thread(target=appear)
    thread.start()
    try:
        with pytest.raises(UnknownJob, match="no longer known"):
            waiting.wait(job.job_id)
    finally:
        thread.join()
        waiting.close()
