"""A copy of the checkout, with an interpreter that imports from the copy: what is mutated there hurts nobody.

The interpreter is a virtual environment without packages of its own. It reads those of the environment that runs this,
but not that environment's links to the checkout, since Python follows such links in its own folder only.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import threading
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from mutation.mutant import Mutant

SOURCES: Final = ("producers", "worker", "ops")
# What is imported before the fork comes too early for pytest to rewrite its assertions; nothing of it has any of use.
PYTEST: Final = ("-x", "-q", "-p", "no:cacheprovider", "--tb=line", "-Wignore::pytest.PytestAssertRewriteWarning")
COMMANDS: Final = ("celery", "oppsync", "pytest")


class Sandbox:
    """One copy; mutants are put into it one at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Copies what git knows of `root`, and what it does not ignore, into `folder`."""
        self.folder = folder
        self._server: subprocess.Popen[str] | None = None
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

    def test(self, arguments: tuple[str, ...], *, within_s: float, bytecode: bool = False) -> tuple[int | None, str]:
        """Run tests until one fails; pytest's exit code, None when they did not come to an end, and the last lines.

        With `bytecode` what is imported is kept compiled; only for sources without a mutant.
        """
        output = self.folder / ".said"
        line = {
            "arguments": [*PYTEST, *arguments],
            "output": str(output),
            "bytecode": bytecode,
        }
        run = self._warm()
        assert run.stdin
        assert run.stdout
        run.stdin.write(json.dumps(line) + "\n")
        run.stdin.flush()
        child = int(run.stdout.readline())
        over = False

        def end() -> None:
            nonlocal over
            over = True
            os.killpg(child, signal.SIGKILL)

        timer = threading.Timer(within_s, end)
        timer.start()
        code = int(run.stdout.readline())
        timer.cancel()
        # A worker that a test has left behind is of no use to the next mutant.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if over:
            return None, f"not over after {within_s:.0f} s"
        return code, "\n".join(output.read_text("utf-8", "replace").strip().splitlines()[-6:])

    def _warm(self) -> "subprocess.Popen[str]":
        """The process that all runs are forked from; see `mutation.warm`."""
        if self._server is None:
            left_out = ("SPRINTHUB", "OPPSYNC", "REDIS_URL", "SENTRY_DSN")
            environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
            environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self.folder / ".hypothesis")
            self._server = subprocess.Popen(
                [str(self.python), "-W", "ignore", "tests/mutation/warm.py"],
                cwd=self.folder,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._server

    def close(self) -> None:
        """End the process that runs were forked from."""
        if self._server is not None and self._server.stdin:
            self._server.stdin.close()
            self._server.wait()
