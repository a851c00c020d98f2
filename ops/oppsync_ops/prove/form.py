"""How long everything takes in a run: the short form squeezes hours of trouble into minutes, the long form is real.

All waits of the product scale together: what may be late in the CRM (`late_s`, `lag_s`, `too_slow_s`) always stays
inside of what the product waits before it believes (`probe_after_s`, `order_settle_s`), since no wait can be proof
against an answer that comes later still.
"""

from dataclasses import dataclass
from typing import Final

LONG_FROM_MINUTES: Final = 5.0
"""From here on a run has time for the product's own lease, so that the measured recovery is the real one."""


@dataclass(frozen=True, slots=True)
class Form:
    """Seconds, unless a name says otherwise."""

    name: str
    lease_s: float
    """How long a silent worker keeps its jobs."""
    window_s: float
    """The budget's window. 0.5 % of it, less 50 ms, is how much longer one request may be under way to the CRM
    than another (ADR 0006)."""
    cool_down_s: float
    read_s: float
    call_s: float
    probe_after_s: tuple[float, ...]
    """When a create in doubt is looked for; the last is the settle window."""
    order_settle_s: float
    """How long an update waits after an earlier one of the record lost its answer."""
    retry_most_s: float
    breaker_s: float
    slow_s: float
    """A slow answer that is still waited for."""
    too_slow_s: float
    """One that is not; the CRM commits at its end."""
    late_s: float
    """How much later than its error page a late write is committed."""
    lag_s: float
    """How long a new record is missing from lists."""
    half_open_s: float
    """How long a half-open link lasts: longer than `call_s`, and in the short form than the lease."""
    quiet_s: float
    """Nothing has moved for so long: nothing will. Longer than every pause above."""
    patience_s: float
    """How long everything may take to settle."""
    visibility_s: int
    """The comparison's `visibility_timeout`."""
    calm_s: float
    """How long quiet jobs are alone: what they take then is the measure of what they may take later."""
    beside_s: float
    """How long they are beside neighbours, before any fault is committed."""
    quiet_per_s: float
    """Quiet jobs a second."""
    killer: bool
    """Whether there is time for a job that takes every worker down."""


SHORT: Final = Form(
    name="short",
    lease_s=5.0,
    window_s=30.0,
    cool_down_s=2.0,
    read_s=4.0,
    call_s=5.0,
    probe_after_s=(1.0, 3.0, 6.0, 10.0, 14.0),
    order_settle_s=9.0,
    retry_most_s=3.0,
    breaker_s=1.0,
    slow_s=1.5,
    too_slow_s=7.0,
    late_s=4.0,
    lag_s=4.0,
    half_open_s=7.0,
    quiet_s=20.0,
    patience_s=150.0,
    visibility_s=30,
    calm_s=6.0,
    beside_s=14.0,
    quiet_per_s=16.0,
    killer=False,
)

LONG: Final = Form(
    name="long",
    lease_s=25.0,
    window_s=60.0,
    cool_down_s=10.0,
    read_s=10.0,
    call_s=15.0,
    probe_after_s=(2.0, 6.0, 15.0, 30.0, 45.0),
    order_settle_s=30.0,
    retry_most_s=10.0,
    breaker_s=2.0,
    slow_s=3.0,
    too_slow_s=20.0,
    late_s=15.0,
    lag_s=10.0,
    half_open_s=20.0,
    quiet_s=75.0,
    patience_s=900.0,
    visibility_s=60,
    calm_s=60.0,
    beside_s=120.0,
    quiet_per_s=6.0,
    killer=True,
)


def form_for(minutes: float) -> Form:
    """The form of a run whose load lasts so long."""
    return LONG if minutes >= LONG_FROM_MINUTES else SHORT
