"""Children do not outlive their block."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oppsync_ops.processes import Child, ProcessEnded, Processes, clean_environ, stoppable
from stage import eventually

FORKS = """
import os, time
if pid := os.fork():
    open("grandchild", "w").write(str(pid))
    print("forked", flush=True)
time.sleep(60)
"""


def test_a_block_that_fails_takes_its_children_and_theirs_along(tmp_path: Path) -> None:
    """The whole process group is killed."""
    started: list[Child] = []

    with pytest.raises(KeyboardInterrupt):
        _interrupted(Processes(tmp_path), started)

    assert started[0].process.returncode == -signal.SIGKILL
    assert eventually(lambda: not _alive(int((tmp_path / "grandchild").read_text("utf-8"))))


def test_a_child_that_ended_by_itself_is_quoted(tmp_path: Path) -> None:
    """Its exit code and its last words."""
    with Processes(tmp_path) as processes:
        child = processes.start("short", [sys.executable, "-c", "print('no Redis'); raise SystemExit(3)"], os.environ)
        child.process.wait()

        with pytest.raises(ProcessEnded, match="short ended with 3: no Redis"):
            child.must_run()


def test_a_child_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    """Its id may belong to somebody else when the block ends."""
    with Processes(tmp_path) as processes:
        child = processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], os.environ)

        processes.kill(child)

        assert child.process.returncode == -signal.SIGKILL
        assert processes._children == []


class Dying:
    """Its destructor is interrupted, or fails."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def __del__(self) -> None:
        if self.number is None:
            raise ZeroDivisionError
        os.kill(os.getpid(), self.number)
        for _ in range(10_000):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_that_met_a_destructor_is_not_lost(number: signal.Signals, times: int) -> None:
    """Python drops what a destructor raises; whoever pressed Ctrl-C did not."""

    def work() -> None:
        with stoppable():
            for _ in range(times):
                del [Dying(number)][0]
            time.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        work()


def test_one_that_was_not_lost_is_not_followed_by_another() -> None:
    """It would meet what cleans up."""
    cleaned: list[bool] = []

    def work() -> None:
        with stoppable():
            try:
                del [Dying(signal.SIGTERM)][0]
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                for waiting in threading.enumerate():
                    if isinstance(waiting, threading.Timer):
                        waiting.join(20)
                cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()

    assert cleaned == [True]


def test_the_tests_are_interrupted_however_they_were_started() -> None:
    """In the background of a script they are started with SIGINT ignored."""
    test = f"{__file__}::test_a_signal_that_met_a_destructor_is_not_lost[1-2]"
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]

    run = subprocess.run([sys.executable, "-c", ignoring, *pytest_run], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout


def test_what_else_a_destructor_raises_is_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody is stopped by it, nor after the block."""
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    usual = sys.unraisablehook

    with stoppable():
        del [Dying(None)][0]

    assert told == [ZeroDivisionError]
    assert sys.unraisablehook is usual


def test_nothing_that_is_meant_for_real_instances_reaches_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given does."""
    monkeypatch.setenv("SPRINTHUB_API_TOKEN", "a real one")
    monkeypatch.setenv("REDIS_URL", "redis://production")

    environ = clean_environ(REDIS_URL="redis://127.0.0.1")

    assert "SPRINTHUB_API_TOKEN" not in environ
    assert environ["REDIS_URL"] == "redis://127.0.0.1"
    assert environ["PATH"] == os.environ["PATH"]


def _interrupted(processes: Processes, started: list[Child]) -> None:
    with processes:
        started.append(processes.start("forks", [sys.executable, "-c", FORKS], os.environ, talks=True))
        assert started[0].process.stdout
        started[0].process.stdout.readline()
        raise KeyboardInterrupt


def _alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried by its parent does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return False
