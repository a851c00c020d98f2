"""One row per request and one per simulated automation, in a bounded ring.

Rows carry no lead data, no header value and no query, so never a token.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS: Final = (
    "kind",
    "ordinal",
    "at",
    "instance",
    "method",
    "path",
    "marker",
    "fault",
    "committed",
    "status",
    "automation",
)
Row = tuple[str, int, float, str, str, str, str | None, str | None, bool, int | None, str | None]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows to show."""

    instance: str | None = None
    marker: str | None = None
    kind: str | None = None
    after: int = 0
    """Rows with a greater ordinal."""

    def takes(self, row: Row) -> bool:
        """Whether a row is wanted."""
        return (
            (self.instance is None or row[3] == self.instance)
            and (self.marker is None or row[6] == self.marker)
            and (self.kind is None or row[0] == self.kind)
            and row[1] > self.after
        )


class Journal:
    """The last so many rows, in the order calls were settled; ``ordinal`` is the order they arrived in."""

    def __init__(self, size: int) -> None:
        self._rows: deque[Row] = deque(maxlen=size)
        self.written = 0

    def resize(self, size: int) -> None:
        """Keep so many rows from now on."""
        if size != self._rows.maxlen:
            self._rows = deque(self._rows, maxlen=size)

    def write(self, row: Row) -> None:
        """Append a row; the oldest is dropped when the ring is full."""
        self.written += 1
        self._rows.append(row)

    @property
    def dropped(self) -> int:
        """How many rows the ring has lost."""
        return self.written - len(self._rows)

    def rows(self, wanted: Filter | None = None) -> Iterator[dict[str, Any]]:
        """Rows as JSON objects."""
        for row in list(self._rows):
            if wanted is None or wanted.takes(row):
                yield dict(zip(COLUMNS, row, strict=True))
