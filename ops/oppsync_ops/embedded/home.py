"""The files of an embedded server."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from oppsync_ops.redis_access import Access
from oppsync_ops.redis_server import NoRedisServer
from oppsync_worker.ledger.connect import EMBEDDED_URL_FILE


@dataclass(frozen=True, slots=True)
class Home:
    """Where an embedded server keeps its files."""

    folder: Path

    @classmethod
    def here(cls) -> Self:
        """The one of the working directory."""
        return cls(EMBEDDED_URL_FILE.parent)

    @property
    def data(self) -> Path:
        """The server's directory."""
        return self.folder / "redis"

    @property
    def url(self) -> Path:
        """Holds the address of the running server; clients look for this file."""
        return self.folder / EMBEDDED_URL_FILE.name

    @property
    def pid(self) -> Path:
        """Holds the running server's process id."""
        return self.folder / "redis.pid"

    @property
    def secret(self) -> Path:
        """Holds the server's passwords: clients that wait for it to come back must find the same."""
        return self.folder / "redis.secret"

    @property
    def starting(self) -> Path:
        """Holds the address of a server whose starter has not finished, perhaps never will."""
        return self.folder / "redis.starting"

    def addresses(self) -> list[str]:
        """Every address at which the server may be found."""
        files = [self.url, self.starting]
        return [text for file in files if file.exists() and (text := file.read_text("utf-8").strip())]

    def remember(self, url: str, pid: int) -> None:
        """Note the running server, the address last: who finds that finds a server."""
        _write(self.pid, f"{pid}\n")
        _write(self.url, f"{url}\n")
        self.starting.unlink(missing_ok=True)

    def expect(self, url: str) -> None:
        """Note where a server is about to come up."""
        _write(self.starting, f"{url}\n")

    def access(self) -> Access | None:
        """The server's passwords; None before there was a first server with passwords."""
        try:
            told = json.loads(self.secret.read_text("utf-8"))
            return Access(app=str(told["app"]), admin=str(told["admin"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, access: Access) -> None:
        """Note the passwords of a server that is about to come up."""
        _write(self.secret, json.dumps({"app": access.app, "admin": access.admin}) + "\n")

    def forget(self) -> None:
        """Take away what is said of a server that is no more; its data stays."""
        for file in (self.url, self.pid, self.starting):
            file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with these files; the lock goes with the process that holds it.

        Raises:
            NoRedisServer: they are somebody else's.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self.folder.stat().st_uid
        if owner != os.geteuid():
            raise NoRedisServer(
                f"{self.folder.resolve()} belongs to another user (uid {owner}): work as that user, go to a directory"
                " of your own, or set REDIS_URL"
            )
        self.folder.chmod(0o700)
        with (self.folder / "redis.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:  # noqa: PTH123 - Path.open takes no mode of a new file
        output.write(text)
    unfinished.replace(file)
