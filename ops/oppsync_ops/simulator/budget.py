"""SprintHub's throttle as one instance feels it: rolling windows shared by every token and every integration.

SprintHub API notes, section 7. The real size is undocumented (100 a minute and about 50 in 30 s have both been
reported), so windows are data. Every routed, authenticated call is counted, reads included. A noisy neighbour spends
from the same windows.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import Final

PRESETS: Final = {"both": "50/30s+100/60s"}
_WINDOW: Final = re.compile(r"(?P<calls>\d+)/(?P<seconds>\d+(?:\.\d+)?)s")


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``calls`` calls in any ``seconds`` virtual seconds."""

    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of one call: ``usage`` calls, this one included, of ``limit`` in the tightest window."""

    admitted: bool
    usage: int
    limit: int
    retry_after_s: int


def parse_windows(text: str) -> tuple[Window, ...]:
    """``off`` is no window; ``both`` is the preset; otherwise ``45/60s``, several joined by ``+``."""
    if text == "off":
        return ()
    windows = []
    for part in re.split(r"[+,]", PRESETS.get(text, text)):
        found = _WINDOW.fullmatch(part.strip())
        if not found or int(found["calls"]) < 1 or float(found["seconds"]) <= 0:
            raise ValueError(f"throttle is off, both or windows such as 45/60s+100/120s, not {part.strip()!r}")
        windows.append(Window(int(found["calls"]), float(found["seconds"])))
    return tuple(windows)


class Budget:
    """The rolling windows of one instance."""

    def __init__(self, windows: tuple[Window, ...], *, started_at: float) -> None:
        self._windows = windows
        self._calls: list[deque[float]] = [deque() for _ in windows]
        self._neighbour_at = started_at

    def resize(self, windows: tuple[Window, ...]) -> None:
        """Change the windows while running; the calls remembered so far go on counting."""
        if windows == self._windows:
            return
        known = max(self._calls, key=len, default=deque[float]())
        self._windows = windows
        self._calls = [deque(known) for _ in windows]

    def take(self, now: float, *, count_refused: bool, neighbour_rpm: float = 0.0) -> Admission:
        """Ask for one call at ``now``, after the neighbour has made the calls due until then."""
        if not self._windows:
            return Admission(admitted=True, usage=1, limit=0, retry_after_s=0)
        self._let_neighbour_call(now, neighbour_rpm, count_refused=count_refused)
        return self._take(now, count_refused=count_refused)

    def pretended(self, now: float) -> Admission | None:
        """The refusal of a call that no window refused, with the tightest window's figures; None where no window is.

        Clients believe the limit, so it is the window's own; ``usage`` is past it, as in every refusal.
        """
        figures = [
            (sum(at > now - window.seconds for at in calls), window.calls)
            for window, calls in zip(self._windows, self._calls, strict=True)
        ]
        if not figures:
            return None
        usage, limit = max(figures, key=lambda one: one[0] / one[1])
        return Admission(admitted=False, usage=max(usage, limit + 1), limit=limit, retry_after_s=1)

    def _take(self, now: float, *, count_refused: bool) -> Admission:
        tightest, fullest, wait_s = 0, -1.0, 0.0
        for index, (window, calls) in enumerate(zip(self._windows, self._calls, strict=True)):
            horizon = now - window.seconds
            while calls and calls[0] <= horizon:
                calls.popleft()
            fullness = (len(calls) + 1) / window.calls
            if fullness > fullest:
                tightest, fullest = index, fullness
            if fullness > 1:
                wait_s = max(wait_s, calls[len(calls) - window.calls] + window.seconds - now)
        admitted = fullest <= 1
        usage = len(self._calls[tightest]) + 1
        if admitted or count_refused:
            for calls in self._calls:
                calls.append(now)
        return Admission(
            admitted=admitted,
            usage=usage,
            limit=self._windows[tightest].calls,
            retry_after_s=math.ceil(wait_s),
        )

    def _let_neighbour_call(self, now: float, rpm: float, *, count_refused: bool) -> None:
        if rpm <= 0:
            self._neighbour_at = now
            return
        gap_s = 60.0 / rpm
        oldest = now - max(window.seconds for window in self._windows)
        if self._neighbour_at < oldest:
            self._neighbour_at += math.ceil((oldest - self._neighbour_at) / gap_s) * gap_s
        while self._neighbour_at + gap_s <= now:
            self._neighbour_at += gap_s
            self._take(self._neighbour_at, count_refused=count_refused)
