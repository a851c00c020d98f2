"""How far long work has come: a bar on a terminal, now and then a line elsewhere. Always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from oppsync_ops.cli.output import note

LINE_EVERY_S: Final = 5.0


class Report(Protocol):
    """Called with how much is done by now, and of how much where that has changed."""

    def __call__(self, done: int, total: int | None = None, /) -> None:
        """`total` stands until another is told."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Report]:
    """Report on work of `total` parts for as long as the block lasts."""
    if not sys.stderr.isatty():
        yield _lines(what, total)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only a terminal needs it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def _lines(what: str, total: int) -> Report:
    last = time.monotonic()

    def report(done: int, of: int | None = None, /) -> None:
        nonlocal last, total
        total = of or total
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            note(f"{what}: {done} of {total}")

    return report
