"""Does this worker process hang? A decision over what was seen of it, without a clock, a thread or Redis of its own.

Three things must move, each for as long as it has a reason to:

| what | moves when | has a reason to |
|---|---|---|
| the loop | the asyncio loop turns | always |
| the consumer | Celery's consumer asks for work | Redis takes writes, a lane has messages, there is room for more |
| the jobs | a claim comes, goes or changes, or the ledger answers | Redis takes writes, claims are in hand |

One that has a reason and has not moved for as long as patience goes is a hang. Being idle, waiting for a Redis that is
away or refuses writes, a line for slots, a hold and a stop are none: the jobs are in the ledger then, or their reason
is missing. A process that was itself stopped (SIGSTOP, a suspended machine) has seen nothing, and starts afresh.
"""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one look. The values of `turns`, `polled` and `moves` mean nothing but for their changing."""

    at: float
    """Seconds of the monotonic clock, at the look's end."""
    turns: int
    """Of the asyncio loop."""
    polled: float | None
    """When the consumer last asked for work."""
    moves: int
    """Of claims, and of the ledger's answers."""
    waiting: int | None
    """Messages in the lanes that this worker consumes; None when Redis does not answer, or takes no writes."""
    room: int
    """How many more claims this process may hold."""
    in_hand: int
    """Claims that it holds."""
    stopping: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, in seconds, each may stand still; `pause_s` between two looks means that nobody was looking."""

    loop_s: float
    consumer_s: float
    jobs_s: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class Vigil:
    """The last look, and since when each of the three has had a reason to move and has not."""

    last: Look
    loop_since: float
    consumer_since: float
    jobs_since: float

    @classmethod
    def begun(cls, look: Look) -> Self:
        """Nothing is known of the time before this look."""
        return cls(look, look.at, look.at, look.at)

    def went_on(self, look: Look, patience: Patience) -> "Vigil":
        """What is known after another look."""
        last = self.last
        if look.stopping or look.at - last.at > patience.pause_s:
            return Vigil.begun(look)
        work = bool(look.waiting) and look.room > 0
        claims = look.waiting is not None and look.in_hand > 0
        return Vigil(
            look,
            self.loop_since if look.turns == last.turns else look.at,
            self.consumer_since if work and look.polled == last.polled else look.at,
            self.jobs_since if claims and look.moves == last.moves else look.at,
        )

    def hang(self, patience: Patience) -> str | None:
        """What hangs, in words; None when nothing does."""
        at, last = self.last.at, self.last
        if at - self.loop_since >= patience.loop_s:
            return f"the event loop has not turned for {at - self.loop_since:.0f} s"
        if at - self.consumer_since >= patience.consumer_s:
            return (
                f"Celery's consumer has not asked for work for {at - self.consumer_since:.0f} s, though Redis answers, "
                f"{last.waiting} messages wait and there is room for {last.room}"
            )
        if at - self.jobs_since >= patience.jobs_s:
            return f"{last.in_hand} claims are in hand and nothing has moved for {at - self.jobs_since:.0f} s"
        return None
