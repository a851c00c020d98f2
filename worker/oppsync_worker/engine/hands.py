"""The claims that this process has in hand.

Three threads meet here: Celery's consumer takes claims and acknowledges them, jobs on the asyncio thread settle them,
housekeeping renews them. A claim that leaves our hands unsettled is not lost: its lease runs out, and it is restored.
"""

import threading
from enum import Enum


class Hold(Enum):
    """What has become of a claim in hand."""

    TAKEN = "taken"
    """Nothing yet: it must be settled before it may be acknowledged."""
    SETTLED = "settled"
    """A script has acknowledged it, or moved its job."""
    ABANDONED = "abandoned"
    """It could not be settled; its lease is no longer renewed."""


class Hands:
    """Claims in hand, by tag. Safe between threads."""

    def __init__(self) -> None:
        self._claims: dict[str, Hold] = {}
        self._lock = threading.Lock()
        self.moves = 0
        """How often a claim came, went or changed: what a watchdog calls progress."""

    def take(self, tag: str) -> None:
        """A claim was made."""
        with self._lock:
            self._claims[tag] = Hold.TAKEN
            self.moves += 1

    def settle(self, tag: str) -> None:
        """A script has ended the claim."""
        self._turn(tag, Hold.SETTLED)

    def abandon(self, tag: str) -> None:
        """The claim is left to its lease."""
        self._turn(tag, Hold.ABANDONED)

    def drop(self, tag: str) -> Hold | None:
        """The claim leaves our hands; what it was."""
        with self._lock:
            self.moves += 1
            return self._claims.pop(tag, None)

    def __len__(self) -> int:
        """How many claims are in hand, settled ones that Celery has not acknowledged yet among them."""
        with self._lock:
            return len(self._claims)

    def to_renew(self) -> list[str]:
        """Tags whose leases must be kept."""
        with self._lock:
            return [tag for tag, hold in self._claims.items() if hold is Hold.TAKEN]

    def _turn(self, tag: str, hold: Hold) -> None:
        with self._lock:
            # One that has left our hands already stays gone: nobody would ever drop it again.
            if tag in self._claims:
                self._claims[tag] = hold
                self.moves += 1
