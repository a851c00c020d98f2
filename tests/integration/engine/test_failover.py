"""A real replica that lags is promoted while requests are under way, and clients are moved to it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_ops import redis_server
from oppsync_ops.proxy import Proxy, proxied
from oppsync_ops.simulator import HostedSimulator
from oppsync_worker.ledger import keys, operating
from oppsync_worker.ledger.scripts import run
from stage import BIN, INSTANCES, Worker, eventually, handed_over


@dataclass
class Pair:
    """A primary, its replica, the link between them, and the address at which clients find whoever is the primary."""

    primary: redis.Redis
    replica: redis.Redis
    link: Proxy
    front: Proxy

    @property
    def url(self) -> str:
        """Redis, as clients see it."""
        return redis_server.url_at(self.front.port)

    def is_level(self) -> bool:
        """Whether the replica has all that the primary has written."""
        return self.primary.info("replication")["master_repl_offset"] == self.replica.info("replication").get(
            "slave_repl_offset"
        )

    def fail_over(self) -> None:
        """Promote the replica as it is, and move all clients to it."""
        self.replica.replicaof("NO", "ONE")
        self.front.lead_to(self.replica.connection_pool.connection_kwargs["port"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two servers on loopback."""
    with (
        redis_server.running(tmp_path / "primary") as primary,
        redis_server.running(tmp_path / "replica") as replica,
        proxied(primary.port) as link,
        proxied(primary.port) as front,
        redis.Redis(port=primary.port, **redis_server.login()) as at_primary,
        redis.Redis(port=replica.port, **redis_server.login()) as at_replica,
    ):
        at_replica.replicaof("127.0.0.1", link.port)
        eventually(lambda: at_replica.info("replication").get("master_link_status") == "up")
        yield Pair(at_primary, at_replica, link, front)


def deals(count: int) -> list[CreateOpportunity]:
    """Creates."""
    return [
        CreateOpportunity(instance="acme", funnel_id=7, title=f"Deal {n}", crm_column=130, lead_id=n + 1)
        for n in range(count)
    ]


def received(crm: HostedSimulator) -> int:
    """Requests that have come in, answered or not."""
    return int(crm.counters()["instances"].get("acme", {}).get("received", 0))


def events(worker: Worker) -> list[str]:
    """Names of what the worker told."""
    lines = [json.loads(line) for line in worker.said().splitlines() if line.startswith("{")]
    return [str(line.get("event")) for line in lines]


def states(client: JobClient, jobs: list[str]) -> set[State]:
    """Where the jobs are."""
    return {outcome.state for outcome in client.outcomes(jobs)}


