"""Dropping letters for good: their messages go at once, their entries after the retention of outcomes."""

from collections.abc import Iterator, Mapping, Sequence

from redis import Redis

from oppsync_ops.letters.acting import Counts, Progress, act
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import Call


def discard(
    client: Redis,
    job_ids: Sequence[str],
    *,
    by: str,
    ttl_s: int,
    progress: Progress | None = None,
    seen: Mapping[str, int | None] | None = None,
) -> Counts:
    """Discard dead letters. `seen`: when each was buried; one that was buried again since is left alone.

    Raises:
        PartlyDone: Redis failed; the rest was not tried.
    """

    def calls(batch: list[str], counts: Counts) -> Iterator[Call]:
        del counts
        for job_id in batch:
            yield operating.discard(job_id, state=State.DEAD, by=by, ttl_s=ttl_s, seen=(seen or {}).get(job_id))

    return act(client, job_ids, calls, progress=progress)
