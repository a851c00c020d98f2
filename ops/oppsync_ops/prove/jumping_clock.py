"""A worker whose wall clock jumps: `python -m oppsync_ops.prove.jumping_clock SHIFT_S CELERY_ARGUMENT...`.

Every SIGUSR2 moves it by SHIFT_S seconds, there and back in turns. What a Python process sees of a jump of the wall
clock is what `time.time`, `time.time_ns`, `time.gmtime`, `time.localtime` and `datetime` tell it; those are shifted.
Monotonic clocks are untouched, as they are when somebody sets a machine's clock.
"""

import datetime as dt
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_shift_s = 0.0
_true_time, _true_time_ns = time.time, time.time_ns
_true_datetime = dt.datetime


class _OfAll(type):
    """What was made before, or by C code, is one too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _true_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _true_datetime)


class JumpingDatetime(dt.datetime, metaclass=_OfAll):
    """`datetime` by the shifted clock."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """Now, as this process believes."""
        return _true_datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        """Now in UTC, without a zone."""
        return _true_datetime.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        """Now, without a zone."""
        return _true_datetime.fromtimestamp(time.time())


def install(shift_s: float) -> None:
    """Shift this process' clocks by nothing yet, and by `shift_s` at every second SIGUSR2."""
    time.time = lambda: _true_time() + _shift_s
    time.time_ns = lambda: _true_time_ns() + int(_shift_s * 1e9)
    time.gmtime, time.localtime = _from_now(time.gmtime), _from_now(time.localtime)
    dt.datetime = JumpingDatetime  # type: ignore[misc]

    def jump(_signal: int, _frame: FrameType | None) -> None:
        global _shift_s  # noqa: PLW0603 - a process has one clock
        _shift_s = 0.0 if _shift_s else shift_s

    signal.signal(signal.SIGUSR2, jump)


def _from_now(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda seconds=None: function(time.time() if seconds is None else seconds)


def main(shift_s: float, arguments: list[str]) -> None:
    """Install the clock, then be Celery."""
    install(shift_s)
    from celery.bin.celery import main as celery  # noqa: PLC0415 - everything that reads clocks comes after `install`

    sys.argv = ["celery", *arguments]
    celery()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
