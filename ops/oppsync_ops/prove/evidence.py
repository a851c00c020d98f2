"""What the audit judges: plain values, gathered when everything has settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from oppsync_ops.prove.plan import Allowance
from oppsync_ops.prove.planned import PlannedJob
from oppsync_ops.prove.waits import NO_WAITING, Waiting
from oppsync_worker.contract.states import State


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a job in the end."""

    state: State
    cause: str | None = None
    detail: str | None = None
    points_to: str | None = None
    opportunity_id: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """One PUT that took effect: the version that each part of its body shows."""

    at: float
    versions: Mapping[str, int]
    meant_for: str | None = None
    """The record of the plan that its title is about."""


@dataclass(frozen=True, slots=True)
class Record:
    """One opportunity of the CRM: which create made it, and which version each part shows in the end."""

    instance: str
    opportunity_id: int
    made_by: str | None
    versions: Mapping[str, int]
    updates: tuple[Applied, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request at the CRM; `fault` is the rule that struck it, `job_id` whom it was for, where it says so."""

    at: float
    instance: str
    method: str
    path: str
    status: int | None
    fault: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was planned, and everything that was found."""

    jobs: Mapping[str, PlannedJob]
    """The jobs that were handed over, by id."""
    seen: Mapping[str, Seen]
    records: tuple[Record, ...]
    requests: tuple[Request, ...]
    budgets: Mapping[str, Allowance]
    messages: tuple[str, ...] = ()
    """One entry for each message that the CRM's automation sent to a customer: the create behind it."""
    poison: tuple[str, ...] = ()
    """Names of the poison that was pushed."""
    buried: Mapping[str, str] = field(default_factory=dict)
    """Poison that became a dead letter with its raw bytes: its name -> the cause."""
    strangers: tuple[str, ...] = ()
    """Dead letters that are neither a planned job nor pushed poison."""
    exits: tuple[str, ...] = ()
    """Workers that ended, or would not end, against the driver's will."""
    needs_met: bool = True
    """Whether a doubt that nobody settled is a breach."""
    strays: Mapping[str, int] = field(default_factory=dict)
    """What the set-up itself found in no place, or in one too many, and put right: the word for it -> how often."""
    waiting: Waiting = NO_WAITING
    """What the quiet jobs waited."""
    held_up: Mapping[str, float | None] = field(default_factory=dict)
    """Good jobs of the neighbour with one refused job: when each of them succeeded."""
    lifted_at: float | None = None
    """When the neighbours' troubles were taken away."""
    withheld: tuple[PlannedJob, ...] = ()
    """The jobs that were not handed over."""
    kept_back: tuple[str, ...] = ()
    """Poison that was not pushed, and neighbours that never moved in."""
