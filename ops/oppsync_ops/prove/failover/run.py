"""The failovers of one run."""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import redis

from oppsync import JobClient
from oppsync_ops.processes import ProcessEnded, Processes, clean_environ
from oppsync_ops.prove.collecting import record_of, whole_journal
from oppsync_ops.prove.contender import Command
from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.failover.audit import Failover, FailoverAudit, FailoverEvidence, audit
from oppsync_ops.prove.failover.pair import Pair, paired
from oppsync_ops.prove.failover.producer import Producer
from oppsync_ops.prove.fleet import STOP_MARGIN_S, Fleet
from oppsync_ops.prove.form import SHORT
from oppsync_ops.prove.load import INSTANCES, draw_jobs
from oppsync_ops.prove.ours import FLAGS
from oppsync_ops.prove.plan import HANDS, Allowance, Options, Plan
from oppsync_ops.prove.planned import By, Fate, PlannedJob
from oppsync_ops.prove.run import Teller
from oppsync_ops.prove.settings import instances_file
from oppsync_ops.prove.stage import declarations
from oppsync_ops.witness import Witness
from oppsync_worker.contract.states import State
from oppsync_worker.ledger.presence import alive

LATENCY_MS: Final = (300, 1_200)
"""Long enough that many requests are on their way when the primary dies."""
LEASE_S: Final = 8.0
LAG_S: Final = 1.5
"""How long the replica hears nothing before the primary dies."""
DOWN_S: Final = 0.7
"""How long nobody is primary: what a sentinel takes at best."""
BETWEEN_S: Final = 12.0
"""From one failover to the next."""
SAMPLE_EVERY_S: Final = 0.02
PATIENCE_S: Final = 90.0
QUIET_S: Final = 25.0
BATCH: Final = 500
START_PATIENCE_S: Final = 60.0
BUDGET: Final = 6_000


@dataclass(frozen=True, slots=True)
class FailoverOptions:
    """What a person chooses."""

    seed: int
    jobs: int
    workers: int
    failovers: int = 2
    wait_replicas: int = 0

    @property
    def load_s(self) -> float:
        """How long jobs are handed over: with a failover in the middle of each stretch."""
        return BETWEEN_S * self.failovers


@dataclass(frozen=True, slots=True)
class FailoverRun:
    """What came of it."""

    options: FailoverOptions
    evidence: FailoverEvidence
    audit: FailoverAudit
    repeated: int
    seconds: float


