"""What tests of the whole need: real worker processes, and waiting for effects with a bound."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import redis

from oppsync_worker.ledger import keys
from oppsync_worker.ledger.claims import claim
from oppsync_worker.ledger.operating import tell
from oppsync_worker.ledger.promoting import promote
from oppsync_worker.ledger.scripts import Call

T = TypeVar("T")

BIN = Path(sys.executable).parent

INSTANCES = """
[acme]
token = "acme-token-1234"
marker_field = "oppsync"
[acme.budget]
requests = 0
concurrency = 0
cool_down_seconds = 1.0
[acme.retry]
max_attempts = 4
first_delay_seconds = 0.05
max_delay_seconds = 0.2

[globex]
token = "globex-token-5678"
marker_field = "oppsync"
[globex.budget]
requests = 0
concurrency = 0
[globex.retry]
max_attempts = 4
first_delay_seconds = 0.05
max_delay_seconds = 0.2
"""


def told(instance: str, *, requests: int = 0, concurrency: int = 0, fingerprint: str = "f", **more: str | int) -> Call:
    """What a worker announces of an instance: a budget per 60 s."""
    facts = {"requests": requests, "window_ms": 60_000, "concurrency": concurrency, "call_ms": 60_000, **more}
    return tell(instance, fingerprint=fingerprint, facts=facts)


def claiming(queues: list[str], *, most: int, lease_ms: int = 60_000, worker: str = "w") -> Call:
    """A worker's question that nobody has asked before: every claim is a new one."""
    return claim(queues, most=most, lease_ms=lease_ms, worker=worker, question=uuid4().hex)


def time_passes(*, most: int = 100, takes: int = 0) -> Call:
    """What workers do all the time: everything that is due goes on, and look-ups are handed out to `takes` askers."""
    return promote(most=most, horizon_ms=250, ttl_s=86_400, takes=takes, look_ms=60_000)


def handed_over(ledger: redis.Redis, lane: str) -> int:
    """Jobs of a lane that wait to be sent: with a slot in the lane itself, without one in their instance's line."""
    borders: tuple[float | str, float | str] = ("-inf", "(1e13") if lane == "interactive" else (1e13, "+inf")
    lines = ledger.scan_iter(keys.waiting("*"))
    return ledger.llen(f"opportunities.{lane}") + sum(ledger.zcount(line, *borders) for line in lines)


def eventually(look: Callable[[], T], *, within_s: float = 20.0, what: str = "the effect") -> T:
    """Look until something true is seen; fail with what was seen last."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s:g} s for {what}; last seen: {seen!r}")
        time.sleep(0.02)


class Worker:
    """A real Celery worker in a process of its own, with its output in a file."""

    def __init__(
        self,
        *,
        redis_url: str,
        crm_url: str,
        folder: Path,
        environ: Mapping[str, str] | None = None,
        app: str = "oppsync_worker.app",
        options: Sequence[str] = (),
    ) -> None:
        """`app` may be a module of the tests' that changes something of the product before it starts."""
        self.app = app
        self.options = options
        self.log = folder / "worker.log"
        instances = folder / "instances.toml"
        if not instances.exists():
            instances.write_text(INSTANCES, "utf-8")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SPRINTHUB", "OPPSYNC"))},
            "REDIS_URL": redis_url,
            "SPRINTHUB_BASE_URL": crm_url,
            "SPRINTHUB_INSTANCES_FILE": str(instances),
            "OPPSYNC_LOG": "json",
            "OPPSYNC_LEASE_SECONDS": "2",
            "OPPSYNC_HEALTH_DIR": str(folder / "health"),
            "PYTHONPATH": str(Path(__file__).parent),
            **(environ or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Worker":
        """Start it; it claims as soon as it is up."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(BIN / "celery"), "-A", self.app, "worker", *self.options],
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        return self

    def stop(self, *, within_s: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""


@contextlib.contextmanager
def working(**kwargs: object) -> Iterator[Worker]:
    """A worker for as long as the block lasts."""
    worker = Worker(**kwargs)  # type: ignore[arg-type]
    try:
        yield worker.start()
    finally:
        if worker.running:
            worker.kill()
