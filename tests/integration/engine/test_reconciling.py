"""Creates whose answer was lost: looked for in the CRM, adopted or sent again, and never doubled."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, Outcome, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger import keys
from stage import Worker, eventually

SETTINGS = """
[acme]
token = "acme-token-1234"
{marker}
connect_seconds = 0.5
read_seconds = 1.0
call_seconds = 1.2
[acme.budget]
requests = 0
concurrency = 0
cool_down_seconds = 0.5
[acme.retry]
max_attempts = 4
first_delay_seconds = 0.05
max_delay_seconds = 0.2
[acme.breaker]
failures = 0
[acme.reconcile]
probe_after_seconds = [0.3, 0.8, 1.5, 2.5]
{reconcile}
"""

Start = Callable[..., Worker]


@pytest.fixture
def start(worker: Callable[..., Worker], tmp_path: Path) -> Start:
    """Start a worker with its own choices."""

    def begin(*, marker: str = "oppsync", name: str = "w1", **reconcile: Any) -> Worker:
        file = tmp_path / f"{name}.toml"
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in reconcile.items())
        field = f'marker_field = "{marker}"' if marker else ""
        file.write_text(SETTINGS.format(marker=field, reconcile=lines), "utf-8")
        return worker(name, SPRINTHUB_INSTANCES_FILE=str(file))

    return begin


def deal(**given: Any) -> CreateOpportunity:
    """A create."""
    return CreateOpportunity.parse(
        {"instance": "acme", "funnel_id": 7, "title": "Deal", "crm_column": 131, "lead_id": 1, **given}
    )


def settled(client: JobClient, job: str) -> Outcome:
    """A job that has ended."""
    return client.wait(job, timeout_s=30)


def asks_a_person(client: JobClient, ledger: redis.Redis, job: str) -> Outcome:
    """A doubt that nothing more is done about by itself."""
    eventually(lambda: ledger.hget(keys.job(job), "doubt") == b"person", within_s=30)
    outcome = client.outcome(job)
    assert outcome.state == State.IN_DOUBT
    return outcome


def lists_read(crm: HostedSimulator) -> int:
    """How many look-ups have reached the CRM."""
    return sum("/listopp" in row["path"] or "/crm/opp" in row["path"] for row in crm.journal() if row["path"])


def test_a_record_whose_answer_was_lost_is_adopted(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """With its id, what is kept of it, and the updates that waited for it."""
    start()
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")

    job = client.enqueue(deal(external_ref="r", value="350.50"))
    change = client.enqueue(UpdateOpportunity(instance="acme", funnel_id=7, external_ref="r", title="Changed"))

    made, changed = settled(client, job), settled(client, change)
    (record,) = crm.records("acme")
    assert (made.state, made.opportunity_id, made.attempts) == (State.SUCCEEDED, record["id"], 1)
    assert made.record["value"] == "350.50"
    assert (changed.state, record["title"]) == (State.SUCCEEDED, "Changed")


def test_a_create_that_never_arrived_is_sent_again(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """Once the marker is known to land and the lead's list never had it."""
    start()
    settled(client, client.enqueue(deal()))
    crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 2)
    assert len(crm.records("acme")) == 2


@pytest.mark.parametrize("answer", ["504", "silence"])
def test_a_late_commit_is_not_doubled(client: JobClient, start: Start, crm: HostedSimulator, answer: str) -> None:
    """The record appears after the first look-up."""
    start()
    settled(client, client.enqueue(deal()))
    crm.add_fault(f"late_commit:s=1.2,answer={answer},method=POST,path=/crmopportunity,times=1")

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
    assert lists_read(crm) >= 2
    assert len(crm.records("acme")) == 2