def failover(options: FailoverOptions, folder: Path, teller: Teller) -> FailoverRun:
    """Do it, in a folder of its own.

    Raises:
        ProcessEnded, NoRedisServer: something that is not put to the proof did not work.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        teller.step("a primary, a replica, the simulated CRM")
        pair = stack.enter_context(paired(folder))
        processes = stack.enter_context(Processes(folder))
        plan = _plan(options)
        crm = _crm(processes, plan)
        command = _command(options, plan, folder, pair.url, crm.url)
        fleet = Fleet(processes, command, workers=options.workers, patience_s=SHORT.call_s + STOP_MARGIN_S)
        stack.enter_context(fleet.running())
        _wait_for_workers(pair, fleet, options.workers)
        producer = Producer(pair.url, _jobs(options, plan), options.load_s)
        teller.step(f"{len(producer.jobs)} jobs over {options.load_s:g} s, {options.failovers} failovers")
        try:
            producer.start()
            found = [_one_failover(pair, options, number, producer) for number in range(options.failovers)]
            seen = _settled(pair, producer, teller)
        finally:
            producer.stop()
        teller.step("stopping the workers, and the audit")
        fleet.stop_all()
        evidence = FailoverEvidence(
            jobs=producer.by_id,
            acknowledged=dict(producer.acknowledged),
            failovers=tuple(found),
            seen=seen,
            records=tuple(record_of(row) for row in crm.records()),
            requests=whole_journal(crm, patience_s=SHORT.too_slow_s),
            latency_s=(LATENCY_MS[0] / 1000, sum(LATENCY_MS) / 1000),
            barrier=options.wait_replicas > 0,
            exits=tuple(fleet.exits),
        )
    return FailoverRun(options, evidence, audit(evidence), producer.repeated, time.monotonic() - began)


def _one_failover(pair: Pair, options: FailoverOptions, number: int, producer: Producer) -> Failover:
    """In the middle of its stretch of the load."""
    producer.wait_until((number + 0.5) * BETWEEN_S)
    samples: list[tuple[float, int]] = []
    pair.lag()
    lagging_until = time.monotonic() + LAG_S
    with pair.client() as client:
        while time.monotonic() < lagging_until:
            # What was acknowledged before the question is at most at this offset.
            at = time.time()
            samples.append((at, int(client.info("replication")["master_repl_offset"])))
            time.sleep(SAMPLE_EVERY_S)
    pair.kill()
    killed_at = time.time()
    time.sleep(DOWN_S)
    offset = pair.promote()
    promoted_at = time.time()
    replicated_at = max((at for at, heard in samples if heard <= offset), default=samples[0][0])
    if number + 1 < options.failovers or options.wait_replicas:
        pair.renew()
    return Failover(replicated_at, killed_at, promoted_at)


def _jobs(options: FailoverOptions, plan: Plan) -> tuple[PlannedJob, ...]:
    """Creates, and updates by reference: a reference is known before anything is sent."""
    drawn = draw_jobs(options.seed, options.jobs, leads=True, killer=False)
    refused = {job.record for job in drawn if job.fate is not Fate.SUCCEEDED}
    return tuple(
        replace(job, foreign=False, twice=False)
        for job in drawn
        if job.by is not By.ID and job.record not in refused and job.instance in plan.budgets
    )


def _plan(options: FailoverOptions) -> Plan:
    whole = Plan.draw(Options(options.seed, options.jobs, options.load_s / 60, options.workers, neighbours=False))
    budgets = {name: Allowance(BUDGET, SHORT.window_s, HANDS) for name in INSTANCES}
    return replace(whole, form=replace(SHORT, lease_s=LEASE_S), budgets=budgets)


def _crm(processes: Processes, plan: Plan) -> Witness:
    options = ["--seed", str(plan.options.seed), "--throttle", "off", "--latency-ms", str(LATENCY_MS[0])]
    crm = Witness.start(processes, *options, "--latency-jitter-ms", str(LATENCY_MS[1]))
    for declared in declarations(plan):
        crm.declare(declared)
    return crm


def _command(
    options: FailoverOptions, plan: Plan, folder: Path, redis_url: str, crm_url: str
) -> Callable[[int], Command]:
    instances = folder / "instances.toml"
    instances.write_text(instances_file(plan), "utf-8")
    environ = clean_environ(
        REDIS_URL=redis_url,
        SPRINTHUB_BASE_URL=crm_url,
        SPRINTHUB_INSTANCES_FILE=str(instances),
        OPPSYNC_CONCURRENCY=str(HANDS),
        OPPSYNC_LEASE_SECONDS=f"{LEASE_S:g}",
        OPPSYNC_SWEEP_SECONDS="5",
        OPPSYNC_HEALTH_DIR=str(folder / "health"),
        OPPSYNC_LOG="json",
        **({"OPPSYNC_WAIT_REPLICAS": str(options.wait_replicas)} if options.wait_replicas else {}),
    )

    def command(worker: int) -> Command:
        arguments = [sys.executable, "-m", "celery", "--app", "oppsync_worker.app", "worker", *FLAGS]
        return Command([*arguments, "--hostname", f"failover-{worker}@%h"], environ)

    return command


def _wait_for_workers(pair: Pair, fleet: Fleet, workers: int) -> None:
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        with redis.Redis.from_url(pair.primary.url) as client:
            if len(alive(client)) >= workers:
                return
        if fleet.exits:
            raise ProcessEnded(fleet.exits[0])
        time.sleep(0.1)
    raise ProcessEnded("the workers did not come up")


def _settled(pair: Pair, producer: Producer, teller: Teller) -> dict[str, Seen]:
    """What is known of every job, when nothing moves any more."""
    began = moved = time.monotonic()
    last: object = None
    while True:
        seen = _seen(pair, list(producer.acknowledged))
        ended = sum(one.state.is_terminal for one in seen.values())
        teller.settled(ended, len(producer.jobs))
        now = time.monotonic()
        if producer.done and all(_over(producer, seen, job_id) for job_id in seen):
            break
        standing = {job_id: one.state for job_id, one in seen.items()}
        if standing != last:
            last, moved = standing, now
        if now - moved > QUIET_S or now - began > PATIENCE_S:
            break
        time.sleep(1.0)
    # What a lost claim leaves comes back after a lease, and would be sent again if nothing prevented that.
    time.sleep(LEASE_S + 1)
    return _seen(pair, list(producer.acknowledged))


def _over(producer: Producer, seen: dict[str, Seen], job_id: str) -> bool:
    """At its end, forgotten, or behind a create that is forgotten."""
    first = seen.get(producer.by_id[job_id].first_id)
    forgotten = first is None or first.state is State.UNKNOWN
    return forgotten or seen[job_id].state.is_terminal or seen[job_id].state is State.UNKNOWN


def _seen(pair: Pair, job_ids: list[str]) -> dict[str, Seen]:
    found = {}
    with JobClient(pair.primary.url) as asking:
        for start in range(0, len(job_ids), BATCH):
            for one in asking.outcomes(job_ids[start : start + BATCH]):
                found[one.job_id] = Seen(one.state, one.cause, one.detail, one.points_to, one.opportunity_id)
    return found
