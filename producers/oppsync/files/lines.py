"""What becomes of one line of a file: a job, or a list of what is wrong with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from oppsync_worker.contract.errors import FieldProblem
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import MAX_JOB_BYTES

MAX_LINE_BYTES: Final = 4 * MAX_JOB_BYTES
"""Longest line that is looked at, and longest CSV record; anything longer is skipped without being kept in memory."""

MAX_PROBLEMS: Final = 20
"""Most problems listed for one line; the rest is counted."""

MAX_SHOWN_CHARS: Final = 120
"""Longest name that is repeated to a person."""


@dataclass(frozen=True, slots=True)
class GoodLine:
    """A job, and the physical line on which it begins, counted from 1."""

    number: int
    job: AnyJob


@dataclass(frozen=True, slots=True)
class BadLine:
    """Why no job came of the line; no value of any field is repeated here, and every text is safe to print."""

    number: int
    problems: tuple[FieldProblem, ...]

    @classmethod
    def of(cls, number: int, problems: Iterable[FieldProblem]) -> Self:
        """A bad line with each problem once, printable, and no more of them than a person reads."""
        found = list(dict.fromkeys(problems))
        shown = [FieldProblem(printable(each.field), each.message) for each in found[:MAX_PROBLEMS]]
        if len(found) > MAX_PROBLEMS:
            shown.append(FieldProblem("", f"and {len(found) - MAX_PROBLEMS} more"))
        return cls(number, tuple(shown))

    @classmethod
    def because(cls, number: int, message: str) -> Self:
        """A line that is bad as a whole, in no field of its own."""
        return cls(number, (FieldProblem("", message),))

    def __str__(self) -> str:
        return f"line {self.number}: " + "; ".join(str(problem) for problem in self.problems)


Line = GoodLine | BadLine


@dataclass(frozen=True, slots=True)
class Draft:
    """A line that could be taken apart: its values by their names on the wire, not yet a job.

    `problems` names the fields that could not be converted or are not known; they are left out of `values`.
    """

    number: int
    size: int
    values: Mapping[str, Any]
    problems: list[FieldProblem] = field(default_factory=list)


def printable(text: str) -> str:
    """The text with everything escaped that could upset a terminal, and cut to a length that a person reads."""
    if len(text) > MAX_SHOWN_CHARS:
        text = text[:MAX_SHOWN_CHARS] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
