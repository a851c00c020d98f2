"""Child processes that are gone when their block ends: each leads a process group, and the whole group is killed.

They hold nothing that anybody needs (their Redis and files are temporary), so nothing waits for them to stop nicely.
A terminal's Ctrl-C does not reach them: it ends the block, and the block ends them.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

LAST_LINES: Final = 5


class ProcessEnded(RuntimeError):
    """A process that should be running is not; the text quotes its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process and, with pools that fork, its children: `group` is the id of them all."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def group(self) -> int:
        """The process group, which the process leads."""
        return self.process.pid

    def must_run(self) -> None:
        """Make sure that it has not ended by itself.

        Raises:
            ProcessEnded: it has.
        """
        code = self.process.poll()
        if code is not None:
            raise ProcessEnded(f"{self.name} ended with {code}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote."""
        return " / ".join(self.log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:])

    def kill(self) -> None:
        """SIGKILL for the whole group, and wait for its leader."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Processes:
    """Starts children in `folder`, and kills all of them at the end of its block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.kill()

    def start(self, name: str, arguments: Sequence[str], environ: Mapping[str, str], *, talks: bool = False) -> Child:
        """Start a process whose output goes to a file; one that `talks` is listened to on its standard output."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                arguments,
                cwd=self._folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child
