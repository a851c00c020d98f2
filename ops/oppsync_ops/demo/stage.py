"""The processes of the demo, and their end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from oppsync_ops import redis_server

COMMAND = (sys.executable, "-m", "oppsync_ops.cli.main")

_TABLE = """\
[{name}]
token = "{token}"
marker_field = "oppsync"
call_seconds = 6.0
[{name}.budget]
requests = 250
window_seconds = 10.0
concurrency = 8
cool_down_seconds = 2.0
[{name}.retry]
first_delay_seconds = 0.2
max_delay_seconds = 2.0
[{name}.reconcile]
probe_after_seconds = [1.0, 3.0, 7.0]
on_probably_absent = "resend"
[{name}.order]
settle_seconds = 3.0

"""

TOKENS = {"acme": "acme-token-1234", "globex": "globex-token-5678"}

INSTANCES = """\
# Budgets and times are set so that the demo is quick. A live instance gets 45 requests a minute, and a create whose
# answer was lost is looked for during five minutes, unless you say otherwise.
""" + "".join(_TABLE.format(name=name, token=token) for name, token in TOKENS.items())


class Stage:
    """Redis, simulator and worker in a folder of their own; all gone, folder included, when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self.environ: dict[str, str] = {}
        self.redis_url = self.crm_url = ""
        self.redis_port = 0
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            server = self._stack.enter_context(redis_server.running(self.folder / "redis"))
            self.redis_url = server.app_url
            self.redis_port = server.port
            self.crm_url = self._simulator()
        except BaseException:
            self._stack.close()
            raise
        instances = self.folder / "instances.toml"
        instances.write_text(INSTANCES, "utf-8")
        self.environ = {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "SPRINTHUB_BASE_URL": self.crm_url,
            "SPRINTHUB_INSTANCES_FILE": str(instances),
            "OPPSYNC_LOG": "json",
            "OPPSYNC_LEASE_SECONDS": "3",
            "OPPSYNC_HEALTH_DIR": str(self.folder / "health"),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_worker(self) -> int:
        """Start a worker; its process id."""
        output = self._stack.enter_context((self.folder / "worker.log").open("ab"))
        self._worker = self._start([*COMMAND, "worker"], stdout=output, env=self.environ)
        return self._worker.pid

    def kill_worker(self) -> None:
        """SIGKILL: what a power cut does."""
        if self._worker:
            self._worker.kill()
            self._worker.wait()

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run an `oppsync` command as a person would: its exit code and what it printed."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode, done.stdout

    def simulator(self, path: str, body: object = None) -> Any:
        """Ask or tell the simulator (`/__sim/...`)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - an address on loopback that was made above
            f"{self.crm_url}/__sim/{path}", data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def worker_log_tail(self) -> str:
        """The worker's last lines, for when something went wrong."""
        log = self.folder / "worker.log"
        return "\n".join(log.read_text("utf-8", "replace").splitlines()[-10:]) if log.exists() else ""

    def _simulator(self) -> str:
        options = ["--port", "0", "--throttle", "250/10s", "--latency-ms", "40", "--latency-jitter-ms", "30"]
        output = self._stack.enter_context((self.folder / "simulator.log").open("ab"))
        process = self._start([*COMMAND, "simulator", *options], stdout=subprocess.PIPE, stderr=output, env=os.environ)
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise RuntimeError("the simulator did not start: " + (self.folder / "simulator.log").read_text("utf-8"))
        return str(json.loads(line)["url"])

    def _start(self, arguments: list[str], **given: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, **{"stderr": subprocess.STDOUT, **given}
        )
        self._stack.callback(_end, process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
