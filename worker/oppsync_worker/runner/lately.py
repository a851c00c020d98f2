"""What became of the creates that this process has sent lately, for a ledger that forgets their sending and their end.

A promoted replica that lacks the last writes hands such a create out again, as if it had never been sent. Nobody has it
in hand any more, and only whoever sent it can tell.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from oppsync_worker.ledger.begin import Go
from oppsync_worker.ledger.ends import Hand
from oppsync_worker.ledger.scripts import Call

FOR_S: Final = 60.0
"""Longer than a replica that is promoted should lag behind."""

MOST: Final = 5_000


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a create that may have made a record. `result` is its outcome; None while that is in doubt."""

    replays: int
    attempt: int
    call: Call
    result: Mapping[str, Any] | None
    at: float

    def under(self, hand: Hand) -> Call:
        """The same end, told under another claim; how the instance does (`beat`) is no news any more."""
        _, job_id, to, ttl_s, *pairs = self.call.arguments
        kept = [part for pair in zip(pairs[::2], pairs[1::2], strict=True) if pair[0] != "beat" for part in pair]
        return Call(self.call.script, (hand.tag, job_id, to, ttl_s, *kept))


class Lately:
    """The ends of the last minute, by job."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, Ended] = OrderedDict()

    def keep(self, job_id: str, go: Go, call: Call, result: Mapping[str, Any] | None) -> None:
        """Remember it for a while."""
        now = time.monotonic()
        self._ends[job_id] = Ended(go.replays, go.attempt, call, result, now)
        self._ends.move_to_end(job_id)
        while len(self._ends) > MOST or next(iter(self._ends.values())).at < now - FOR_S:
            self._ends.popitem(last=False)

    def forgotten(self, job_id: str, go: Go) -> Ended | None:
        """How this very attempt, or a later one, has ended already: the ledger would have counted on from there."""
        ended = self._ends.get(job_id)
        return ended if ended and (go.replays, go.attempt) <= (ended.replays, ended.attempt) else None
