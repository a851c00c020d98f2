"""Whatever the bytes are: lines or one typed error, in bounded memory, and nothing that cannot be printed."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync.files import BadLine, Encoding, FileError, Line, UnreadableFile, check, read_jobs
from oppsync_worker.contract.names import Kind

HEADER = b"kind,instance,funnel_id,title,crm_column,fields. X \n"
ROW = b"create,acme,12,Renewal,159,x\n"
OBJECT = b'{"kind":"create","instance":"acme","funnel_id":12,"title":"Renewal","crm_column":159,"fields":{"a":1}}\n'
NASTY = [
    b'"',
    b",",
    b";",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"\\ud800",
    b"1",
]

pieces = st.one_of(st.sampled_from([HEADER, ROW, OBJECT, *NASTY]), st.binary(max_size=8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each writes its file anew."""
    return tmp_path_factory.mktemp("hostile")


def lines_or_refusal(path: Path, encoding: Encoding) -> tuple[list[Line], str]:
    """What is in the file, or the words it is refused with."""
    try:
        return list(read_jobs(path, kind=Kind.UPDATE, encoding=encoding)), ""
    except FileError as error:
        return [], str(error)


@given(
    st.lists(pieces, max_size=30).map(b"".join),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"]),
    st.sampled_from(["utf-8", "cp1252"]),
    st.sampled_from([b"", HEADER + ROW, OBJECT]),
)
def test_any_bytes_are_lines_or_one_typed_error(
    folder: Path, content: bytes, name: str, encoding: Encoding, start: bytes
) -> None:
    """Numbers only grow, and both passes see the same."""
    path = folder / name
    path.write_bytes(start + content)

    found, refusal = lines_or_refusal(path, encoding)
    assert refusal.isprintable()
    if refusal:
        return
    report = check(path, kind=Kind.UPDATE, encoding=encoding, keep=99)

    numbers = [line.number for line in found]
    assert numbers == sorted(set(numbers))
    bad = [line for line in found if isinstance(line, BadLine)]
    assert (report.total, list(report.bad_lines)) == (len(found), bad)
    assert all(line.problems and str(line).isprintable() for line in bad)


@given(st.binary(max_size=200), st.integers(0, 60))
def test_a_damaged_archive_is_a_typed_error(folder: Path, tail: bytes, cut: int) -> None:
    """Wherever the damage is."""
    path = folder / "a.jsonl.gz"
    path.write_bytes(gzip.compress(OBJECT)[:cut] + tail)

    with pytest.raises(UnreadableFile, match=r"not a whole gzip file|holds no lines"):
        list(read_jobs(path))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"x" * 20_000_000, b'"\n' * 40_000, b'{"a":"' + b"\\u0041" * 3_000_000])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str, content: bytes) -> None:
    """One endless line, one endless quote, one endless text: twenty megabytes out of a few kilobytes."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(HEADER + ROW + content))
    tracemalloc.start()

    check(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 6_000_000
