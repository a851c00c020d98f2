"""What an application's start pays for `import oppsync`, and what comes along with it."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from oppsync_ops.bench.plan import Plan
from oppsync_ops.bench.result import Row, Tell, rounded
from oppsync_ops.bench.stage import temporary_folder
from oppsync_ops.processes import clean_environ

BARE: Final = "pass"
STATEMENTS: Final = ("import oppsync", "from oppsync import JobClient, CreateOpportunity")
HEAVY: Final = ("aiohttp", "celery", "httpx", "kombu", "sentry_sdk")
"""What the worker needs and a producer must not load."""


@dataclass(frozen=True, slots=True)
class Import:
    """One statement in a fresh interpreter, its bytecode compiled before."""

    statement: str
    best_ms: float
    """Of the whole process, the fastest of all rounds."""
    over_bare_ms: float
    """The same without the interpreter's own start."""
    heavy: tuple[str, ...]
    """Which of `HEAVY` were loaded."""


@dataclass(frozen=True, slots=True)
class Importing:
    """The measurement's result."""

    title: ClassVar[str] = "Import: what an application's start pays"

    bare_ms: float
    rounds: int
    imports: tuple[Import, ...]

    def rows(self) -> Sequence[Row]:
        """One for each statement."""
        return [
            {"statement": one.statement, "adds ms": rounded(one.over_bare_ms), "loads": list(one.heavy)}
            for one in self.imports
        ]

    def remarks(self) -> Sequence[str]:
        """What was taken off."""
        return [f"best of {self.rounds}, over a bare interpreter's {self.bare_ms:.1f} ms"]

    def problems(self) -> Sequence[str]:
        """A producer must not load the worker's libraries."""
        return [f"`{one.statement}` loads {', '.join(one.heavy)}" for one in self.imports if one.heavy]


def measure(plan: Plan, tell: Tell) -> Importing:
    """Start interpreters, in turns, so that a busy moment of the machine meets all statements alike."""
    tell(f"import: best of {plan.import_rounds}")
    with temporary_folder() as folder:
        # A cache of bytecode of one's own: the first round fills it, whatever PYTHONDONTWRITEBYTECODE says outside.
        environ = clean_environ(PYTHONPYCACHEPREFIX=str(folder), PYTHONDONTWRITEBYTECODE="")
        heavy = {statement: _heavy(statement, environ) for statement in STATEMENTS}
        best = dict.fromkeys((BARE, *STATEMENTS), float("inf"))
        for _ in range(plan.import_rounds):
            for statement in best:
                best[statement] = min(best[statement], _start_ms(statement, environ))
    imports = (Import(one, best[one], best[one] - best[BARE], heavy[one]) for one in STATEMENTS)
    return Importing(best[BARE], plan.import_rounds, tuple(imports))


def _start_ms(statement: str, environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environ, stdin=subprocess.DEVNULL, check=True)
    return 1000 * (time.perf_counter() - began)


def _heavy(statement: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({set(HEAVY)!r} & sys.modules.keys())))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    return tuple(json.loads(done.stdout))
