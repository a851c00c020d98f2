"""Announcing budgets: one per instance, shared by all workers, kept in Redis on Redis' clock."""

from typing import Final

from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.scripts import Call

HORIZON_MS: Final = 250
"""How far ahead a slot may be reserved. A job whose slot is farther off waits in the ledger, not in a worker."""

MARGIN_MS: Final = 15_000
"""How much longer than its deadline a call counts as in flight when its worker is never heard of again."""


def announce(instance: InstanceSettings, *, fingerprint: str) -> Call:
    """Tell all workers what an instance may be sent. The last worker to start is believed.

    Answers 1 when jobs that were held for want of this knowledge are now on their way.
    """
    budget = instance.budget
    return Call(
        "instance",
        (
            instance.name,
            budget.requests,
            int(budget.window_seconds * 1000),
            budget.concurrency,
            int(instance.call_seconds * 1000) + MARGIN_MS,
            fingerprint,
        ),
    )