def test_successes_that_a_promoted_replica_knows_nothing_of_are_recorded_and_not_repeated(
    pair: Pair, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Twenty creates are under way; the replica lacks that they were begun, and hands them out again."""
    crm.configure(latency_ms=4000)
    with JobClient(pair.url) as client:
        jobs = client.enqueue_many(deals(20))
        eventually(pair.is_level)
        pair.link.freeze()
        one = worker(REDIS_URL=pair.url, OPPSYNC_LEASE_SECONDS="20")
        eventually(lambda: len(crm.records("acme")) == 20)
        assert states(client, jobs) == {State.SENDING}

        pair.fail_over()
        assert states(client, jobs) <= {State.QUEUED, State.WAITING}, "the replica does not lag: nothing is tried here"

        eventually(lambda: states(client, jobs) == {State.SUCCEEDED}, within_s=40)
        eventually(lambda: pair.replica.zcard(keys.LEASES) == 0)
    assert len(crm.records("acme")) == 20
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    # The line is written after Redis has answered.
    eventually(lambda: events(one).count("recalled") == 20)
    assert pair.replica.llen("opportunities.interactive") == 0
    assert pair.replica.zcard(keys.SURPLUS) == 0


def unready(worker: Worker) -> str:
    """Why its readiness check fails; empty when it does not."""
    asked = [BIN / "oppsync", "health", "--ready"]
    done = subprocess.run(asked, env=worker.environ, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def test_nothing_leaves_before_a_replica_knows_of_it(
    pair: Pair, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """While it lags jobs wait, and no attempt is spent; then they go, and survive its promotion with another worker."""
    crm.configure(latency_ms=3000)
    environ = {"REDIS_URL": pair.url, "OPPSYNC_WAIT_REPLICAS": "1", "OPPSYNC_WAIT_MS": "300"}
    with JobClient(pair.url) as client:
        jobs = client.enqueue_many(deals(5))
        eventually(pair.is_level)
        pair.link.freeze()
        one = worker("w1", **environ)
        eventually(lambda: {found.cause for found in client.outcomes(jobs)} == {"not_replicated"})
        assert {found.attempts for found in client.outcomes(jobs)} == {0}
        assert crm.records("acme") == []
        eventually(lambda: "not_replicated" in events(one))
        eventually(lambda: "too few replicas of Redis take note in time" in unready(one))

        pair.link.flow()
        eventually(lambda: len(crm.records("acme")) == 5)
        eventually(lambda: not unready(one))
        pair.link.freeze()
        pair.fail_over()
        two = worker("w2", **{**environ, "OPPSYNC_WAIT_REPLICAS": "0"})
        eventually(lambda: states(client, jobs) == {State.SUCCEEDED}, within_s=40)
    assert len(crm.records("acme")) == 5
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert two.running
    assert {"recalled", "surplus"}.isdisjoint(events(one))


def test_what_happens_without_waiting_for_a_replica_is_told(
    pair: Pair, worker: Callable[..., Worker], crm: HostedSimulator
) -> None:
    """Another worker takes the forgotten create from the promoted replica and sends it: the second record is told."""
    crm.configure(latency_ms=4000)
    port = urlsplit(crm.url).port
    assert port
    with JobClient(pair.url) as client, proxied(port) as line:
        (job,) = client.enqueue_many(deals(1))
        eventually(pair.is_level)
        pair.link.freeze()
        environ = {"REDIS_URL": pair.url, "SPRINTHUB_BASE_URL": f"http://127.0.0.1:{line.port}"}
        one = worker("w1", OPPSYNC_LEASE_SECONDS="20", **environ)
        eventually(lambda: len(crm.records("acme")) == 1)
        # Its answer comes when the replica has been promoted, however long the other worker takes to start.
        line.freeze()
        elsewhere = redis_server.url_at(pair.replica.connection_pool.connection_kwargs["port"])
        pair.replica.replicaof("NO", "ONE")
        two = worker("w2", REDIS_URL=elsewhere, OPPSYNC_LEASE_SECONDS="20")
        eventually(lambda: len(crm.records("acme")) == 2)
        pair.fail_over()
        line.flow()

        eventually(lambda: pair.replica.zcard(keys.SURPLUS) == 1, within_s=40)
        outcome = client.outcome(job)
    records = {record["id"] for record in crm.records("acme")}
    assert outcome.state == State.SUCCEEDED
    surplus = int(pair.replica.hget(keys.job(job), "surplus") or 0)
    assert {outcome.opportunity_id, surplus} == records
    eventually(lambda: "surplus" in [*events(one), *events(two)])


def test_a_record_that_a_look_up_finds_counts_although_the_replica_never_heard_of_a_doubt(
    pair: Pair, worker: Callable[..., Worker], crm: HostedSimulator, tmp_path: Path
) -> None:
    """For the promoted replica the create was never sent: it must not go, once its record has been seen."""
    settings = tmp_path / "instances.toml"
    settings.write_text(INSTANCES.replace("[globex]", "[acme.reconcile]\nprobe_after_seconds = [0.3, 60]\n[globex]", 1))
    crm.configure(latency_ms=3000)
    crm.add_fault("drop_after_commit:method=POST,path=/crmopportunity,times=1")
    with JobClient(pair.url) as client:
        (job,) = client.enqueue_many(deals(1))
        eventually(pair.is_level)
        pair.link.freeze()
        one = worker(REDIS_URL=pair.url, OPPSYNC_LEASE_SECONDS="20", SPRINTHUB_INSTANCES_FILE=str(settings))
        eventually(lambda: received(crm) == 2, what="a look-up")
        assert states(client, [job]) == {State.IN_DOUBT}

        pair.replica.replicaof("NO", "ONE")
        # Or the create might be sent before the look-up has its answer.
        run(pair.replica, operating.hold("acme", cause="operator", note=""))
        pair.fail_over()
        assert states(client, [job]) <= {State.QUEUED, State.WAITING}, "the replica does not lag: nothing is tried here"
        eventually(lambda: states(client, [job]) == {State.SUCCEEDED}, within_s=40)
        run(pair.replica, operating.unhold("acme"))

        (record,) = crm.records("acme")
        assert client.outcome(job).opportunity_id == record["id"]
        eventually(lambda: "recalled" in events(one))
        eventually(lambda: handed_over(pair.replica, "interactive") == 0)
        eventually(lambda: pair.replica.zcard(keys.LEASES) == 0)
    assert crm.counters()["instances"]["acme"]["duplicates"] == 0
    assert received(crm) == 2


@pytest.mark.parametrize("fault", ["", "drop_after_commit:method=POST,path=/crmopportunity"])
def test_what_had_ended_when_the_replica_was_promoted_is_not_done_again_by_whoever_did_it(
    pair: Pair, worker: Callable[..., Worker], crm: HostedSimulator, fault: str
) -> None:
    """The replica knows neither that the creates were sent nor that they succeeded, or are in doubt."""
    if fault:
        crm.add_fault(fault)
    ended = {State.IN_DOUBT} if fault else {State.SUCCEEDED}
    with JobClient(pair.url) as client:
        jobs = client.enqueue_many(deals(10))
        eventually(pair.is_level)
        pair.link.freeze()
        one = worker(REDIS_URL=pair.url, OPPSYNC_LEASE_SECONDS="20")
        eventually(lambda: states(client, jobs) == ended)

        pair.fail_over()
        assert states(client, jobs) <= {State.QUEUED, State.WAITING}, "the replica does not lag: nothing is tried here"
        crm.remove_faults()
        eventually(lambda: states(client, jobs) <= {State.IN_DOUBT, State.SUCCEEDED}, within_s=40)
        eventually(lambda: events(one).count("recalled") == 10)
    assert len(crm.records("acme")) == 10
    assert pair.replica.zcard(keys.SURPLUS) == 0
