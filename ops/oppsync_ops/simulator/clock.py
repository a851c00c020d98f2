"""The simulator's clock: virtual UTC seconds that run with the wall, faster, or only when told.

Windows, lags, late commits and latencies all follow it, so a test moves time instead of waiting for it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from datetime import UTC, datetime
from functools import lru_cache


class Clock:
    """Virtual time. ``pace`` is virtual seconds per real second; 0 means stepped by hand."""

    def __init__(self, pace: str = "real", *, start: str) -> None:
        self._pace = parse_pace(pace)
        self._stepped_start = parse_utc(start)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.restart()

    @property
    def stepped(self) -> bool:
        """Whether time moves by ``advance`` only."""
        return self._pace == 0

    @property
    def sleeping(self) -> int:
        """How many answers wait for a stepped clock: what a test waits for before it advances."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def restart(self) -> None:
        """Back to the start; nobody sleeps on."""
        self.release()
        self._wall_start = time.time()
        self._real_start = time.monotonic()
        self._stepped_now = self._stepped_start

    def resume_at(self, epoch: float) -> None:
        """Go on from a remembered time, if that is later than now (a restart with its state kept)."""
        behind = epoch - self.now()
        if behind > 0:
            self._wall_start += behind
            self._stepped_now += behind

    def now(self) -> float:
        """Virtual UTC time in epoch seconds."""
        if self._pace == 0:
            return self._stepped_now
        return self._wall_start + (time.monotonic() - self._real_start) * self._pace

    def advance(self, seconds: float) -> None:
        """Move a stepped clock on, waking everybody whose time has come."""
        if not self.stepped:
            raise ValueError("only a stepped clock can be advanced")
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"time moves forward only, not by {seconds}")
        target = self._stepped_now + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self._stepped_now = max(self._stepped_now, due)
            if not future.done():
                future.set_result(None)
        self._stepped_now = target

    async def sleep(self, seconds: float) -> None:
        """Wait for so many virtual seconds."""
        if seconds <= 0:
            return
        if self._pace:
            await asyncio.sleep(seconds / self._pace)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._stepped_now + seconds, next(self._order), future))
        await future

    def release(self) -> None:
        """Wake every sleeper of a stepped clock at once (stop and reset)."""
        sleepers, self._sleepers = self._sleepers, []
        for _, _, future in sleepers:
            if not future.done():
                future.set_result(None)


def parse_pace(text: str) -> float:
    """``real`` is 1.0, ``x10`` is 10.0, ``stepped`` is 0.0."""
    if text == "real":
        return 1.0
    if text == "stepped":
        return 0.0
    try:
        pace = float(text.removeprefix("x")) if text.startswith("x") else math.nan
    except ValueError:
        pace = math.nan
    if not (math.isfinite(pace) and pace > 0):
        raise ValueError(f"clock is real, stepped or a factor such as x10, not {text!r}")
    return pace


def parse_utc(text: str) -> float:
    """Epoch seconds of an ISO date; one without an offset is taken as UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=4096)
def iso_seconds(epoch: int) -> str:
    """How opportunities write a date: UTC, the milliseconds always ``000``."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def iso_millis(epoch: float) -> str:
    """How lead documents write a date: UTC with real milliseconds."""
    whole, millis = divmod(round(epoch * 1000), 1000)
    return f"{iso_seconds(whole)[:-5]}.{millis:03d}Z"


@lru_cache(maxsize=64)
def http_date(epoch: int) -> str:
    """The ``Date`` header."""
    moment = datetime.fromtimestamp(epoch, UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {moment:%d} {months[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"
