"""After the last fault: until nothing moves that could."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from oppsync_ops.prove.contender import Contender
from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.producers import Producers
from oppsync_ops.prove.stage import Stage
from oppsync_worker.contract.states import State

LOOK_EVERY_S: Final = 1.0

Told = Callable[[int, int], None]
"""Called with how many jobs are settled, of how many."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How long it took, and what is known of every job now."""

    seconds: float
    seen: dict[str, Seen]


def settle(stage: Stage, contender: Contender, producers: Producers, told: Told) -> Settled:
    """Look until every job is at its end, or nothing has moved for a quiet time, or its patience is over."""
    form, began = stage.plan.form, time.monotonic()
    seen: dict[str, Seen] = {}
    last, moved = None, began
    with stage.redis.client() as client:
        while True:
            seen |= contender.seen(client, [job for job in producers.so_far() if not _ended(seen.get(job))])
            ended = sum(_ended(one) for one in seen.values())
            told(ended, len(seen) + producers.left)
            now = time.monotonic()
            if not producers.left and ended == len(seen):
                break
            standing = ({job: one for job, one in seen.items() if not _ended(one)}, ended, stage.crm.received())
            if standing != last:
                last, moved = standing, now
            if now - moved > contender.quiet_s or now - began > contender.patience_s:
                break
            time.sleep(LOOK_EVERY_S)
    # What the CRM was told to commit late must have come due before anybody counts, and so must every lease: what a
    # killed worker had in hand comes back after it, and would be carried out again if nothing prevented that.
    time.sleep(max(form.lease_s + 1, began + max(form.late_s, form.too_slow_s) + 1 - time.monotonic()))
    with stage.redis.client() as client:
        # Everybody once more: an outcome that was there and is no longer is as lost as one that never was.
        return Settled(time.monotonic() - began, contender.seen(client, producers.so_far()))


def _ended(seen: Seen | None) -> bool:
    return seen is not None and seen.state.is_terminal and seen.state is not State.UNKNOWN
