"""What is wrong with a file as a whole, in words for the person who has it.

FileError
├── UnreadableFile      nobody can tell which jobs the file holds   -> say so; no job of this pass follows
│   └── FileChanged     it is not the file that was checked         -> check it again
└── InvalidDefaults     what was given beside the file is wrong     -> say so; the file was not opened

A single bad line is never an exception: it is a `BadLine`, and reading goes on.
"""

from pathlib import Path

from oppsync_worker.contract.errors import FieldProblem


class FileError(Exception):
    """Base of everything that reading a file of jobs can raise."""


class UnreadableFile(FileError):
    """The file cannot be read as jobs: `what` is wrong, at `line` if there is one, and `advice` says what to do."""

    def __init__(self, path: Path, what: str, *, advice: str, line: int | None = None) -> None:
        # A file name need not be text; what a person reads must be.
        name = str(path).encode(errors="backslashreplace").decode()
        where = f"{name}, line {line}" if line else name
        super().__init__(f"{where}: {what}. {advice}.")
        self.path = path
        self.what = what
        self.advice = advice
        self.line = line


class FileChanged(UnreadableFile):
    """The file changed since it was checked, or while it was being read."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            path, what, advice="Run the command again once nothing writes to it: good lines are not doubled"
        )


class InvalidDefaults(FileError):
    """Values given for all lines of a file are wrong in the fields named by `problems`."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("defaults: " + "; ".join(str(problem) for problem in problems))
        self.problems = problems
