"""The worker processes, and their supervisor: who ends unasked is noted and started again, as systemd would.

Each worker has a number and keeps it through all its lives; every life has a log file of its own.
"""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from oppsync_ops.processes import Child, Processes
from oppsync_ops.prove.contender import Command
from oppsync_ops.prove.memory import Life, resident_bytes

LOOK_EVERY_S: Final = 0.25
RESTART_AFTER_S: Final = 0.5
STOP_MARGIN_S: Final = 15.0
"""How much longer than a call a worker may take to stop."""
MOST_WORDS: Final = 300
"""Characters."""
EXIT_BY_SIGNAL: Final = {-signal.SIGTERM}
"""Exit codes of a stop that was asked for, beside 0: before Celery has installed its handlers, SIGTERM just ends it."""


@dataclass
class _Slot:
    number: int
    lock: threading.RLock
    child: Child | None = None
    lives: int = 0


class Fleet:
    """All workers, for as long as the block lasts."""

    def __init__(
        self, processes: Processes, command: Callable[[int], Command], *, workers: int, patience_s: float
    ) -> None:
        """`command` starts a worker by its number; one that is stopped may take `patience_s`."""
        self._processes = processes
        self._command = command
        self._patience_s = patience_s
        self._slots = [_Slot(number, threading.RLock()) for number in range(workers)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.exits: list[str] = []
        self.lives: list[Life] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all of them; their processes are ended by who owns them."""
        for slot in self._slots:
            self._start(slot)
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    @contextmanager
    def held(self, worker: int) -> Iterator[None]:
        """Nobody else ends or starts this worker while the block lasts."""
        with self._slots[worker].lock:
            yield

    def name(self, worker: int) -> str:
        """What the worker calls itself: `host:pid`."""
        child = self._slots[worker].child
        return f"{socket.gethostname()}:{child.process.pid if child else 0}"

    def pids(self) -> list[int]:
        """The processes of those that were started and not ended by us."""
        children = [child for slot in self._slots if (child := slot.child)]
        return [child.process.pid for child in children if child.process.poll() is None]

    def number_of(self, name: str) -> int | None:
        """Which worker calls itself so, if it still lives."""
        return next((slot.number for slot in self._slots if self.name(slot.number) == name), None)

    def kill(self, worker: int) -> None:
        """SIGKILL, and it is gone when this returns; `start` starts it again."""
        slot = self._slots[worker]
        with slot.lock:
            if slot.child:
                self._ended_by_itself(slot.child)
                self._processes.kill(slot.child)
                slot.child = None

    def start(self, worker: int) -> None:
        """Start it again, after a supervisor's pause."""
        slot = self._slots[worker]
        with slot.lock:
            if slot.child is None and not self._over.wait(RESTART_AFTER_S):
                self._start(slot)

    def signal(self, worker: int, number: signal.Signals) -> None:
        """Send it a signal."""
        slot = self._slots[worker]
        with slot.lock:
            if slot.child and slot.child.process.poll() is None:
                slot.child.process.send_signal(number)

    def stop(self, worker: int) -> None:
        """SIGTERM, and wait for its end; one that does not end in time, or not cleanly, is noted."""
        slot = self._slots[worker]
        with slot.lock:
            child = slot.child
            if child is None:
                return
            child.process.send_signal(signal.SIGTERM)
            try:
                code = child.process.wait(self._patience_s)
            except subprocess.TimeoutExpired:
                self.exits.append(
                    f"{child.name} did not stop within {self._patience_s:g} s of SIGTERM: {_words(child)}"
                )
            else:
                if code not in {0, *EXIT_BY_SIGNAL}:
                    self.exits.append(f"{child.name} ended with {code} after SIGTERM: {_words(child)}")
            self._processes.kill(child)
            slot.child = None

    def stop_all(self) -> None:
        """SIGTERM for everybody at once."""
        threads = [threading.Thread(target=self.stop, args=(slot.number,)) for slot in self._slots]
        self._over.set()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _start(self, slot: _Slot) -> None:
        slot.lives += 1
        command = self._command(slot.number)
        name = f"worker-{slot.number}.{slot.lives}"
        slot.child = self._processes.start(name, command.arguments, command.environ)
        self.lives.append(Life(name, slot.child.process.pid))

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            for slot in self._slots:
                if slot.lock.acquire(blocking=False):
                    try:
                        self._look_after(slot)
                    finally:
                        slot.lock.release()

    def _look_after(self, slot: _Slot) -> None:
        child = slot.child
        if child is None:
            return
        if not self._ended_by_itself(child):
            self._weigh(child.process.pid)
            return
        self._processes.kill(child)
        slot.child = None
        self.start(slot.number)

    def _ended_by_itself(self, child: Child) -> bool:
        """Noted by whoever comes first: a kill must not cover up an end that nobody asked for."""
        code = child.process.poll()
        if code is not None:
            self.exits.append(f"{child.name} ended by itself with {code}: {_words(child)}")
        return code is not None

    def _weigh(self, pid: int) -> None:
        life = next((one for one in reversed(self.lives) if one.pid == pid), None)
        if life is not None:
            life.add(time.monotonic(), resident_bytes(pid))


def _words(child: Child) -> str:
    """Its last words, without the white space that tracebacks are drawn with."""
    return " ".join(child.last_words().split())[:MOST_WORDS]
