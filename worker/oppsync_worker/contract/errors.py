"""What the contract refuses, with the field named.

ContractError
├── InvalidJob      a job that can never be carried out as it is  -> refused at the door, or buried
├── JobConflict     another job stands under its id or its idempotency key -> refused at the door, or buried
├── JobConflicts    some of many jobs; the others were handed over
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


class JobConflict(ContractError):
    """Another job stands under the id, or under the idempotency key, of the one that is handed over.

    `job_id` is the refused job, `standing` the one that stands; `reason` is `id`, `key`, or `discarded`: the same
    request, which a person has dropped.
    """

    def __init__(self, job_id: str, standing: str, reason: str, *, asked: str, stands: str) -> None:
        """`asked` and `stands` are kind and instance of either job."""
        key = f"job {job_id} ({asked}) bears the idempotency key of job {standing} ({stands}), which"
        told = {
            "id": f"the id {job_id} is taken by a job that stands as {stands}; this one ({asked}) asks for something"
            " else: give it an id of its own",
            "key": f"{key} asks for something else: give it a key of its own",
            "discarded": f"{key} asked for the same and was discarded by a person: if it is to be done after all, give"
            " it another key",
        }
        super().__init__(told[reason])
        self.job_id = job_id
        self.standing = standing
        self.reason = reason


class JobConflicts(ContractError):
    """Some of many jobs were refused, each for its `JobConflict` in `conflicts`; all others were handed over.

    `job_ids` are those of all jobs, in order, with None for each that was refused.
    """

    def __init__(self, conflicts: tuple[JobConflict, ...], job_ids: tuple[str | None, ...]) -> None:
        first = f"{conflicts[0]}" + (f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else "")
        super().__init__(f"{len(conflicts)} of {len(job_ids)} jobs were refused: {first}")
        self.conflicts = conflicts
        self.job_ids = job_ids


class NotAJob(ContractError):
    """A queue message cannot be read as one of our jobs; the text says which part of it is missing."""


class Unreadable(NotAJob):
    """A queue message cannot be run; `cause` and the text say why, `task` is the one it names, if that can be read."""

    def __init__(self, cause: Cause, detail: str, *, task: str = "") -> None:
        super().__init__(detail)
        self.cause = cause
        self.task = task
