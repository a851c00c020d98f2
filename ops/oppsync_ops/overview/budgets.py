"""What an instance may be sent right now, as the scripts count it (`ledger/lua/slots.lua`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from redis import Redis

from oppsync_ops.jobs.moments import iso, moment
from oppsync_worker.ledger import keys

LEARNED_FOR_MS: Final = 3_600_000
"""How long a limit that a throttle taught is believed; the same figure as in the script."""

_MARGIN: Final = 1.01

_NUMBERS: Final = frozenset(
    {
        "requests",
        "window_ms",
        "concurrency",
        "next",
        "cool_until",
        "learned",
        "learned_at",
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

    @classmethod
    def from_answers(cls, fields: Mapping[bytes, bytes], *, waiting: int, held: int, in_flight: int, now: int) -> Self:
        """Read the hash that scripts keep, and the sizes of the instance's places."""
        number = {name.decode(): float(value) for name, value in fields.items() if name.decode() in _NUMBERS}

        def whole(name: str) -> int | None:
            return int(number[name]) if name in number else None

        fresh = now - number.get("learned_at", 0) < LEARNED_FOR_MS
        return cls(
            requests=whole("requests"),
            window_ms=whole("window_ms"),
            concurrency=whole("concurrency"),
            next_slot=whole("next") or 0,
            cool_until=whole("cool_until") or 0,
            learned=whole("learned") if fresh else None,
            failures=whole("failures") or 0,
            trips=whole("trips") or 0,
            open_until=whole("open_until") or 0,
            waiting=waiting,
            held=held,
            in_flight=in_flight,
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
        return self.window_ms / allowed * _MARGIN if allowed else 0.0

    def as_dict(self, now: int) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "announced": self.requests is not None,
            "requests": self.requests,
            "window_seconds": self.window_ms / 1000 if self.window_ms else None,
            "concurrency": self.concurrency,
            "learned_requests": self.learned,
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
    answers = pipe.execute()
    found = []
    for at in range(len(instances)):
        fields, waiting, held, in_flight = answers[4 * at : 4 * at + 4]
        found.append(LiveBudget.from_answers(fields, waiting=waiting, held=held, in_flight=in_flight, now=now))
    return found
