"""How a delivery ended, as the rim is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.states import Cause, State


@dataclass(frozen=True, slots=True)
class Done:
    """The CRM has it; `result` is what `AsyncResult.get()` gives."""

    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dead:
    """Buried."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Not over: the job is in `state` now, and nothing is left to do with this claim."""

    state: State


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The ledger could not be reached. The claim is left to its lease: another worker will find it."""

    why: str


End = Done | Dead | Parked | Abandoned
