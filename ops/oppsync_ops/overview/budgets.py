"""What an instance may be sent right now, as the scripts count it (`ledger/lua/slots.lua`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from redis import Redis

from oppsync_ops.jobs.entries import text
from oppsync_ops.jobs.moments import iso, moment
from oppsync_worker.ledger import keys
from oppsync_worker.limits.budget import guard_ms

LEARNED_FOR_MS: Final = 3_600_000
"""How long a limit that a throttle taught is believed where no worker has said it; the same figure as in the script."""

_NUMBERS: Final = frozenset(
    {
        "requests",
        "window_ms",
        "concurrency",
        "next",
        "cool_until",
        "learned",
        "learned_at",
        "learned_ms",
        "learned_least",
        "taught",
        "refusals",
        "failures",
        "trips",
        "open_until",
    }
)


@dataclass(frozen=True, slots=True)
class LiveBudget:
    """The budget that workers announced, and what has become of it since. Times are Redis' milliseconds."""

    requests: int | None
    window_ms: int | None
    concurrency: int | None
    next_slot: int
    cool_until: int
    learned: int | None
    failures: int
    """Requests in a row that the instance did not answer."""
    trips: int
    """How often its breaker has opened since it last answered; 0 when it is closed."""
    open_until: int
    waiting: int
    held: int
    in_flight: int
    taught: int | None = None
    """The limit that the last throttle disclosed, as SprintHub wrote it."""
    learned_until: int = 0
    refusals: int = 0
    """Rounds of refusals (401, 403) since a job succeeded."""
    refused: tuple[str, ...] = ()
    """The first few jobs that were refused since."""
    looking: int = 0
    """Look-ups that wait for a slot."""

    @classmethod
    def from_answers(
        cls, fields: Mapping[bytes, bytes], *, waiting: int, held: int, in_flight: int, now: int, looking: int = 0
    ) -> Self:
        """Read the hash that scripts keep, and the sizes of the instance's places."""
        number = {name.decode(): float(value) for name, value in fields.items() if name.decode() in _NUMBERS}

        def whole(name: str) -> int | None:
            return int(number[name]) if name in number else None

        learned_until = int(number.get("learned_at", 0) + number.get("learned_ms", LEARNED_FOR_MS))
        fresh = "learned" in number and now < learned_until
        return cls(
            requests=whole("requests"),
            window_ms=whole("window_ms"),
            concurrency=whole("concurrency"),
            next_slot=whole("next") or 0,
            cool_until=whole("cool_until") or 0,
            learned=max(whole("learned") or 1, whole("learned_least") or 1) if fresh else None,
            failures=whole("failures") or 0,
            trips=whole("trips") or 0,
            open_until=whole("open_until") or 0,
            waiting=waiting,
            held=held,
            in_flight=in_flight,
            taught=whole("taught") if fresh else None,
            learned_until=learned_until if fresh else 0,
            refusals=whole("refusals") or 0,
            refused=tuple(fields.get(b"refused", b"").decode().split()) if "refusals" in number else (),
            looking=looking,
        )

    @property
    def is_failing(self) -> bool:
        """Whether the breaker is open, or half open: at most one request at a time tries the instance."""
        return self.trips > 0

    @property
    def interval_ms(self) -> float | None:
        """Between two requests at full pace; None when no worker has announced a budget, 0 without a limit."""
        if self.requests is None or not self.window_ms:
            return None
        allowed = min(self.requests, self.learned) if self.learned else self.requests
        return (self.window_ms + guard_ms(self.window_ms)) / allowed if allowed else 0.0

    def as_dict(self, now: int) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "announced": self.requests is not None,
            "requests": self.requests,
            "window_seconds": self.window_ms / 1000 if self.window_ms else None,
            "concurrency": self.concurrency,
            "learned_requests": self.learned,
            "learned_from_limit": self.taught,
            "learned_until": iso(moment(self.learned_until)) if self.learned_until else None,
            "refusals": self.refusals,
            "refused_jobs": list(self.refused),
            "look_ups_waiting": self.looking,
            "breaker": self._breaker(now),
            "failures": self.failures,
            "open_until": iso(moment(self.open_until)) if self.is_failing and self.open_until > now else None,
            "cooling_down_until": iso(moment(self.cool_until)) if self.cool_until > now else None,
            "waiting": self.waiting,
            "held": self.held,
            "in_flight": self.in_flight,
        }

    def _breaker(self, now: int) -> str:
        if not self.is_failing:
            return "closed"
        return "open" if self.open_until > now else "half open"


def read_budgets(client: Redis, instances: list[str], *, now: int) -> list[LiveBudget]:
    """The budgets of the instances, in order, in one round trip."""
    pipe: Any = client.pipeline(transaction=False)
    for instance in instances:
        pipe.hgetall(keys.budget(instance))
        pipe.zcard(keys.waiting(instance))
        pipe.zcard(keys.held(instance))
        pipe.zcount(f"{keys.PREFIX}inflight:{instance}", f"({now}", "+inf")
        pipe.zcard(f"{keys.PREFIX}looking:{instance}")
    answers = pipe.execute()
    found = []
    for at in range(len(instances)):
        fields, waiting, held, in_flight, looking = answers[5 * at : 5 * at + 5]
        more = {"waiting": waiting, "held": held, "in_flight": in_flight, "looking": looking}
        found.append(LiveBudget.from_answers(fields, now=now, **more))
    return found


def budgeted_instances(client: Redis) -> list[str]:
    """Every instance of which a worker has ever told, by name."""
    prefix = keys.budget("")
    return sorted(text(key).removeprefix(prefix) for key in client.scan_iter(f"{prefix}*", count=1000))
