"""Starting, finding and stopping the embedded server.

1. Who starts or stops takes the lock first, so two starts at once make one server.
2. A server is believed only if it answers and its data is this directory's: ports and process ids are used again.
3. A server that refuses connections is no more (the port is the first thing it opens and the last it closes), so its
   files are stale. The next one comes up at the same address if that is free: clients find it without being told.
4. A server that listens and does not answer is left alone: a second one on the same data would ruin both.
5. It has passwords, which stay the same from one start to the next. One that an earlier version started has none; it
   goes on serving, and whoever asks for it is told.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, RedisError
from redis.retry import Retry

from oppsync_ops.embedded.home import Home
from oppsync_ops.redis_access import Access
from oppsync_ops.redis_server import NoRedisServer, free_port

ANSWER_TIMEOUT_S: Final = 2.0
LOADING_TIMEOUT_S: Final = 300.0
STOP_TIMEOUT_S: Final = 30.0
PAUSE_S: Final = 0.02
OPEN: Final = (
    "the embedded Redis was started by an earlier version and lets every user of this machine in:"
    " `oppsync redis stop`, then `oppsync redis start`"
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A running server; `fresh` when this call started it."""

    url: str
    pid: int
    version: str
    memory: str
    fresh: bool = False
    product: str = "Redis"

    @property
    def shown(self) -> str:
        """Its address for the eyes of whoever reads a screen or a log."""
        address = urlsplit(self.url)
        return f"redis://127.0.0.1:{address.port}{address.path}"

    @property
    def is_open(self) -> bool:
        """Whether it lets everybody in, as servers of earlier versions do."""
        return urlsplit(self.url).password is None


class Stuck(NoRedisServer):
    """The server is there and does not answer."""


def start(home: Home) -> Embedded:
    """The server of this directory: the one that runs, or a new one.

    Raises:
        NoRedisServer: it did not come up, or the one that is there is stuck.
    """
    with home.locked():
        found = _find(home)
        if found is None:
            old = home.addresses()
            home.forget()
            found = _launch(home, preferred=urlsplit(old[0]).port if old else None)
        home.remember(found.url, found.pid)
        return found


def find(home: Home) -> Embedded | None:
    """The server of this directory, if it runs; files of one that does not are left as they are.

    Raises:
        Stuck: it is there and does not answer.
    """
    return _find(home) if home.folder.exists() else None


def stop(home: Home) -> Embedded | None:
    """Stop the server; None when none ran. Its data stays.

    Raises:
        NoRedisServer: it does not stop, or does not answer.
    """
    if not home.folder.exists():
        return None
    with home.locked():
        found = _find(home)
        if found:
            _shut_down(found, home)
        home.forget()
        return found


def _find(home: Home) -> Embedded | None:
    for url in home.addresses():
        found = _ask(url, home)
        if found:
            return found
    return None


def _ask(url: str, home: Home) -> Embedded | None:
    deadline = time.monotonic() + LOADING_TIMEOUT_S
    while _listens(url) and not _is_over(home):
        try:
            with _client(url) as client:
                folder: Any = client.config_get("dir")
                info: Any = client.info()
        except (AuthenticationError, NoPermissionError):
            raise Stuck(
                f"what listens at the embedded Redis' address does not take the password in {home.secret}: if it is"
                f" that Redis, end the process in {home.pid}; if not, remove {home.url} and {home.starting}"
            ) from None
        except BusyLoadingError:
            if time.monotonic() > deadline:
                raise Stuck("the embedded Redis is still loading its data; try again later") from None
            time.sleep(PAUSE_S)
        except RedisError as error:
            raise Stuck(
                f"what listens at the embedded Redis' address does not answer as Redis does ({type(error).__name__}):"
                f" if it is that Redis, end the process in {home.pid}; if not, remove {home.url} and {home.starting}"
            ) from None
        else:
            its = Path(folder["dir"])
            if not (its.exists() and home.data.exists() and home.data.samefile(its)):
                return None
            version = str(info.get("valkey_version") or info["redis_version"])
            product = "Valkey" if "valkey_version" in info else "Redis"
            pid, memory = int(info["process_id"]), str(info["used_memory_human"])
            return Embedded(url, pid, version, memory, product=product)
    return None


def _listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname or "127.0.0.1", address.port or 6379), ANSWER_TIMEOUT_S):
            return True
    except ConnectionRefusedError:
        return False
    except (OSError, ValueError) as error:
        raise Stuck(f"the embedded Redis does not take connections ({type(error).__name__})") from None


def _is_over(home: Home) -> bool:
    """Whether the process that was noted is certainly no more; then another program may have its port."""
    try:
        os.kill(int(home.pid.read_text("utf-8")), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _launch(home: Home, *, preferred: int | None) -> Embedded:
    problem = ""
    home.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    access = home.access() or Access(app=secrets.token_hex(32), admin=secrets.token_hex(32))
    home.keep(access)
    for port in (preferred, None, None):
        chosen = port or free_port()
        url = access.app_url(chosen)
        home.expect(url)
        run = subprocess.run(
            [sys.executable, "-m", "oppsync_ops.embedded.launch", str(home.folder), str(chosen)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        found = _ask(url, home) if run.returncode == 0 else None
        if found:
            return replace(found, fresh=True)
        problem = (run.stderr.strip().splitlines() or ["the address is somebody else's"])[-1]
        if "in use" not in problem.lower() and port is None:
            break
    home.forget()
    raise NoRedisServer(problem)


def _shut_down(found: Embedded, home: Home) -> None:
    access = home.access()
    may = found.url if found.is_open or access is None else access.admin_url(urlsplit(found.url).port or 0)
    with _client(may, timeout_s=STOP_TIMEOUT_S) as client:
        client.shutdown()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _listens(found.url):
        if time.monotonic() > deadline:
            raise Stuck(f"the embedded Redis (process {found.pid}) does not stop; its log is in its data directory")
        time.sleep(PAUSE_S)


def _client(url: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Redis:
    return Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=ANSWER_TIMEOUT_S,
        decode_responses=True,
    )
