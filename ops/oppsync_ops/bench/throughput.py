"""Jobs a second of one worker process, beside plain Celery making the same calls to the same CRM in the same run.

Each run has a Redis (`appendfsync always`), a CRM and a queue filled beforehand; then the worker starts, and the CRM's
journal says how fast calls came: between the calls at 10 % and 90 % of all, so that neither start nor end counts. CPU
and memory are the worker's alone, its children included.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from oppsync import JobClient
from oppsync_ops.bench import plain_app
from oppsync_ops.bench.load import INSTANCE, creates, plain_document
from oppsync_ops.bench.meter import Meter, cpu_between
from oppsync_ops.bench.plan import Plan
from oppsync_ops.bench.result import Row, Tell, rounded
from oppsync_ops.bench.stage import Budget, Stage, staged
from oppsync_ops.processes import Child, ProcessEnded
from oppsync_ops.spread import LEAST, steady

OURS: Final = "oppsync"
PLAIN_POOLS: Final = (("prefork", 16), ("threads", 100))
START_PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Setup:
    """One way of working the queue off: ours, or a pool of plain Celery, with so many calls in flight."""

    pool: str
    concurrency: int

    @property
    def ours(self) -> bool:
        """Whether it is this software."""
        return self.pool == OURS


@dataclass(frozen=True, slots=True)
class Run:
    """What one set-up did in the middle of its run."""

    setup: Setup
    calls: int
    seconds: float
    jobs_per_s: float
    cpu_ms_per_job: float | None
    """None where there is no `/proc`."""
    peak_memory_mib: float | None
    failed: int
    """Calls of the whole run that were not answered with success."""
    duplicates: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """The measurement's result."""

    title: ClassVar[str] = "Throughput: one worker process, no limit"

    latency_ms: float
    runs: tuple[Run, ...]

    @property
    def best_ours(self) -> Run:
        """Our fastest run."""
        return self._best(ours=True)

    @property
    def best_plain(self) -> Run:
        """Plain Celery's fastest run."""
        return self._best(ours=False)

    @property
    def ratio(self) -> float:
        """Ours over the best of plain Celery."""
        return self.best_ours.jobs_per_s / self.best_plain.jobs_per_s if self.best_plain.jobs_per_s else 0.0

    def _best(self, *, ours: bool) -> Run:
        return max((run for run in self.runs if run.setup.ours is ours), key=lambda run: run.jobs_per_s)

    def rows(self) -> Sequence[Row]:
        """One for each set-up."""
        return [
            {
                "worker": run.setup.pool if run.setup.ours else f"plain Celery, {run.setup.pool}",
                "in flight": run.setup.concurrency,
                "jobs/s": rounded(run.jobs_per_s),
                "over best plain": rounded(run.jobs_per_s / self.best_plain.jobs_per_s, 2),
                "CPU ms/job": rounded(run.cpu_ms_per_job, 2),
                "peak MiB": rounded(run.peak_memory_mib, 0),
                "calls measured": run.calls,
                "seconds": rounded(run.seconds),
            }
            for run in self.runs
        ]

    def remarks(self) -> Sequence[str]:
        """The comparison in a sentence."""
        ours, plain = self.best_ours.setup, self.best_plain.setup
        return [
            f"The CRM answers after {self.latency_ms:g} ms.",
            f"Best are {ours.concurrency} in flight: {self.ratio:.2f} times plain Celery's best, {plain.pool}.",
        ]

    def problems(self) -> Sequence[str]:
        """Calls that failed, and records that were made twice."""
        return [
            f"{run.setup.pool} {run.setup.concurrency}: {run.failed} failed calls, {run.duplicates} duplicates"
            for run in self.runs
            if run.failed or run.duplicates
        ]


def measure(plan: Plan, tell: Tell) -> Throughput:
    """Run every set-up, one after the other."""
    setups = [Setup(OURS, concurrency) for concurrency in plan.concurrency] + [Setup(*pool) for pool in PLAIN_POOLS]
    return Throughput(plan.latency_ms, tuple(_run(setup, plan, tell) for setup in setups))


def _run(setup: Setup, plan: Plan, tell: Tell) -> Run:
    jobs = plan.throughput_jobs if setup.ours else plan.throughput_jobs // 2
    tell(f"throughput: {setup.pool}, {setup.concurrency} in flight, {jobs} jobs")
    with staged(latency_ms=plan.latency_ms) as stage:
        worker = _started(stage, setup, jobs)
        with Meter(worker.group) as meter:
            _work_off(stage, worker, jobs, seconds=plan.throughput_s)
        calls = stage.crm.calls(INSTANCE)
        counts = stage.crm.counts(INSTANCE)
    middle = steady([call.at_s for call in calls])
    cpu_s = cpu_between(meter.samples, middle.began_s, middle.ended_s)
    return Run(
        setup=setup,
        calls=middle.calls,
        seconds=middle.ended_s - middle.began_s,
        jobs_per_s=middle.per_second,
        cpu_ms_per_job=None if cpu_s is None else 1000 * cpu_s / middle.calls,
        peak_memory_mib=meter.peak_bytes / 2**20 if meter.peak_bytes else None,
        failed=sum(not call.succeeded for call in calls),
        duplicates=counts.duplicates,
    )


def _started(stage: Stage, setup: Setup, jobs: int) -> Child:
    """Fill the queue, then start the worker."""
    if setup.ours:
        with JobClient(stage.redis_url) as client:
            client.enqueue_many(creates(jobs))
        return stage.worker(Budget(), concurrency=setup.concurrency)
    documents: Iterable[dict[str, object]] = map(plain_document, range(jobs))
    plain_app.enqueue(stage.redis_url, documents)
    return stage.plain_worker(pool=setup.pool, concurrency=setup.concurrency)


def _work_off(stage: Stage, worker: Child, jobs: int, *, seconds: float) -> None:
    """Wait until the queue is worked off, or `seconds` have passed since the CRM answered for the first time."""
    patience = time.monotonic() + START_PATIENCE_S
    began: float | None = None
    while True:
        worker.must_run()
        answered = stage.crm.counts(INSTANCE).answered
        now = time.monotonic()
        if began is None and answered:
            began = now
        if answered >= jobs or (began is not None and now - began > seconds and answered >= LEAST):
            return
        if now > patience and answered < LEAST:
            raise ProcessEnded(f"{worker.name} delivers nothing: {worker.last_words()}")
        time.sleep(LOOK_EVERY_S)
