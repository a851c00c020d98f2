"""What the contract refuses, with the field named.

ContractError
├── InvalidJob      a job that can never be carried out as it is  -> refused at the door, or buried
└── NotAJob         a message that is not one of our jobs at all  -> buried with its raw bytes
"""

from dataclasses import dataclass


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
