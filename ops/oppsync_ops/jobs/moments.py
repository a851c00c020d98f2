"""Times as an operator says and reads them. The clock is Redis' own, as it is for every state change."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_AGE: Final = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?[smhdw])+")
_PART: Final = re.compile(r"([0-9.]+)([smhdw])")
_STEPS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def now_ms(client: Any) -> int:
    """Redis' clock."""
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def moment(ms: float | str | bytes | None) -> datetime | None:
    """Milliseconds since 1970, as the ledger keeps times; 0 is "never"."""
    return datetime.fromtimestamp(float(ms) / 1000, UTC) if ms and float(ms) else None


def iso(when: datetime | None) -> str | None:
    """A time for machines."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None


def span(ms: float) -> str:
    """A length of time for people: two figures are enough to decide by."""
    seconds = abs(ms) / 1000
    for unit, size in _STEPS:
        if seconds >= size:
            count = seconds / size
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.1f} {unit}".replace(".0 ", " ")  # noqa: PLR2004
    return f"{seconds:.0f} s"


def around(when: datetime | None, now: int) -> str | None:
    """A time for people, with its distance from now."""
    if when is None:
        return None
    ahead = when.timestamp() * 1000 - now
    distance = f"in {span(ahead)}" if ahead > 0 else f"{span(ahead)} ago"
    return f"{when:%Y-%m-%d %H:%M:%S} UTC ({distance})"


@dataclass(frozen=True, slots=True)
class Bound:
    """A point in time given as an age (`2h`, `1d12h`) or as a time of ISO 8601."""

    age_ms: int | None
    at_ms: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            ValueError: it is neither, or names no time zone.
        """
        if _AGE.fullmatch(text):
            return cls(int(sum(float(count) * _UNITS_MS[unit] for count, unit in _PART.findall(text))), None)
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("must be an age such as 30m, 2h or 7d, or a time such as 2024-03-21T21:27:00Z") from None
        if when.tzinfo is None:
            raise ValueError("must name its time zone, for example a final Z for UTC")
        return cls(None, round(when.timestamp() * 1000))

    def ms(self, now: int) -> int:
        """The bound on Redis' clock."""
        if self.age_ms is not None:
            return now - self.age_ms
        return self.at_ms or 0
