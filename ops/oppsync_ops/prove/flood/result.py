"""What a person chooses of a flood, and what came of it."""

from dataclasses import dataclass, field
from typing import Final

from oppsync_ops.prove.flood.audit import Found

LONG_FROM_JOBS: Final = 100_000
"""From here on with the product's own lease."""
JOBS_PER_KILL: Final = 8_000
LEAST_KILLS: Final = 6
STALL_S: Final = 150.0
"""Nothing has ended for so long, and nobody was killed: nothing will."""


@dataclass(frozen=True, slots=True)
class FloodOptions:
    """What a person chooses."""

    seed: int
    jobs: int
    workers: int
    kills: int | None = None
    """None: one for so many jobs."""

    @property
    def planned_kills(self) -> int:
        """How many processes are killed."""
        return max(LEAST_KILLS, self.jobs // JOBS_PER_KILL) if self.kills is None else self.kills

    @property
    def lease_s(self) -> float:
        """How long a silent worker keeps its jobs."""
        return 25.0 if self.jobs >= LONG_FROM_JOBS else 3.0

    @property
    def patience_s(self) -> float:
        """How long nothing may end before the run is given up."""
        return STALL_S + 2 * self.lease_s


@dataclass
class FloodResult:
    """What came of it."""

    options: FloodOptions
    handed: int = 0
    worker_kills: int = 0
    redis_kills: int = 0
    in_hand: int = 0
    """Jobs that were in the hands of workers when those were killed."""
    hand_over_s: float = 0.0
    seconds: float = 0.0
    """From the first hand-over until the last job had ended, or everybody gave up."""
    requests: int = 0
    look_ups: int = 0
    repeated: int = 0
    gave_up: bool = False
    exits: tuple[str, ...] = ()
    found: Found = field(default_factory=Found)
    strays: dict[str, int] = field(default_factory=dict)
    peaks_mib: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Jobs a second, kills and all."""
        return self.handed / self.seconds if self.seconds else 0.0

    @property
    def breaches(self) -> int:
        """Of all kinds; having given up is one."""
        return self.found.total + len(self.exits) + sum(self.strays.values()) + self.gave_up
