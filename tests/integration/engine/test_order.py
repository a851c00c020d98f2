"""Updates of one record, as the CRM sees them: one at a time, in the order of enqueueing."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
marker_field = "oppsync"
connect_seconds = 0.5
read_seconds = 1.0
call_seconds = 1.2
[acme.budget]
requests = 0
concurrency = 0
cool_down_seconds = 0.2
[acme.retry]
max_attempts = 20
first_delay_seconds = 0.05
max_delay_seconds = 0.3
[acme.breaker]
failures = {failures}
open_seconds = 1.0
max_open_seconds = 1.0
[acme.order]
settle_seconds = {settle}
[acme.reconcile]
probe_after_seconds = [0.3, 2.0]
"""


@pytest.fixture
def start(worker: Callable[..., Worker], tmp_path: Path) -> Callable[..., Worker]:
    """Start a worker with its own choices."""

    def begin(name: str = "w1", *, failures: int = 0, settle: float = 0.0) -> Worker:
        file = tmp_path / f"{name}.toml"
        file.write_text(SETTINGS.format(failures=failures, settle=settle), "utf-8")
        return worker(name, SPRINTHUB_INSTANCES_FILE=str(file))

    return begin


def create(client: JobClient, number: int) -> int:
    """A record; its id."""
    job = CreateOpportunity(instance="acme", funnel_id=7, title="Deal", crm_column=131, lead_id=number + 1)
    return client.wait(client.enqueue(job), timeout_s=20).opportunity_id or 0


def change(record: int, number: int, **given: Any) -> UpdateOpportunity:
    """A numbered update."""
    document = {"instance": "acme", "funnel_id": 7, "opportunity_id": record, "title": f"v{number}", **given}
    return UpdateOpportunity.parse(document)


def applied(crm: HostedSimulator) -> dict[int, list[int]]:
    """Record -> numbers of the updates in the order in which the CRM applied them."""
    found: dict[int, list[int]] = defaultdict(list)
    for record in crm.records("acme"):
        found[record["id"]] = [int(update["changes"]["title"].removeprefix("v")) for update in record["updates"]]
    return found


def test_they_arrive_in_order_whatever_fails(
    client: JobClient, start: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Two workers, errors before and after the commit, throttles and both lanes."""
    start("w1")
    start("w2")
    records = [create(client, number) for number in range(5)]
    crm.configure(latency_ms=5)
    for fault in ("http:status=503,method=PUT,p=0.2", "gateway:status=502,commit=yes,method=PUT,p=0.2"):
        crm.add_fault(fault)
    crm.add_fault("throttle_burst:n=3,method=PUT,p=0.05")

    jobs = client.enqueue_many(
        change(record, number, lane="bulk" if number % 3 else "interactive")
        for number in range(20)
        for record in records
    )
    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=60)

    for numbers in applied(crm).values():
        assert numbers == sorted(numbers), "an older update was applied after a newer one"
        assert set(numbers) == set(range(20))


def test_an_update_that_is_carried_out_late_does_not_overwrite_the_next_one(
    client: JobClient, start: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """The next one waits until that can no longer happen."""
    start(settle=2.0)
    record = create(client, 1)
    crm.add_fault("late_commit:s=1.5,answer=504,method=PUT,times=1")

    jobs = client.enqueue_many([change(record, 1), change(record, 2)])
    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=20)

    assert applied(crm)[record] == [1, 1, 2]
    assert crm.records("acme")[0]["title"] == "v2"


def test_a_worker_that_is_killed_changes_nothing_of_it(
    client: JobClient, start: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """What it was sending is sent again before anything else of that record."""
    first = start("w1", settle=0.5)
    records = [create(client, number) for number in range(4)]
    crm.configure(latency_ms=150)
    jobs = client.enqueue_many(change(record, number) for number in range(8) for record in records)
    eventually(lambda: sum(map(len, applied(crm).values())) >= 4)

    first.kill()
    start("w2", settle=0.5)

    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=60)
    for numbers in applied(crm).values():
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(8))


def test_an_instance_that_fails_is_left_alone_until_it_answers(
    client: JobClient, start: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Few creates end in doubt, few attempts are spent, and everything goes on when it is back."""
    start(failures=3)
    for number in range(3):
        create(client, number)
    crm.add_fault("http:status=503,name=down")
    crm.configure(latency_ms=20)

    jobs = client.enqueue_many(
        CreateOpportunity(instance="acme", funnel_id=7, title=f"{n}", crm_column=131, lead_id=n % 3 + 1, lane="bulk")
        for n in range(3)
    )
    eventually(lambda: client.outcome(jobs[0]).state == State.IN_DOUBT)
    later = client.enqueue_many(
        CreateOpportunity(instance="acme", funnel_id=7, title=f"{n}", crm_column=131, lead_id=n % 3 + 1, lane="bulk")
        for n in range(100)
    )
    eventually(lambda: crm.counters()["instances"]["acme"]["by_status"].get("503", 0) >= 6, within_s=20)

    spent = sum(one.attempts > 0 for one in client.outcomes(later))
    assert spent <= 8, "the breaker did not open"
    crm.remove_faults()
    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes([*jobs, *later])), within_s=60)
    assert len(crm.records("acme")) == 106
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0


def test_settings_that_make_no_sense_are_told(start: Callable[..., Worker], tmp_path: Path) -> None:
    """By table and key."""
    process = start(settle=-1.0)

    assert process.process is not None
    assert process.process.wait(30) == 2
    assert "order.settle_seconds" in process.said()
    assert json.dumps(str(tmp_path))[1:-1] in process.said()
