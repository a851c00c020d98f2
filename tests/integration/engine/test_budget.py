"""One budget per instance for all workers: evenly spaced, nearly all of it used, never exceeded."""

import statistics
from collections.abc import Callable
from itertools import pairwise

import pytest

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
[acme.budget]
requests = {requests}
window_seconds = {window}
concurrency = {concurrency}
[globex]
token = "globex-token-5678"
[globex.budget]
requests = 0
concurrency = 0
"""


def deals(count: int, instance: str = "acme", lane: str = "bulk") -> list[CreateOpportunity]:
    """Many creates."""
    return [
        CreateOpportunity.parse(
            {"instance": instance, "funnel_id": 7, "title": "D", "crm_column": 130, "lead_id": n + 1, "lane": lane}
        )
        for n in range(count)
    ]


@pytest.fixture
def two_workers(worker: Callable[..., Worker], tmp_path: object) -> Callable[..., None]:
    """Two processes that share a budget."""

    def start(**budget: object) -> None:
        for name in ("w1", "w2"):
            file = tmp_path / f"{name}.toml"  # type: ignore[operator]
            file.write_text(SETTINGS.format(**budget), "utf-8")
            worker(name, SPRINTHUB_INSTANCES_FILE=str(file))

    return start


def test_two_workers_share_one_budget_evenly_spaced(
    client: JobClient, crm: HostedSimulator, two_workers: Callable[..., None]
) -> None:
    """60 requests per 6 s: nearly all of them used, and not one more in any 6 s."""
    crm.configure(throttle="off", latency_ms=20)
    client.enqueue_many(deals(300))
    two_workers(requests=60, window=6, concurrency=4)
    eventually(lambda: len(crm.records("acme")) > 5)

    eventually(lambda: crm.counters()["instances"]["acme"]["received"] >= 155, within_s=40)

    at = sorted(row["at"] for row in crm.journal() if row["method"] == "POST")[10:150]
    busiest = max(sum(1 for later in at[first:] if later - at[first] < 6) for first in range(len(at)))
    # One request may cross a window's border on its way from the worker to the CRM.
    assert busiest <= 61
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert (at[-1] - at[0]) / len(gaps) <= 0.1 / 0.95, "less than 95 % of the budget was used"
    assert statistics.median(gaps) == pytest.approx(0.101, abs=0.02)


def test_a_backlog_of_one_instance_delays_nobody_else(
    client: JobClient, crm: HostedSimulator, two_workers: Callable[..., None]
) -> None:
    """A thousand jobs that wait for slots, and one of another instance behind them."""
    client.enqueue_many(deals(1000))
    other = client.enqueue(deals(1, instance="globex")[0])

    two_workers(requests=60, window=60, concurrency=2)

    assert client.wait(other, timeout_s=20).state == State.SUCCEEDED
    assert len(crm.records("acme")) < 60


def test_an_interactive_job_overtakes_a_bulk_backlog(
    client: JobClient, crm: HostedSimulator, two_workers: Callable[..., None]
) -> None:
    """In the line for slots, not only in the queue."""
    client.enqueue_many(deals(500))
    two_workers(requests=20, window=10, concurrency=2)
    eventually(lambda: len(crm.records("acme")) >= 2)

    urgent = client.enqueue(deals(1, lane="interactive")[0])

    assert client.wait(urgent, timeout_s=10).state == State.SUCCEEDED
    assert len(crm.records("acme")) < 40


def test_the_cap_on_calls_in_flight_holds_over_all_workers(
    client: JobClient, crm: HostedSimulator, two_workers: Callable[..., None]
) -> None:
    """Three at once, slow answers, no limit on the rate."""
    crm.configure(latency_ms=100)
    jobs = client.enqueue_many(deals(60))
    two_workers(requests=0, window=60, concurrency=3)

    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=30)

    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    at = sorted(row["at"] for row in crm.journal() if row["method"] == "POST")
    for first, fourth in zip(at, at[3:], strict=False):
        assert fourth - first >= 0.09, "four calls within the time of one"
