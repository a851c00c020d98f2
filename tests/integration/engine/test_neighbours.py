"""Nobody waits for somebody else's backlog: queued, held, released, hanging, or pushed by another application."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from integration.ledger.desk import push_as_before
from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_worker.contract.wire import encode
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.scripts import run
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
[globex]
token = "globex-token-5678"
[globex.budget]
requests = 0
concurrency = 0
"""

HANGS = """
[slow{number}]
token = "x"
base_url = "http://127.0.0.1:{port}"
[slow{number}.budget]
requests = 0
concurrency = 400
[slow{number}.reconcile]
probe_after_seconds = [0.2, 60]
[slow{number}.breaker]
failures = 0
"""

PROMPT_S = 5.0
"""A job alone takes a tenth of a second; on a machine that does other things as well, it may take some seconds. Before,
each of these took tens of seconds."""


def deals(count: int, instance: str = "acme", **given: object) -> list[CreateOpportunity]:
    """Many creates."""
    return [
        CreateOpportunity.parse(
            {"instance": instance, "funnel_id": 7, "title": "D", "crm_column": 130, "lead_id": n + 1, **given}
        )
        for n in range(count)
    ]


def push(ledger: redis.Redis, jobs: list[CreateOpportunity]) -> None:
    """As another Celery application does."""
    raw = [encode(job).replace('"origin":"oppsync"', '"origin":"gen1@elsewhere"') for job in jobs]
    for start in range(0, len(raw), 1000):
        ledger.lpush(jobs[0].lane.queue, *raw[start : start + 1000])


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that accepts every connection and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in taken:
        one.close()


@pytest.fixture
def at_work(worker: Callable[..., Worker], tmp_path: Path, client: JobClient, black_hole: int) -> Callable[..., Worker]:
    """A worker that has done something already."""

    def start(*, slow: int = 0, **environ: str) -> Worker:
        file = tmp_path / "neighbours.toml"
        hanging = "".join(HANGS.format(number=number, port=black_hole) for number in range(slow))
        file.write_text(SETTINGS + hanging, "utf-8")
        one = worker(SPRINTHUB_INSTANCES_FILE=str(file), **environ)
        client.wait(client.enqueue(deals(1, "globex")[0]), timeout_s=60)
        return one

    return start


def takes_s(client: JobClient, lane: str) -> float:
    """How long a job of an instance without a backlog takes, at most, of a few one after the other."""
    longest = 0.0
    for job in deals(5, "globex", lane=lane):
        began = time.monotonic()
        client.wait(client.enqueue(job), timeout_s=60)
        longest = max(longest, time.monotonic() - began)
    return longest


def both_are_prompt(client: JobClient) -> None:
    """In either lane."""
    assert {lane: takes_s(client, lane) < PROMPT_S for lane in ("interactive", "bulk")} == {
        "interactive": True,
        "bulk": True,
    }


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_a_backlog_in_the_same_lane(client: JobClient, at_work: Callable[..., Worker], lane: str) -> None:
    """Ten thousand jobs that wait for slots of their instance are in nobody's way."""
    at_work()
    client.enqueue_many(deals(10_000, lane=lane))

    both_are_prompt(client)


def test_a_hold_that_is_released(client: JobClient, at_work: Callable[..., Worker], ledger: redis.Redis) -> None:
    """Its jobs go to the line of their instance, and through no lane."""
    run(ledger, operating.hold("acme", cause="operator", note=""))
    client.enqueue_many(deals(5_000))
    assert ledger.zcard(keys.held("acme")) == 5_000
    at_work()

    run(ledger, operating.unhold("acme"))

    both_are_prompt(client)
    assert ledger.llen("opportunities.interactive") <= 10
    eventually(lambda: ledger.zcard(keys.waiting("acme")) > 4_900, within_s=60)


@pytest.mark.parametrize("slow", [1, 10])
def test_instances_that_hang(client: JobClient, at_work: Callable[..., Worker], ledger: redis.Redis, slow: int) -> None:
    """However many calls they are allowed at once, they do not get all hands."""
    at_work(slow=slow, OPPSYNC_CONCURRENCY="20")
    for number in range(slow):
        client.enqueue_many(deals(100, f"slow{number}"))
    eventually(lambda: sum(ledger.zcard(f"{keys.PREFIX}inflight:slow{n}") for n in range(slow)) >= 15, within_s=40)

    both_are_prompt(client)


def test_look_ups_that_hang(client: JobClient, at_work: Callable[..., Worker], ledger: redis.Redis) -> None:
    """Doubts of instances that do not answer keep nobody's doubt from being looked into."""
    one = at_work(slow=4, OPPSYNC_CONCURRENCY="20")
    jobs = [job for number in range(4) for job in deals(10, f"slow{number}")]
    client.enqueue_many(jobs)
    eventually(lambda: ledger.zcard(keys.LEASES) >= 15)
    one.kill()
    at_work(slow=4, OPPSYNC_CONCURRENCY="20")
    eventually(lambda: sum(ledger.zcard(f"{keys.PREFIX}inflight:slow{n}") for n in range(4)) >= 15, within_s=40)

    both_are_prompt(client)


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_a_backlog_of_another_application(
    client: JobClient, at_work: Callable[..., Worker], ledger: redis.Redis, lane: str
) -> None:
    """It is filed where it waits at first sight, by thousands a second."""
    at_work()
    push(ledger, deals(10_000, lane=lane))

    both_are_prompt(client)
    eventually(lambda: ledger.llen(f"opportunities.{lane}") == 0, within_s=60)
    push(ledger, (theirs := deals(1, "globex", lane=lane)))
    assert client.wait(theirs[0].job_id, timeout_s=PROMPT_S).state == State.SUCCEEDED


def test_a_backlog_that_the_version_before_left_in_the_lane(
    client: JobClient, at_work: Callable[..., Worker], ledger: redis.Redis
) -> None:
    """A running system is brought up to date."""
    for job in deals(3_000):
        push_as_before(ledger, job)
    at_work()

    both_are_prompt(client)
    eventually(lambda: ledger.llen("opportunities.interactive") == 0, within_s=60)


def test_an_interactive_update_hurries_the_bulk_create_that_it_waits_for(
    client: JobClient, at_work: Callable[..., Worker]
) -> None:
    """And so does not wait for its own instance's bulk backlog."""
    backlog = deals(500, lane="bulk")
    create = deals(1, lane="bulk", external_ref="card-1")[0]
    client.enqueue_many([*backlog, create])
    at_work()

    update = UpdateOpportunity(instance="acme", funnel_id=7, external_ref="card-1", title="At once")

    assert client.wait(client.enqueue(update), timeout_s=30).state == State.SUCCEEDED
    assert sum(one.state == State.SUCCEEDED for one in client.outcomes([job.job_id for job in backlog])) < 100
