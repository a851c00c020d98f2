"""What every measurement gives: figures for programs, rows for people, and whether they are bad news."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, runtime_checkable

Row = dict[str, object]

Tell = Callable[[str], None]
"""Told what is being measured now: a line for the person who waits."""


@runtime_checkable
class Result(Protocol):
    """A frozen dataclass with the figures of one measurement; the unit stands at the end of each name."""

    title: ClassVar[str]

    def rows(self) -> Sequence[Row]:
        """The table's rows, by heading."""

    def remarks(self) -> Sequence[str]:
        """Sentences below the table."""

    def problems(self) -> Sequence[str]:
        """What contradicts this software's promises; empty when nothing does."""


def as_document(result: Result) -> dict[str, Any]:
    """The result as JSON values."""
    return {**asdict(result), "problems": list(result.problems())}  # type: ignore[call-overload]


def rounded(value: float | None, digits: int = 1) -> str:
    """A figure in a cell."""
    return "-" if value is None else f"{value:,.{digits}f}"
