"""What it costs a producer to hand jobs over: time for each call, jobs a second in bulk, bytes in Redis."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from oppsync_ops import redis_server
from oppsync_ops.bench.plan import Plan
from oppsync_ops.bench.result import Row, Tell, rounded
from oppsync_ops.bench.stage import temporary_folder
from oppsync_ops.processes import clean_environ
from oppsync_ops.spread import percentile

FSYNCS: Final = ("everysec", "always")
"""Redis' `appendfsync`: the usual one, and the one that the promise of losing nothing needs."""

PROBE_TIMEOUT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Handover:
    """One producer process on loopback, at one setting of `appendfsync`."""

    fsync: str
    calls: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    bulk_jobs: int
    bulk_jobs_per_s: float
    bytes_per_job: float
    """Redis memory of one queued job: its message and its ledger entry."""


@dataclass(frozen=True, slots=True)
class Enqueueing:
    """The measurement's result."""

    title: ClassVar[str] = "Enqueue: what a producer waits for"

    handovers: tuple[Handover, ...]

    def rows(self) -> Sequence[Row]:
        """One for each setting."""
        return [
            {
                "appendfsync": one.fsync,
                "calls": one.calls,
                "p50 ms": rounded(one.p50_ms, 3),
                "p99 ms": rounded(one.p99_ms, 3),
                "max ms": rounded(one.most_ms, 2),
                "bulk jobs/s": rounded(one.bulk_jobs_per_s, 0),
                "bytes/job": rounded(one.bytes_per_job, 0),
            }
            for one in self.handovers
        ]

    def remarks(self) -> Sequence[str]:
        """Nothing needs saying."""
        return ()

    def problems(self) -> Sequence[str]:
        """A figure is no promise: it depends on the machine."""
        return ()


def measure(plan: Plan, tell: Tell) -> Enqueueing:
    """Run the producer once for each setting, each with a Redis of its own."""
    return Enqueueing(tuple(_handover(fsync, plan, tell) for fsync in FSYNCS))


def _handover(fsync: str, plan: Plan, tell: Tell) -> Handover:
    tell(f"enqueue: {plan.enqueue_calls} calls, appendfsync {fsync}")
    with temporary_folder() as folder, redis_server.running(folder / "redis", fsync=fsync) as server:
        counts = (str(plan.enqueue_calls), str(plan.enqueue_jobs))
        done = subprocess.run(
            [sys.executable, "-m", "oppsync_ops.bench.enqueue_probe", *counts],
            env=clean_environ(REDIS_URL=server.url),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=PROBE_TIMEOUT_S,
            check=True,
        )
    seen = json.loads(done.stdout)
    singles_ms = [1000 * seconds for seconds in seen["singles_s"]]
    return Handover(
        fsync=fsync,
        calls=len(singles_ms),
        p50_ms=percentile(singles_ms, 50),
        p99_ms=percentile(singles_ms, 99),
        most_ms=max(singles_ms),
        bulk_jobs=plan.enqueue_jobs,
        bulk_jobs_per_s=plan.enqueue_jobs / seen["bulk_s"],
        bytes_per_job=seen["memory_bytes"] / plan.enqueue_jobs,
    )
