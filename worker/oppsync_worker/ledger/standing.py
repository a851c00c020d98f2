"""How a job stands under a claim, for whoever holds the claim and must decide what becomes of the job."""

from dataclasses import dataclass
from typing import Any

from oppsync_worker.contract.states import State
from oppsync_worker.ledger.ends import Hand
from oppsync_worker.ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the job is, and whether the claim still owns it. A foreign job that nobody looked at yet is queued."""

    state: State
    kind: str
    """Empty for a job that nobody looked at yet."""
    ours: bool
    retries: int
    """How often its task asked for another try."""


def stand(hand: Hand) -> Call:
    """Ask; nothing is changed."""
    return Call("stand", (hand.tag, hand.job_id))


def stood(answer: Any) -> Standing:
    """Read the answer to `stand`."""
    state, kind, ours, retries = answer
    return Standing(State(state.decode()), kind.decode(), bool(ours), int(retries))
