"""Child processes that are gone when their block ends: each leads a process group, and the whole group is killed.

They hold nothing that anybody needs (their Redis and files are temporary), so nothing waits for them to stop nicely.
A terminal's Ctrl-C does not reach them: it ends the block, and the block ends them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

LAST_LINES: Final = 5
AGAIN_S: Final = 0.05
FOREIGN: Final = ("SPRINTHUB_", "OPPSYNC_", "SENTRY_", "CELERY_", "REDIS_")
"""Variables that a shell may have set for real instances or for error reporting."""


def clean_environ(**given: str) -> dict[str, str]:
    """This process' environment with nothing in it that is meant for real instances, and what is given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | given


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that every process in it is ended too.

    A signal that comes while a destructor runs raises there, and Python drops what a destructor raises: the signal
    would be lost, and the block go on. It is given once more then.
    """
    raised = 0

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal raised
        raised += 1
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    former = {one: signal.signal(one, stop) for one in numbers if signal.getsignal(one) is not signal.SIG_IGN}
    try:
        with _not_dropped(lambda: raised):
            yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _not_dropped(raised: Callable[[], int]) -> Iterator[None]:
    within, lost, one_at_a_time = True, 0, threading.Lock()
    usual = sys.unraisablehook

    def again() -> None:
        with one_at_a_time:
            # One that was not lost ends the block: a second one would meet what cleans up.
            if within and raised() == lost:
                os.kill(os.getpid(), signal.SIGTERM)

    def dropped(unraisable: "sys.UnraisableHookArgs") -> None:
        nonlocal lost
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            lost += 1
            # Raised in here it would be dropped as well.
            threading.Timer(AGAIN_S, again).start()
        else:
            usual(unraisable)

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = usual
        with one_at_a_time:
            within = False


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

    def kill(self, child: Child) -> None:
        """Kill one child and forget it: its id may soon belong to somebody else."""
        child.kill()
        self._children = [one for one in self._children if one is not child]
