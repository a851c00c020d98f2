"""Make the project runnable: a virtual environment with the exact versions of `ops/constraints.txt`.

Standard library only: this is what runs on a machine where nothing is installed yet. It may be run twice, at the same
time, or again after it was interrupted; what is in place already is left alone. Prints the environment's Python.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "oppsync.stamp"
CONSTRAINTS = ROOT / "ops" / "constraints.txt"


def wanted() -> str:
    """What the environment must have been made from."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), sys.version.encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def why_not() -> str:
    """What to look for when pip has failed."""
    newest, (major, minor) = (3, 14), sys.version_info[:2]
    words = "pip could not install the packages; its words are above. Is a package index reachable?\n"
    if sys.implementation.name != "cpython" or (major, minor) > newest:
        words += (
            f"The pinned packages have wheels for CPython 3.11 to 3.14; this is {sys.implementation.name}"
            f" {major}.{minor}. Put one of those first on PATH.\n"
        )
    system, machine = platform.system(), platform.machine()
    if (system, machine) not in {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}:
        words += (
            f"They have wheels for Linux on x86_64 and aarch64 with glibc, and for macOS on arm64; this is {system} on"
            f" {machine}, where some are compiled, which takes a C and a Rust compiler.\n"
        )
    elif system == "Linux" and platform.libc_ver()[0] != "glibc":
        words += "They have wheels for Linux with glibc; here is another C library.\n"
    return words


def main() -> int:
    """Set up, and print the Python to use."""
    if sys.version_info < (3, 11):
        sys.stderr.write(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}\n")
        return 2
    python = ENVIRONMENT / "bin" / "python"
    # One at a time: a second run waits, and then finds everything in place.
    with (ROOT / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (STAMP.exists() and STAMP.read_text() == wanted() and python.exists()):
            sys.stderr.write("Setting up .venv (once, about a minute)...\n")
            if ENVIRONMENT.exists() and not (ENVIRONMENT / "pyvenv.cfg").exists():
                shutil.rmtree(ENVIRONMENT)
            STAMP.unlink(missing_ok=True)
            venv.create(ENVIRONMENT, with_pip=True, clear=not python.exists())
            done = subprocess.run(
                [
                    *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                    *("--constraint", str(CONSTRAINTS), "--editable", f"{ROOT}[dev]"),
                ],
                stdout=sys.stderr,
                env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
                check=False,
            )
            if done.returncode:
                sys.stderr.write(why_not())
                return 1
            STAMP.write_text(wanted())
    print(python)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
