"""The beat's file: whole or not at all, ours, and of somebody who is there."""

import json
import os
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.observe import beat
from oppsync_worker.observe.beat import Beat, NoHealthFolder


def made(pid: int, *, at: float | None = None) -> Beat:
    """A beat."""
    moment = time.monotonic() if at is None else at
    return Beat(
        pid=pid, worker=f"here:{pid}", release="1", at=moment, started_at=moment, turns=1, polled_at=None,
        redis_at=None, in_hand=0, instances=1, names=("acme",), announced=True, stopping=False,
    )  # fmt: skip


@pytest.fixture
def gone() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The youngest first."""
    older, younger = made(os.getpid(), at=5.0), made(os.getppid(), at=6.0)
    for one in (older, younger):
        beat.write(tmp_path, one)

    assert beat.read_all(tmp_path) == [younger, older]
    beat.remove(tmp_path, os.getpid())
    assert beat.read_all(tmp_path) == [younger]


def test_what_a_dead_process_left_behind_is_taken_away(tmp_path: Path, gone: int) -> None:
    """Half-written files too; nothing else in the folder is touched."""
    beat.write(tmp_path, made(gone))
    (tmp_path / f"{gone}.new").write_text("{", "utf-8")
    (tmp_path / "notes.json").write_text("mine", "utf-8")

    assert beat.read_all(tmp_path) == []

    assert [file.name for file in tmp_path.iterdir()] == ["notes.json"]


def test_a_folder_that_is_not_there_has_no_beats(tmp_path: Path) -> None:
    """And is not made by looking."""
    assert beat.read_all(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_the_default_folder_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may plant a beat in it, or read one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    place = beat.open_folder(None)

    assert place.parent == tmp_path
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("trap", ["a link", "a folder that all may write to"])
def test_somebody_elses_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    """The folder for temporary files is everybody's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = beat.folder(None)
    if trap == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "theirs")
    else:
        place.mkdir()
        place.chmod(0o777)

    with pytest.raises(NoHealthFolder, match="OPPSYNC_HEALTH_DIR"):
        beat.open_folder(None)
    with pytest.raises(NoHealthFolder, match="somebody else"):
        beat.read_all(None)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "file").write_text("", "utf-8")

    with pytest.raises(NoHealthFolder, match="set OPPSYNC_HEALTH_DIR"):
        beat.open_folder(tmp_path / "file" / "below")


def test_a_beat_from_before_the_machine_was_started_is_old() -> None:
    """The monotonic clock begins anew with the machine."""
    assert made(1, at=500.0).age_s(10.0) == float("inf")
    assert made(1, at=10.0).age_s(12.5) == 2.5


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Beat.__slots__, "x"]), inner),
)


@given(ANYTHING)
def test_a_file_that_is_no_beat_is_none(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    """Another version's, a truncated one, nonsense."""
    place = tmp_path_factory.mktemp("health")
    (place / f"{os.getpid()}.json").write_text(json.dumps(content), "utf-8")

    for one in beat.read_all(place):
        assert one.age_s(time.monotonic()) is not None
        assert one.as_dict(time.monotonic())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}"])
def test_a_broken_file_is_none(tmp_path: Path, content: bytes) -> None:
    """Whatever broke it."""
    (tmp_path / f"{os.getpid()}.json").write_bytes(content)

    assert beat.read_all(tmp_path) == []
