"""What the contract refuses, with the field named.

ContractError
├── InvalidJob      a job that can never be carried out as it is  -> refused at the door, or buried
└── NotAJob         a message that is not one of our jobs at all  -> buried with its raw bytes
    └── Unreadable  what is in it cannot be read, or asks for what is not done here
"""

from dataclasses import dataclass

from oppsync_worker.contract.states import Cause


def told(text: str, most: int) -> str:
    """A text that a stranger may have chosen, as a person can be told it: in one line, of bounded length."""
    if len(text) > most:
        text = text[:most] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong: the field's name on the wire (dots for nesting) and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class ContractError(ValueError):
    """A job or message breaks the contract."""


class InvalidJob(ContractError):
    """A job breaks the contract in the fields named by `problems`; no value of any field is repeated here."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class NotAJob(ContractError):
    """A queue message cannot be read as one of our jobs; the text says which part of it is missing."""


class Unreadable(NotAJob):
    """A queue message cannot be run; `cause` and the text say why, `task` is the one it names, if that can be read."""

    def __init__(self, cause: Cause, detail: str, *, task: str = "") -> None:
        super().__init__(detail)
        self.cause = cause
        self.task = task
