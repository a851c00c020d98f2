"""What happened, in numbers: per instance and per marker. The witness an acceptance test reads.

SprintHub API notes, section 15.6. Per marker, ``duplicates`` is the sum of max(0, opportunities - 1): the figure that
must stay 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class PeakWindow:
    """The most calls seen in any window of so many virtual seconds."""

    seconds: float
    peak: int = 0
    times: deque[float] = field(default_factory=deque)

    def add(self, now: float) -> None:
        """Count one call."""
        times = self.times
        times.append(now)
        horizon = now - self.seconds
        while times[0] <= horizon:
            times.popleft()
        self.peak = max(self.peak, len(times))


@dataclass(slots=True)
class MarkerCount:
    """What one marker's calls did."""

    posts_received: int = 0
    opportunities_created: int = 0
    puts_received: int = 0
    puts_applied: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


@dataclass(slots=True)
class InstanceCounters:
    """One instance's figures. ``received`` are routed calls; ``throttled`` and ``refused_token`` are among them."""

    received: int = 0
    committed: int = 0
    answered: int = 0
    unanswered: int = 0
    throttled: int = 0
    refused_token: int = 0
    unmarked: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    markers: defaultdict[str, MarkerCount] = field(default_factory=lambda: defaultdict(MarkerCount))
    expected: set[str] = field(default_factory=set)
    peak_30s: PeakWindow = field(default_factory=lambda: PeakWindow(30.0))
    peak_60s: PeakWindow = field(default_factory=lambda: PeakWindow(60.0))

    def call(self, now: float, *, counts_for_peaks: bool) -> None:
        """A routed call arrived. Calls with a bad token spend no budget and make no peak."""
        self.received += 1
        if counts_for_peaks:
            self.peak_30s.add(now)
            self.peak_60s.add(now)

    def marked(self, marker: str, *, creates: bool, now: float) -> None:
        """A write with this marker arrived, whatever becomes of it."""
        count = self.markers[marker]
        count.first_at = count.first_at or now
        count.last_at = now
        if creates:
            count.posts_received += 1
        else:
            count.puts_received += 1

    def committed_write(self, marker: str | None, *, creates: bool) -> None:
        """A write took effect."""
        self.committed += 1
        if marker is None:
            self.unmarked += creates
        elif creates:
            self.markers[marker].opportunities_created += 1
        else:
            self.markers[marker].puts_applied += 1

    def settled(self, status: int | None, fault: str | None, *, delivered: bool) -> None:
        """A call is over. ``status`` is None when no answer was meant to be sent."""
        if status is not None:
            self.by_status[status] += 1
        if fault is not None:
            self.by_fault[fault] += 1
        if delivered:
            self.answered += 1
        else:
            self.unanswered += 1

    def shown(self, *, by_marker: bool) -> dict[str, Any]:
        """The figures as JSON."""
        created = sum(count.opportunities_created > 0 for count in self.markers.values())
        duplicated = {m: c.opportunities_created for m, c in self.markers.items() if c.opportunities_created > 1}
        missing = sorted(m for m in self.expected if not _created(self.markers.get(m)))
        shown: dict[str, Any] = {
            "received": self.received,
            "committed": self.committed,
            "answered": self.answered,
            "unanswered": self.unanswered,
            "throttled": self.throttled,
            "refused_token": self.refused_token,
            "by_status": {str(status): times for status, times in sorted(self.by_status.items())},
            "by_fault": dict(sorted(self.by_fault.items())),
            "peak_calls_30s": self.peak_30s.peak,
            "peak_calls_60s": self.peak_60s.peak,
            "created": created,
            "duplicates": sum(times - 1 for times in duplicated.values()),
            "duplicated_markers": duplicated,
            "unmarked": self.unmarked,
            "expected": len(self.expected),
            "missing": len(missing),
            "missing_markers": missing,
        }
        if by_marker:
            shown["markers"] = {
                marker: {name: getattr(count, name) for name in MarkerCount.__slots__}
                for marker, count in self.markers.items()
            }
        return shown


@dataclass(slots=True)
class Counters:
    """Everything counted since the last reset."""

    instances: defaultdict[str, InstanceCounters] = field(
        default_factory=lambda: defaultdict(InstanceCounters),
    )
    unrouted: int = 0
    internal_errors: int = 0
    client_gone: int = 0
    """Calls whose client had left when the answer was ready."""
    connections_open: int = 0
    connections_peak: int = 0
    connections_total: int = 0
    connections_closed_on_accept: int = 0

    def connected(self) -> None:
        """A connection was accepted."""
        self.connections_total += 1
        self.connections_open += 1
        self.connections_peak = max(self.connections_peak, self.connections_open)

    def expect(self, instance: str, markers: Iterable[str]) -> None:
        """Markers that should have an opportunity in the end; the others among them are ``missing``."""
        self.instances[instance].expected.update(markers)

    def shown(self, *, by_marker: bool = False) -> dict[str, Any]:
        """The figures as JSON."""
        return {
            "unrouted": self.unrouted,
            "internal_errors": self.internal_errors,
            "client_gone": self.client_gone,
            "connections": {
                "open": self.connections_open,
                "peak": self.connections_peak,
                "total": self.connections_total,
                "closed_on_accept": self.connections_closed_on_accept,
            },
            "instances": {
                name: counters.shown(by_marker=by_marker) for name, counters in sorted(self.instances.items())
            },
        }


def _created(count: MarkerCount | None) -> bool:
    return count is not None and count.opportunities_created > 0
