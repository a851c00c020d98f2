"""The file as bytes: opened, watched and told apart from a changed one.

Knows gzip and signatures of formats that people send by mistake; knows nothing of lines or jobs. What is hashed and
measured is the file as it lies on the disk, compressed or not.
"""

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from oppsync.files.errors import FileChanged, UnreadableFile

CHUNK_BYTES: Final = 64 * 1024
"""How much is read at once."""

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the size of the file."""

_UTF8_BOM: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = (
    (b"PK\x03\x04", "is an Excel workbook or a zip archive", "Save the sheet as 'CSV UTF-8' and give that file"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook", "Save the sheet as 'CSV UTF-8' and give that file"),
    (b"\xff\xfe", "is UTF-16 text", "Save it as UTF-8 (in Excel: 'CSV UTF-8')"),
    (b"\xfe\xff", "is UTF-16 text", "Save it as UTF-8 (in Excel: 'CSV UTF-8')"),
    (b"\x1f\x8b", "is compressed, but its name does not say so", "Rename it so that it ends in .gz"),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """By which a file is known again: cheap to compare before reading, certain after."""

    size: int
    mtime_ns: int
    sha256: str


class Source:
    """One pass over one file."""

    def __init__(self, path: Path, *, expect: Fingerprint | None = None, progress: Progress | None = None) -> None:
        self.path = path
        self._expect = expect
        self._watched = _Watched(path, progress)
        if expect and self._watched.stamp != (expect.size, expect.mtime_ns):
            self._watched.close()
            raise FileChanged(path, "changed after it was checked")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watched.close()

    def chunks(self) -> Iterator[bytes]:
        """The content, uncompressed, without a byte order mark.

        Raises:
            UnreadableFile: it is no text, is damaged, or the disk failed.
            FileChanged: somebody writes to it.
        """
        stream: Any = io.BufferedReader(self._watched, CHUNK_BYTES)
        if self.path.suffix.lower() == ".gz":
            stream = gzip.GzipFile(fileobj=stream, mode="rb")
        chunk = self._read(stream)
        for signature, what, advice in _FOREIGN:
            if chunk.startswith(signature):
                raise UnreadableFile(self.path, what, advice=advice)
        chunk = chunk.removeprefix(_UTF8_BOM)
        while chunk:
            yield chunk
            chunk = self._read(stream)

    def fingerprint(self) -> Fingerprint:
        """What was read, once `chunks` is exhausted.

        Raises:
            FileChanged: it is not what was expected.
        """
        size, mtime_ns = self._watched.stamp
        found = Fingerprint(size, mtime_ns, self._watched.digest.hexdigest())
        if self._expect and found != self._expect:
            raise FileChanged(self.path, "is not the file that was checked")
        return found

    def _read(self, stream: Any) -> bytes:
        try:
            data: bytes = stream.read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise UnreadableFile(
                self.path, "is not a whole gzip file", advice="Copy or compress it again, and try once more"
            ) from None
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return data


class _Watched(io.RawIOBase):
    """The raw file; every byte that passes is hashed, and a writer is noticed."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        super().__init__()
        self._path = path
        self._progress = progress
        self._seen = 0
        self.digest = hashlib.sha256()
        try:
            kind = path.stat().st_mode
            if stat.S_ISDIR(kind):
                raise UnreadableFile(path, "is a directory", advice="Give one file in it")
            if not stat.S_ISREG(kind):
                what = "is not a regular file, and a file is read twice"
                raise UnreadableFile(path, what, advice="Write its content to a file first")
            self._raw = path.open("rb", buffering=0)
            self.stamp = self._stamp()
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._raw.readinto(buffer) or 0
        if self._stamp() != self.stamp:
            raise FileChanged(self._path, "changed while it was read")
        self.digest.update(memoryview(buffer)[:count])
        self._seen += count
        if self._progress and count:
            self._progress(self._seen, self.stamp[0])
        return count

    def close(self) -> None:
        if not self.closed and hasattr(self, "_raw"):
            self._raw.close()
        super().close()

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self._raw.fileno())
        return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError | ValueError) -> UnreadableFile:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return UnreadableFile(path, "does not exist", advice="Check the name and the folder")
        case PermissionError():
            return UnreadableFile(path, "may not be read by this user", advice="Change its permissions, or the user")
        case OSError():
            reason = error.strerror or type(error).__name__
            return UnreadableFile(
                path, f"could not be read ({reason})", advice="Check the disk, or copy the file elsewhere"
            )
        case _:
            return UnreadableFile(path, "is not a possible file name", advice="Check the name")
