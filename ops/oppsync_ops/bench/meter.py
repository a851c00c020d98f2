"""What a process group costs: CPU time and memory, read from `/proc` while it runs (nothing where there is none).

CPU is that of user and kernel, of every thread and process of the group. Memory is the proportional set size: resident
pages, of which those shared by forked processes are counted once altogether.
"""

import contextlib
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PROC: Final = Path("/proc")
EVERY_S: Final = 0.25
MEMORY_EVERY: Final = 4
"""Samples of CPU for one of memory, which takes the kernel longer to count."""


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds used up to a time (seconds since 1970)."""

    at_s: float
    cpu_s: float


def cpu_between(samples: Sequence[Sample], began_s: float, ended_s: float) -> float | None:
    """CPU seconds used between two times, straight lines between samples; None when they do not cover them."""
    used = [_cpu_at(samples, at_s) for at_s in (began_s, ended_s)]
    return None if used[0] is None or used[1] is None else used[1] - used[0]


def _cpu_at(samples: Sequence[Sample], at_s: float) -> float | None:
    after = bisect_right(samples, at_s, key=lambda sample: sample.at_s)
    if after in (0, len(samples)):
        return None
    one, two = samples[after - 1], samples[after]
    return one.cpu_s + (two.cpu_s - one.cpu_s) * (at_s - one.at_s) / (two.at_s - one.at_s)


@dataclass
class Meter:
    """Samples one process group from a thread for as long as the block lasts."""

    group: int
    samples: list[Sample] = field(default_factory=list)
    peak_bytes: int = 0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        rounds = 0
        while not self._over.wait(EVERY_S):
            pids = list(_members(self.group))
            if not pids:
                continue
            self.samples.append(Sample(time.time(), sum(map(_cpu_s, pids))))
            if rounds % MEMORY_EVERY == 0:
                self.peak_bytes = max(self.peak_bytes, sum(map(_memory_bytes, pids)))
            rounds += 1


def _members(group: int) -> Iterator[int]:
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[2]) == group:
                yield int(entry.name)


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may hold spaces and brackets; empty for a process that is gone."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _memory_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text("utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
