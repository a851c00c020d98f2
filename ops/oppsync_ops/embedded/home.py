"""The files of an embedded server."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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

    def forget(self) -> None:
        """Take away what is said of a server that is no more; its data stays."""
        for file in (self.url, self.pid, self.starting):
            file.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with these files; the lock goes with the process that holds it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "redis.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(file)
