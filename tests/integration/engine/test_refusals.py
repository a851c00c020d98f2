"""Jobs that SprintHub refuses with 401 or 403: one job's fault is its own, and a bad credential is everybody's."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.scripts import run
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
[acme.budget]
requests = {requests}
window_seconds = 1.0
concurrency = {concurrency}
[acme.retry]
max_refusals = 3
max_delay_seconds = 0.4
[globex]
token = "globex-token-5678"
[globex.budget]
requests = 0
concurrency = 0
"""

Start = Callable[..., Worker]


@pytest.fixture
def start(worker: Callable[..., Worker], tmp_path: Path) -> Start:
    """Start a worker: twenty requests a second, two at once."""

    def begin(*, name: str = "w1", requests: int = 20, concurrency: int = 2) -> Worker:
        file = tmp_path / f"{name}.toml"
        file.write_text(SETTINGS.format(requests=requests, concurrency=concurrency), "utf-8")
        return worker(name, SPRINTHUB_INSTANCES_FILE=str(file))

    return begin


def deal(column: int = 130, **given: object) -> CreateOpportunity:
    """A create; the CRM refuses those of column 131."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": "D", "crm_column": column, "lead_id": 1, "lane": "bulk", **given}
    )


def no_right(crm: HostedSimulator, status: int = 403) -> None:
    """The credential has no right to column 131."""
    crm.add_fault(f"http:status={status},column=131,method=POST,msg=Forbidden")


def refusals(crm: HostedSimulator) -> int:
    """Requests that were refused."""
    return sum(1 for row in crm.journal() if row["status"] in (401, 403))


@pytest.mark.parametrize("status", [401, 403])
def test_one_job_that_is_always_refused_holds_nobody(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis, status: int
) -> None:
    """It is the oldest, and 34 good jobs are behind it."""
    no_right(crm, status)
    bad = client.enqueue(deal(131))
    good = client.enqueue_many([deal() for _ in range(34)])

    start()

    eventually(lambda: {client.outcome(job).state for job in good} == {State.SUCCEEDED}, within_s=15)
    assert ledger.scard(keys.HOLDS) == 0
    outcome = client.outcome(bad)
    assert outcome.state not in (State.HELD, State.SUCCEEDED)
    assert (outcome.cause in ("credential", "refused"), outcome.attempts <= 1) == (True, True)


def test_a_job_that_alone_is_refused_dies_as_refused_and_can_be_replayed(
    client: JobClient, start: Start, crm: HostedSimulator
) -> None:
    """After a bounded number of requests, with a sentence that says what to do."""
    no_right(crm)
    start()
    bad = client.enqueue(deal(131))

    def works() -> bool:
        client.wait(client.enqueue(deal()), timeout_s=20)
        return client.outcome(bad).state == State.DEAD

    eventually(works, within_s=30)

    outcome = client.outcome(bad)
    assert (outcome.state, outcome.cause, outcome.attempts) == (State.DEAD, "refused", 0)
    assert "HTTP 403: Forbidden" in (outcome.detail or "")
    assert "replay" in (outcome.detail or "")
    assert refusals(crm) <= 5


def test_two_bad_jobs_among_many_good_hold_nobody(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """Both at the head of the line."""
    no_right(crm)
    client.enqueue_many([deal(131), deal(131)])
    good = client.enqueue_many([deal() for _ in range(34)])

    start(concurrency=1)

    eventually(lambda: {client.outcome(job).state for job in good} == {State.SUCCEEDED}, within_s=30)
    assert ledger.scard(keys.HOLDS) == 0


def test_a_bad_credential_holds_its_instance_after_few_requests_and_nobody_dies(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """All jobs are refused; a new token lets all of them go on."""
    crm.add_fault("token_revoked:instance=acme,name=revoked")
    jobs = client.enqueue_many([deal() for _ in range(30)])
    start()

    eventually(lambda: ledger.smembers("oppsync:holds") == {b"acme"}, within_s=30)

    assert refusals(crm) <= 8
    assert ledger.zcard(keys.DEAD) == 0
    crm.remove_faults()
    run(ledger, operating.tell("acme", fingerprint="another", facts={"requests": 600}))
    eventually(lambda: {client.outcome(job).state for job in jobs} == {State.SUCCEEDED}, within_s=30)


def test_a_lone_refused_job_holds_nobody_who_comes_later(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """There was nothing to compare it with; who comes next is sent at once."""
    no_right(crm)
    start()
    bad = client.enqueue(deal(131))
    eventually(lambda: refusals(crm) >= 4, within_s=30)

    later = client.wait(client.enqueue(deal()), timeout_s=2)

    assert later.state == State.SUCCEEDED
    assert ledger.scard(keys.HOLDS) == 0
    assert client.outcome(bad).state in (State.SCHEDULED, State.WAITING, State.QUEUED, State.SENDING)
