"""Announcing budgets: one per instance, shared by all workers, kept in Redis on Redis' clock."""

import math
from typing import Final

from oppsync_worker.instances import BudgetSettings, InstanceSettings
from oppsync_worker.ledger.operating import tell
from oppsync_worker.ledger.scripts import Argument, Call

HORIZON_MS: Final = 250
"""How far ahead a slot may be reserved. A job whose slot is farther off waits in the ledger, not in a worker."""

RESERVE: Final = 1.25
"""A worker announces so many times its concurrency: one instance alone gets four fifths of what is announced
(`lua/slots.lua`), which is the concurrency that was asked for, and the rest is there for whoever comes."""

ELASTIC: Final = 4
"""A worker holds at most so many times its concurrency. One call every instance may always have, however many hang: it
is that which is taken on beyond what was announced."""

MARGIN_MS: Final = 15_000
"""How much longer than its deadline a call counts as in flight when its worker is never heard of again."""


UNTOLD_S: Final = 0.05
"""What a request may leave late without anybody being told where the window is long: telling is a call to Redis."""


def guard_ms(window_ms: float) -> float:
    """What the slots of a window take longer than the window, as `lua/slots.lua` has it."""
    return max(window_ms / 100, min(100.0, window_ms / 10))


def untold_s(budget: BudgetSettings) -> float:
    """How late a request may leave without anybody being told: at most half of what is kept of the window's guard."""
    return min(UNTOLD_S, guard_ms(budget.window_seconds * 1000) / 4000)


def learned_least(budget: BudgetSettings) -> int:
    """Requests per window that an instance keeps, however small a limit its answers disclose."""
    return max(1, math.ceil(budget.requests * budget.learned_min_share))


def hands(concurrency: int) -> int:
    """How many calls a worker announces that it has hands for."""
    return math.ceil(concurrency * RESERVE)


def announce(instance: InstanceSettings, *, fingerprint: str) -> Call:
    """Tell all workers what an instance may be sent. The last worker to start is believed.

    Answers 1 when jobs that were held for want of this knowledge are now on their way.
    """
    budget, reconcile, breaker, order = instance.budget, instance.reconcile, instance.breaker, instance.order
    facts: dict[str, Argument] = {
        "requests": budget.requests,
        "window_ms": int(budget.window_seconds * 1000),
        "concurrency": budget.concurrency,
        "call_ms": int(instance.call_seconds * 1000) + MARGIN_MS,
        "probe_ms": int(reconcile.probe_after_seconds[0] * 1000) if reconcile.enabled else -1,
        "breaker_failures": breaker.failures,
        "open_ms": int(breaker.open_seconds * 1000),
        "max_open_ms": int(breaker.max_open_seconds * 1000),
        "after_dead": order.after_dead,
        "settle_ms": int(order.settle_seconds * 1000),
        "learned_least": learned_least(budget),
        "learned_ms": int(budget.learned_seconds * 1000),
        "look_gap": math.ceil(1 / reconcile.max_share) - 1,
    }
    return tell(instance.name, fingerprint=fingerprint, facts=facts)
