"""The file itself: missing, foreign, damaged, changed, or simply empty."""

import errno
import gzip
import io
import os
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync.files import FileChanged, GoodLine, UnreadableFile, check, read_jobs
from oppsync.files.source import Fingerprint, Source
from oppsync.files.splitting import split_lines

HEADER = b"kind,instance,funnel_id,title,crm_column\n"
ROW = b"create,acme,12,Renewal,159\n"
NOISE = Random(1).randbytes(999)
"""What cannot be compressed; the same in every process, since it is in the test's name."""


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "holds no lines"),
        ("a.csv", b"\xef\xbb\xbf", "holds no lines"),
        ("a.csv", b"\n \r\n", "holds no lines"),
        ("a.csv", HEADER, "holds no lines"),
        ("a.csv", HEADER + b",,,,\n", "holds no lines"),
        ("a.jsonl", b"\n\n", "holds no lines"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "holds no lines"),
        ("a.csv", b"x" * 300_000, "the header is longer than"),
        ("a.csv", "título\n".encode("cp1252"), "line 1: is not UTF-8"),
        ("a.csv", b"PK\x03\x04rest", "is an Excel workbook"),
        ("a.csv", b"\xd0\xcf\x11\xe0rest", "is an Excel workbook"),
        ("a.csv", "title".encode("utf-16"), "is UTF-16 text"),
        ("a.csv", gzip.compress(HEADER, mtime=0), "Rename it so that it ends in .gz"),
        ("a.csv.gz", HEADER, "is not a whole gzip file"),
        ("a.csv.gz", gzip.compress(HEADER + ROW * 999, mtime=0)[:-12], "is not a whole gzip file"),
        ("a.csv.gz", gzip.compress(HEADER + NOISE, mtime=0)[:500] + b"\xff" * 900, "is not a whole gzip file"),
        ("a.txt", HEADER, "has a name that does not end in .csv, .tsv, .jsonl, .ndjson"),
        ("a", HEADER, "has a name that does not end in"),
        ("a.gz", HEADER, "has a name that does not end in"),
        ("a.json.gz", HEADER, "is one JSON document"),
    ],
)
def test_what_is_no_file_of_jobs_is_refused_with_advice(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """By both passes alike."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(UnreadableFile) as caught:
        check(path)
    with pytest.raises(UnreadableFile):
        list(read_jobs(path))

    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert caught.value.advice


def test_what_cannot_be_opened_is_refused_with_advice(tmp_path: Path) -> None:
    """No traceback of the operating system reaches a person."""
    (tmp_path / "dir.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    cases = {
        "absent.csv": "does not exist",
        "dir.csv": "is a directory",
        "pipe.csv": "is not a regular file",
        "a\0.csv": "is not a possible file name",
        "x" * 999 + ".csv": "could not be read (File name too long)",
        "pipe.csv/x.csv": "does not exist",
    }

    for name, says in cases.items():
        with pytest.raises(UnreadableFile) as caught:
            check(tmp_path / name)

        assert says in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played, because root may read everything."""
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(UnreadableFile, match="may not be read by this user"):
        check(path)


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.csv.gz", "a.2024.CSV.GZ", "a.tsv"])
def test_the_form_is_told_from_the_name_and_gzip_makes_no_difference(tmp_path: Path, name: str) -> None:
    """In any case, with any number of dots."""
    path = tmp_path / name
    content = HEADER + ROW
    path.write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)

    (line,) = read_jobs(path)

    assert isinstance(line, GoodLine)


def test_a_file_that_changed_since_it_was_checked_is_noticed_before_the_first_job(tmp_path: Path) -> None:
    """By its size or its time."""
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)
    seen = check(path).fingerprint
    assert len(list(read_jobs(path, expect=seen))) == 1
    path.write_bytes(HEADER + ROW + ROW)

    with pytest.raises(FileChanged, match="changed after it was checked"):
        next(read_jobs(path, expect=seen))


def test_a_change_that_leaves_size_and_time_alone_is_noticed_by_the_digest(tmp_path: Path) -> None:
    """At the end, which is late, but said."""
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)
    seen = check(path).fingerprint
    path.write_bytes(HEADER + ROW.replace(b"159", b"158"))
    os.utime(path, ns=(seen.mtime_ns, seen.mtime_ns))
    again = read_jobs(path, expect=seen)

    assert isinstance(next(again), GoodLine)
    with pytest.raises(FileChanged, match="is not the file that was checked"):
        next(again)


def test_a_file_that_is_written_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """A copy that is not finished has no end to rely on."""
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW * 20_000)
    reading = read_jobs(path)
    next(reading)
    with path.open("ab") as file:
        file.write(ROW)

    with pytest.raises(FileChanged, match="changed while it was read"):
        list(reading)


class OnABadDisk(io.FileIO):
    """A file that opens and cannot be read."""

    def readinto(self, _buffer: object, /) -> int:
        """Never."""
        raise OSError(errno.EIO, "Input/output error")


def test_an_error_of_the_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own, and what to do."""
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)
    monkeypatch.setattr(Path, "open", lambda self, *_, **__: OnABadDisk(self))

    with pytest.raises(UnreadableFile, match=r"could not be read \(Input/output error\)"):
        check(path)


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    """It only ever grows."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(HEADER + ROW * 5_000))
    seen: list[tuple[int, int]] = []

    check(path, progress=lambda done, size: seen.append((done, size)))

    assert seen == sorted(seen)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


@given(st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\r", b"\r\n", b"\x0b", b"\xc2\x85"]), max_size=40), st.data())
def test_lines_do_not_depend_on_how_they_were_cut_into_chunks(parts: list[bytes], data: st.DataObject) -> None:
    """A line end may lie across two of them."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    edges = [0, *cuts, len(whole)]
    chunks = [whole[a:b] for a, b in pairwise(edges) if a < b]

    found = list(split_lines(chunks, limit=5))

    assert found == [line if len(line) <= 5 else None for line in whole.splitlines(keepends=True)]


@pytest.mark.parametrize("how", ["to its end", "broken off", "changed"])
def test_a_file_is_let_go_of_as_soon_as_its_pass_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """By us, not by whenever the collector comes: Windows cannot move a file that is open."""
    opened: list[io.FileIO] = []
    really = Path.open

    def noted(path: Path, *args: Any, **given: Any) -> Any:
        opened.append(really(path, *args, **given))
        return opened[-1]

    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + ROW)
    monkeypatch.setattr(Path, "open", noted)

    if how == "changed":
        with pytest.raises(FileChanged) as kept:
            Source(path, expect=Fingerprint(1, 2, "3"))
        assert kept.traceback
    else:
        with Source(path) as source:
            chunks = source.chunks()
            assert next(chunks) == HEADER + ROW
            if how == "to its end":
                assert list(chunks) == []

    assert [one.closed for one in opened] == [True]
