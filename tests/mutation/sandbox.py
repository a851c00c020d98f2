"""A copy of the checkout, with an interpreter that imports from the copy: what is mutated there hurts nobody.

The interpreter is a virtual environment without packages of its own. It reads those of the environment that runs this,
but not that environment's links to the checkout, since Python follows such links in its own folder only.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from mutation.mutant import Mutant

SOURCES: Final = ("producers", "worker", "ops")
COMMANDS: Final = ("celery", "oppsync", "pytest")


class Sandbox:
    """One copy; mutants are put into it one at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Copies what git knows of `root`, and what it does not ignore, into `folder`."""
        self.folder = folder
        listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, capture_output=True, check=True).stdout.decode().split("\0"):
            if name and (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        self._make_python()

    def _make_python(self) -> None:
        home = self.folder / ".venv"
        venv.create(home, symlinks=True)
        own = next(home.glob("lib/python*/site-packages"))
        paths = [*(str(self.folder / name) for name in SOURCES), sysconfig.get_paths()["purelib"]]
        (own / "sandbox.pth").write_text("\n".join(paths) + "\n")
        self.python = home / "bin" / "python"
        points = {point.name: point for one in distributions() for point in one.entry_points if point.name in COMMANDS}
        for name, point in points.items():
            module, _, function = point.value.partition(":")
            command = home / "bin" / name
            command.write_text(
                f"#!{self.python}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            )
            command.chmod(0o755)

    def put(self, mutant: Mutant) -> None:
        """Make the one fault."""
        path = self.folder / mutant.path
        path.write_text(mutant.apply(path.read_text("utf-8")), "utf-8")

    def take_back(self, mutant: Mutant, root: Path) -> None:
        """Make it whole again."""
        shutil.copy2(root / mutant.path, self.folder / mutant.path)

    def test(self, arguments: tuple[str, ...], *, within_s: float) -> tuple[int | None, str]:
        """Run tests until one fails; pytest's exit code, None when they did not come to an end, and the last lines."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("SPRINTHUB", "OPPSYNC"))}
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(self.folder / ".hypothesis")}
        environ.pop("REDIS_URL", None)
        command = [str(self.python), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", *arguments]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as run:
            try:
                said, _ = run.communicate(timeout=within_s)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                return None, f"not over after {within_s:.0f} s"
            finally:
                # A worker that a test has left behind is of no use to the next mutant.
                if sys.exc_info()[0] is not None and run.poll() is None:
                    os.killpg(run.pid, signal.SIGKILL)
        return run.returncode, "\n".join(said.strip().splitlines()[-6:])
