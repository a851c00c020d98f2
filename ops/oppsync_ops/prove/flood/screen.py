"""How far a flood has come, how fast, and for how long still: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from oppsync_ops.cli.output import note
from oppsync_ops.prove.flood.run import Told

LINE_EVERY_S: Final = 10.0


@contextmanager
def screen() -> Iterator[Told]:
    """Tell it for as long as the block lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("flood", total=None)
        yield lambda says, done, total: bar.update(task, description=says, completed=done, total=total)


def left_s(done: int, total: int, seconds: float) -> float | None:
    """How long the rest takes at the rate so far; None when there is none yet."""
    return seconds * (total - done) / done if done else None


class _Lines:
    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._done = 0

    def __call__(self, says: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < self._done:
            self._began = now  # another part has begun, with a pace of its own
        self._done = done
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            left = left_s(done, total, now - self._began)
            note(f"{says}: {done} of {total}" + ("" if left is None else f", {left:.0f} s left"))
