"""The beat: a small file in which a worker process says every other second how it does, for its own machine.

A file, so that asking whether the process lives needs no Redis: an outage of Redis is no reason to kill workers in the
middle of their calls. It is written by the event loop that the jobs run on, so a young beat means that the loop turns.
One file per process, named by its id, replaced as a whole, removed by a clean stop. What a process left behind that is
no more is not believed, and taken away by whoever comes across it.

Times are of the monotonic clock, which all processes of a machine share (Python >= 3.5), so that nobody who sets the
clock makes a worker look dead. There is no secret in it: instances by name, and how many there are.
"""

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

BEAT_EVERY_S: Final = 2.0
STALE_AFTER_S: Final = 20.0
"""An older beat is none. Ten times the pause between two: a busy machine is late now and then."""

NAMES_MOST: Final = 1_000
"""Instances that a beat tells by name; of more it tells the number only."""


class NoHealthFolder(RuntimeError):
    """Beats cannot be kept or looked for there; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What one worker process says of itself. Moments are seconds of the monotonic clock."""

    pid: int
    worker: str
    """`host:pid`, the name under which it stands in Redis too."""
    release: str
    at: float
    started_at: float
    turns: int
    """How often it has beaten."""
    polled_at: float | None
    """When it last asked for work; a worker that has its hands full does not."""
    redis_at: float | None
    """When Redis last answered."""
    in_hand: int
    instances: int
    """How many instances it has a credential for."""
    names: tuple[str, ...]
    announced: bool
    """Whether it has told Redis of them."""
    stopping: bool
    warnings: tuple[str, ...] = ()
    """What is unsafe in its settings, a sentence each. Workers of earlier versions do not tell."""
    claimed_at: float | None = None
    """When Redis last told it what it may begin, be it nothing. Of earlier versions: when it last asked."""
    full: bool = False
    """Whether it has its hands full, and asks for nothing more."""
    refusal: str = ""
    """Why it could deliver nothing the last time it tried, although Redis answers; goes on after its name."""

    def age_s(self, now: float) -> float:
        """Seconds since it was written; infinite for one that was written before the machine was started."""
        return now - self.at if now >= self.at else float("inf")

    def as_dict(self, now: float) -> dict[str, Any]:
        """Plain JSON values, moments told as seconds ago."""

        def ago(moment: float | None) -> float | None:
            return None if moment is None else round(now - moment, 1)

        return {
            "worker": self.worker,
            "pid": self.pid,
            "release": self.release,
            "beat_seconds_ago": ago(self.at),
            "up_seconds": ago(self.started_at),
            "polled_seconds_ago": ago(self.polled_at),
            "claimed_seconds_ago": ago(self.claimed_at),
            "redis_answered_seconds_ago": ago(self.redis_at),
            "in_hand": self.in_hand,
            "instances": self.instances,
            "announced": self.announced,
            "stopping": self.stopping,
        }


def folder(given: Path | None) -> Path:
    """Where beats are: the folder that was given, or one of this user's below the system's for temporary files."""
    return given or Path(tempfile.gettempdir()) / f"oppsync-health-{_user()}"


def open_folder(given: Path | None) -> Path:
    """Make the folder if need be, and take away what dead processes left in it.

    Raises:
        NoHealthFolder: it cannot be made, or the default one belongs to somebody else.
    """
    place = folder(given)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoHealthFolder(f"{place}: {error.strerror}; set OPPSYNC_HEALTH_DIR to a folder of its own") from None
    read_all(given)
    return place


def write(place: Path, beat: Beat) -> None:
    """Replace this process' beat, all of it at once. Raises `OSError`."""
    fresh = place / f"{beat.pid}.new"
    fresh.write_text(json.dumps(asdict(beat)), "utf-8")
    fresh.replace(place / f"{beat.pid}.json")


def remove(place: Path, pid: int) -> None:
    """Take a process' beat away. Never raises."""
    for name in (f"{pid}.json", f"{pid}.new"):
        with contextlib.suppress(OSError):
            (place / name).unlink(missing_ok=True)


def read_all(given: Path | None) -> list[Beat]:
    """The beats of all processes that are there, the youngest first; what dead ones left behind is taken away.

    Raises:
        NoHealthFolder: it cannot be read, or the default one belongs to somebody else.
    """
    place = folder(given)
    found = []
    try:
        if not given:
            _must_be_ours(place)
        files = [file for file in place.iterdir() if file.suffix in (".json", ".new") and file.stem.isdecimal()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NoHealthFolder(f"{place}: {error.strerror}; set OPPSYNC_HEALTH_DIR to a folder of its own") from None
    for file in files:
        if not _is_there(int(file.stem)):
            remove(place, int(file.stem))
        elif file.suffix == ".json" and (beat := _read(file)):
            found.append(beat)
    return sorted(found, key=lambda beat: -beat.at)


def _read(file: Path) -> Beat | None:
    """A beat; None for a file that is none, such as one of another version's."""
    try:
        told = json.loads(file.read_text("utf-8"))
        told = {"warnings": (), "claimed_at": told["polled_at"], "full": False, "refusal": "", **told}
        texts = {name: tuple(map(str, told[name])) for name in ("names", "warnings")}
        beat = Beat(**{**{field.name: told[field.name] for field in fields(Beat)}, **texts})
        numbers = (beat.at, beat.started_at, beat.polled_at or 0.0, beat.redis_at or 0.0, beat.claimed_at or 0.0)
        return beat if all(isinstance(number, int | float) for number in numbers) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _must_be_ours(place: Path) -> None:
    """In a folder that everybody may write to, what another user left there must not be taken for ours."""
    seen = place.lstat()
    if os.name == "posix" and (place.is_symlink() or seen.st_uid != os.geteuid() or seen.st_mode & 0o022):
        raise NoHealthFolder(f"{place} belongs to somebody else; set OPPSYNC_HEALTH_DIR to a folder of its own")


def _user() -> str:
    return str(os.geteuid()) if os.name == "posix" else os.environ.get("USERNAME", "user")


def _is_there(pid: int) -> bool:
    """Whether a process of this id exists, whosever it is."""
    if os.name != "posix":
        return True  # asking would end it there; its beat's age decides
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