def test_a_list_that_lags_is_waited_for(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """It shows the record only after a while."""
    start()
    settled(client, client.enqueue(deal()))
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1,lag_s=1.2")

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
    assert len(crm.records("acme")) == 2


FAILING = ["throttle_reads:times=2", "lead_list_down:times=1", "bad_200:kind=html,method=GET,times=1"]


@pytest.mark.parametrize("fault", FAILING)
def test_a_look_up_that_fails_says_nothing(client: JobClient, start: Start, crm: HostedSimulator, fault: str) -> None:
    """It is repeated, and never taken for "absent"."""
    start()
    settled(client, client.enqueue(deal()))
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")
    crm.add_fault(fault)

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
    assert len(crm.records("acme")) == 2


def test_a_list_that_is_refused_although_there_are_records_is_not_believed(
    client: JobClient, start: Start, crm: HostedSimulator
) -> None:
    """The column's list is read instead."""
    start()
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")
    crm.add_fault("lead_list_400")

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
    assert len(crm.records("acme")) == 1


def test_a_lead_without_records_is_a_persons_unless_the_instance_says_otherwise(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """400 may mean "none", and the column's list alone is weak: a card may have been moved."""
    start()
    crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

    outcome = asks_a_person(client, ledger, client.enqueue(deal()))

    assert "the column's list does not have it, and the lead's was refused" in (outcome.detail or "")
    assert crm.records("acme") == []


def test_and_is_sent_again_where_it_does(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """By `on_probably_absent`."""
    start(on_probably_absent="resend")
    crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

    outcome = settled(client, client.enqueue(deal()))

    assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 2)
    assert len(crm.records("acme")) == 1


class TestWithoutALead:
    """The column's list is all there is."""

    def test_a_record_is_found_by_its_marker(self, client: JobClient, start: Start, crm: HostedSimulator) -> None:
        """Wherever it stands among others, on whichever page."""
        start()
        crm.configure(lead_required=False)
        for number in range(5):
            settled(client, client.enqueue(deal(lead_id=number + 1)))
        crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")

        outcome = settled(client, client.enqueue(deal(lead_id=None)))

        assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
        assert len(crm.records("acme")) == 6

    def test_none_is_a_persons(
        self, client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
    ) -> None:
        """A card may have been moved out of the column."""
        start()
        crm.configure(lead_required=False)
        crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

        outcome = asks_a_person(client, ledger, client.enqueue(deal(lead_id=None)))

        assert "the job names no lead" in (outcome.detail or "")

    def test_a_column_with_more_pages_than_may_be_read_tells_nothing(
        self, client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
    ) -> None:
        """The record may stand behind what was read."""
        start(column_pages=1, on_probably_absent="resend")
        crm.configure(lead_required=False)
        jobs = client.enqueue_many(deal(lead_id=number + 1) for number in range(110))
        eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=30)
        crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

        outcome = asks_a_person(client, ledger, client.enqueue(deal(lead_id=None)))

        assert "more pages than may be read" in (outcome.detail or "")


class TestWithoutAMarker:
    """Only a fingerprint is left."""

    def test_a_record_that_fits_in_everything_is_shown_to_a_person(
        self, client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
    ) -> None:
        """With what agrees, and without a customer's words."""
        start(marker="")
        crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")

        job = client.enqueue(deal(title="Secret customer"))

        outcome = asks_a_person(client, ledger, job)
        (record,) = crm.records("acme")
        assert f"record {record['id']} fits in everything" in (outcome.detail or "")
        (seen,) = json.loads(ledger.hget(keys.job(job), "sightings") or "[]")
        assert (seen["id"], seen["grade"], seen["same"]["title"]) == (record["id"], "probable", True)
        assert "Secret" not in json.dumps(seen)

    def test_or_adopted_where_the_instance_says_so(self, client: JobClient, start: Start, crm: HostedSimulator) -> None:
        """By `on_probable`."""
        start(marker="", on_probable="adopt")
        crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")

        outcome = settled(client, client.enqueue(deal()))

        assert (outcome.state, outcome.attempts) == (State.SUCCEEDED, 1)
        assert len(crm.records("acme")) == 1

    def test_a_record_of_another_job_is_not_taken(
        self, client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
    ) -> None:
        """Two jobs alike, one of which made its record: the other has none."""
        start(marker="", on_probable="adopt", on_probably_absent="operator")
        crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,nth=2")
        first = settled(client, client.enqueue(deal()))

        job = client.enqueue(deal())

        assert first.state == State.SUCCEEDED
        asks_a_person(client, ledger, job)
        assert len(crm.records("acme")) == 1

    def test_a_marker_that_the_crm_does_not_keep_is_noticed(
        self, client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
    ) -> None:
        """At the first create, before anything is in doubt; and is no proof of absence then."""
        process = start(marker="No such field")
        settled(client, client.enqueue(deal()))
        crm.add_fault("drop_before_commit:method=POST,path=/crmopportunity,times=1")

        outcome = asks_a_person(client, ledger, client.enqueue(deal(title="Another")))

        assert "marker_lost" in process.said()
        assert "SprintHub does not keep the marker" in (outcome.detail or "")


def test_a_worker_that_dies_over_a_look_up_is_replaced(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """The doubt is looked into again by whoever is there."""
    first = start()
    settled(client, client.enqueue(deal()))
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")
    crm.add_fault("slow:ms=900,method=GET,times=1")
    job = client.enqueue(deal())
    eventually(lambda: lists_read(crm) >= 0 and client.outcome(job).state == State.IN_DOUBT)

    first.kill()
    start(name="w2")

    assert settled(client, job).state == State.SUCCEEDED
    assert len(crm.records("acme")) == 2


def test_what_a_killed_worker_had_in_flight_is_settled(client: JobClient, start: Start, crm: HostedSimulator) -> None:
    """Thirty creates at once, some of them carried out."""
    first = start(on_probably_absent="resend")
    settled(client, client.enqueue(deal()))
    crm.configure(latency_ms=900)
    jobs = client.enqueue_many(deal(lead_id=number + 1) for number in range(30))
    eventually(lambda: all(one.state == State.SENDING for one in client.outcomes(jobs)))

    first.kill()
    crm.configure(latency_ms=0)
    start(name="w2", on_probably_absent="resend")

    eventually(lambda: all(one.state == State.SUCCEEDED for one in client.outcomes(jobs)), within_s=60)
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert len(crm.records("acme")) == 31


def test_a_marker_that_came_later_is_not_missed_in_a_record(
    client: JobClient, start: Start, crm: HostedSimulator, ledger: redis.Redis
) -> None:
    """The create was sent before the instance was given its marker field: that its record bears none proves nothing."""
    first = start(marker="")
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")
    job = client.enqueue(deal())
    eventually(lambda: client.outcome(job).state == State.IN_DOUBT)
    first.kill()

    start(marker="oppsync", name="w2")

    outcome = asks_a_person(client, ledger, job)
    assert "fits in everything" in (outcome.detail or "")
    assert len(crm.records("acme")) == 1
