"""Lanes and instances of which a key holds a value of another type: nobody is served there until somebody mends it."""

import time
from collections.abc import Iterable
from typing import Final

from oppsync_worker.runner.reports import Reporter

TELL_EVERY_S: Final = 60.0
"""How often one name is told again: claims meet a broken lane several times a second."""

MOST: Final = 1_000
"""Names that are remembered as told."""


class BrokenKeys:
    """Tells of them, each now and then. Belongs to one thread."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told: dict[str, float] = {}

    def tell(self, names: Iterable[str]) -> None:
        """They were met just now."""
        now = time.monotonic()
        for name in names:
            if name in self._told and now - self._told[name] < TELL_EVERY_S:
                continue
            if len(self._told) >= MOST:
                self._told.clear()
            self._told[name] = now
            self._reporter.notice("broken_key", name=name)
