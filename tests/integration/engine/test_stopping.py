"""Workers come and go: nothing is lost and nothing is sent twice."""

import signal
from collections.abc import Callable

import redis

from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger import keys
from stage import Worker, eventually


def deal(number: int) -> CreateOpportunity:
    """One of many creates."""
    return CreateOpportunity(
        instance="acme", funnel_id=7, title=f"Deal {number}", crm_column=130, lead_id=number + 1, lane="bulk"
    )


def test_sigterm_finishes_what_was_sent_and_hands_back_the_rest(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """After a warm stop no claim is left, and every job is either done, or waits for a slot or for a worker."""
    crm.configure(latency_ms=300)
    first = worker(OPPSYNC_CONCURRENCY="20")
    jobs = client.enqueue_many(deal(number) for number in range(200))
    eventually(lambda: len(crm.records("acme")) > 20)

    assert first.stop() == 0

    states = {outcome.state for outcome in client.outcomes(jobs)}
    assert State.SUCCEEDED in states
    assert states <= {State.SUCCEEDED, State.QUEUED, State.WAITING}
    assert ledger.zcard(keys.LEASES) == 0
    done = sum(outcome.state == State.SUCCEEDED for outcome in client.outcomes(jobs))
    in_lane, in_line = ledger.llen("opportunities.bulk"), ledger.zcard(keys.waiting("acme"))
    assert in_lane + in_line == len(jobs) - done
    crm.configure(latency_ms=0)
    worker("w2")
    eventually(lambda: all(outcome.state == State.SUCCEEDED for outcome in client.outcomes(jobs)))
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert len(crm.records("acme")) == len(jobs)


def test_sigkill_while_sending_puts_creates_in_doubt_and_sends_updates_again(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """What was under way is in doubt; nothing is doubled; what had not begun is carried out."""
    first = worker("w0")
    made = client.wait(client.enqueue(deal(0)), timeout_s=20)
    crm.configure(latency_ms=1500)
    jobs = client.enqueue_many(deal(number) for number in range(1, 30))
    change = client.enqueue(
        UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title="Changed")
    )
    eventually(lambda: all(one.state == State.SENDING for one in client.outcomes([*jobs, change])))

    first.kill()
    crm.configure(latency_ms=0)
    late = client.enqueue(deal(99))
    worker("w1")

    eventually(lambda: {one.state for one in client.outcomes(jobs)} == {State.IN_DOUBT})
    assert client.wait(change, timeout_s=20).state == State.SUCCEEDED
    assert client.wait(late, timeout_s=20).state == State.SUCCEEDED
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0


def test_a_worker_that_was_frozen_changes_nothing_that_others_have_done(
    client: JobClient, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """SIGSTOP past the lease: the job is in doubt meanwhile, and its late answer settles it as succeeded."""
    crm.configure(latency_ms=800)
    frozen = worker("w0")
    job = client.enqueue(deal(1))
    eventually(lambda: client.outcome(job).state == State.SENDING)
    assert frozen.process is not None
    frozen.process.send_signal(signal.SIGSTOP)

    worker("w1")
    eventually(lambda: client.outcome(job).state == State.IN_DOUBT)
    frozen.process.send_signal(signal.SIGCONT)

    assert client.wait(job, timeout_s=20).state == State.SUCCEEDED
    assert len(crm.records("acme")) == 1
