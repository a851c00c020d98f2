"""What the CRM has done, as rows of a fixed size in a file: written as it happens, read in pieces of bounded size."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

CREATED, APPLIED, LOOKED, REFUSED = 1, 2, 3, 4
"""A record made, an update applied, a look-up, and a request that no job of the flood explains."""
NOBODY: Final = 2**32 - 1
_ROW: Final = struct.Struct("<BxHIId")
PIECE: Final = 65_536


class Row(NamedTuple):
    """One request: `record` and `version` are what its body said, `opportunity_id` is the CRM's."""

    kind: int
    version: int
    record: int
    opportunity_id: int
    at: float


class Writer:
    """Appends rows; what a reader is to see has to be flushed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, row: Row) -> None:
        """One more."""
        self._file.write(_ROW.pack(*row))

    def flush(self) -> None:
        """Everything so far can be read."""
        self._file.flush()


def read(file: Path) -> Iterator[Row]:
    """All rows, in order; a row that is cut off at the end is none."""
    with file.open("rb") as stream:
        left = b""
        while piece := stream.read(PIECE):
            data = left + piece
            whole = len(data) - len(data) % _ROW.size
            yield from rows_of(data[:whole])
            left = data[whole:]


def rows_of(data: bytes) -> Iterator[Row]:
    """The rows of some bytes, all of them whole."""
    return (Row(*fields) for fields in _ROW.iter_unpack(data))
