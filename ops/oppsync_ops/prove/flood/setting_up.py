"""The processes of a flood: its CRM, and how its workers are started."""

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from oppsync_ops.processes import Child, ProcessEnded, Processes, clean_environ
from oppsync_ops.prove.contender import Command
from oppsync_ops.prove.flood.crm import MARKER_FIELD
from oppsync_ops.prove.flood.deals import INSTANCES
from oppsync_ops.prove.flood.result import FloodOptions
from oppsync_ops.prove.stage import Redis

QUIET: Final = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat")
CONCURRENCY: Final = 100
LATENCY_MS: Final = 30.0
"""Without any, hardly a request would be on its way when its worker is killed."""
PROBES_S: Final = (1.0, 3.0, 6.0, 10.0, 14.0)


class CrmProcess:
    """The CRM's process, and its journal."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.journal = folder / "journal.bin"
        arguments = [sys.executable, "-m", "oppsync_ops.prove.flood.crm", str(self.journal), f"{LATENCY_MS:g}"]
        self.child: Child = processes.start("crm", arguments, clean_environ(), talks=True)
        line = self.child.process.stdout.readline() if self.child.process.stdout else b""
        if not line:
            raise ProcessEnded(f"the CRM did not start: {self.child.last_words()}")
        self.url = str(json.loads(line)["url"])

    def flush(self) -> dict[str, int]:
        """What it has counted so far; everything before is in the journal."""
        self.child.must_run()
        # An address on loopback that the CRM itself has given.
        with urllib.request.urlopen(f"{self.url}/__flood/flush", timeout=30) as answer:  # noqa: S310
            return dict(json.load(answer))


def worker_command(options: FloodOptions, folder: Path, server: Redis, crm: CrmProcess) -> Callable[[int], Command]:
    """How each worker is started, by its number."""
    instances = folder / "instances.toml"
    instances.write_text("\n".join(line for name in INSTANCES for line in _table(name)), "utf-8")
    environ = clean_environ(
        REDIS_URL=server.url,
        SPRINTHUB_BASE_URL=crm.url,
        SPRINTHUB_INSTANCES_FILE=str(instances),
        OPPSYNC_CONCURRENCY=str(CONCURRENCY),
        OPPSYNC_LEASE_SECONDS=f"{options.lease_s:g}",
        OPPSYNC_HEALTH_DIR=str(folder / "health"),
        OPPSYNC_LOG="json",
        OPPSYNC_LOG_LEVEL="WARNING",
    )

    def command(worker: int) -> Command:
        arguments = [sys.executable, "-m", "celery", "--app", "oppsync_worker.app", "worker", *QUIET]
        return Command([*arguments, "--hostname", f"flood-{worker}@%h"], environ)

    return command


def _table(name: str) -> Iterator[str]:
    yield f"[{name}]"
    yield f'token = "flood-{name}-0123456789"'
    yield f'marker_field = "{MARKER_FIELD}"'
    yield from ("connect_seconds = 2.0", "read_seconds = 8.0", "call_seconds = 10.0")
    yield f"[{name}.budget]"
    yield from ("requests = 0", "concurrency = 0")
    yield f"[{name}.retry]"
    yield from ("max_attempts = 60", "first_delay_seconds = 0.3", "max_delay_seconds = 3.0")
    yield f"[{name}.reconcile]"
    yield f"probe_after_seconds = {list(PROBES_S)}"
    yield f"[{name}.order]"
    yield "settle_seconds = 3.0"
