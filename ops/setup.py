"""Make the project runnable: a virtual environment with the exact versions of `ops/constraints.txt`.

Standard library only: this is what runs on a machine where nothing is installed yet. It may be run twice, at the same
time, or again after it was interrupted; what is in place already is left alone. Prints the environment's Python.
"""

import fcntl
import hashlib
import os
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
                sys.stderr.write(
                    "pip could not install the packages; its words are above. Is a package index reachable?\n"
                )
                return 1
            STAMP.write_text(wanted())
    print(python)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
