"""What a measurement runs on: a Redis, a simulated CRM and workers, each a process of its own in a temporary folder."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from oppsync_ops import redis_server
from oppsync_ops.bench.load import INSTANCE, TOKEN
from oppsync_ops.processes import Child, Processes, clean_environ
from oppsync_ops.witness import Witness

QUIET: Final = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
"""Celery's flags for everybody alike: nobody pays for chatter that nobody reads."""

SETTINGS: Final = """\
[{instance}]
token = "{token}"
marker_field = "oppsync"
[{instance}.budget]
requests = {requests}
window_seconds = {window_s}
concurrency = {in_flight}
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the worker is told of the instance; 0 is no limit."""

    requests: int = 0
    window_s: float = 60.0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """Redis and the CRM are up; workers are started when they are wanted."""

    folder: Path
    redis_url: str
    crm: Witness
    processes: Processes

    def worker(self, budget: Budget, *, concurrency: int, name: str = "worker") -> Child:
        """Start one of our worker processes."""
        instances = self.folder / "instances.toml"
        told = {"requests": budget.requests, "window_s": float(budget.window_s), "in_flight": budget.in_flight}
        instances.write_text(SETTINGS.format(instance=INSTANCE, token=TOKEN, **told), "utf-8")
        environ = self._environ(
            SPRINTHUB_INSTANCES_FILE=str(instances),
            OPPSYNC_CONCURRENCY=str(concurrency),
            OPPSYNC_HEALTH_DIR=str(self.folder / "health"),
            OPPSYNC_LOG="json",
            OPPSYNC_LOG_LEVEL="WARNING",
        )
        return self._celery(name, "oppsync_worker.app", environ, "--hostname", f"{name}@%h")

    def plain_worker(self, *, pool: str, concurrency: int) -> Child:
        """Start a worker of the plain Celery app."""
        environ = self._environ(SPRINTHUB_INSTANCE=INSTANCE, SPRINTHUB_API_TOKEN=TOKEN)
        flags = ("--pool", pool, "--concurrency", str(concurrency))
        return self._celery(f"plain-{pool}", "oppsync_ops.bench.plain_app", environ, *flags)

    def _celery(self, name: str, app: str, environ: Mapping[str, str], *flags: str) -> Child:
        arguments = [sys.executable, "-m", "celery", "-A", app, "worker", *QUIET, *flags]
        return self.processes.start(name, arguments, environ)

    def _environ(self, **given: str) -> dict[str, str]:
        return clean_environ(REDIS_URL=self.redis_url, SPRINTHUB_BASE_URL=self.crm.url, **given)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone when the block ends."""
    with TemporaryDirectory(prefix="oppsync-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def staged(*, latency_ms: float, throttle: str = "off") -> Iterator[Stage]:
    """Redis and the CRM for as long as the block lasts. `throttle` is the simulator's, such as `300/60s`."""
    with (
        temporary_folder() as folder,
        redis_server.running(folder / "redis") as server,
        Processes(folder) as processes,
    ):
        crm = Witness.start(processes, "--latency-ms", f"{latency_ms:g}", "--throttle", throttle)
        yield Stage(folder, server.app_url, crm, processes)
