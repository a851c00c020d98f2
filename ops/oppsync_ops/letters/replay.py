"""Sending letters back to their lanes: attempt 1, one more replay, same job id."""

from collections.abc import Iterator, Mapping, Sequence

from redis import Redis

from oppsync_ops.jobs.entries import messages
from oppsync_ops.letters.acting import BATCH, Counts, Progress, act
from oppsync_ops.letters.mending import Mending
from oppsync_worker.contract.errors import ContractError
from oppsync_worker.contract.jobs import UpdateOpportunity
from oppsync_worker.contract.wire import read_message
from oppsync_worker.ledger import operating
from oppsync_worker.ledger.scripts import Call


def replay(
    client: Redis,
    job_ids: Sequence[str],
    *,
    by: str,
    mending: Mending | None = None,
    progress: Progress | None = None,
    seen: Mapping[str, int | None] | None = None,
) -> Counts:
    """Replay dead letters; with `mending`, only those whose mended job the contract takes.

    `seen`: when each was buried; one that was buried again since is left alone.

    Raises:
        PartlyDone: Redis failed; the rest was not tried.
    """
    at = seen or {}

    def calls(batch: list[str], counts: Counts) -> Iterator[Call]:
        if mending is None:
            for job_id, kept in zip(batch, messages(client, batch), strict=True):
                yield operating.replay(job_id, by=by, writes=writes(kept or b""), seen=at.get(job_id))
            return
        for job_id, message in zip(batch, mended(client, batch, mending, counts), strict=True):
            if message is not None:
                deadline = read_message(message).deadline
                written = writes(message)
                yield operating.replay(
                    job_id, by=by, message=message, deadline=deadline, writes=written, seen=at.get(job_id)
                )

    return act(client, job_ids, calls, progress=progress)


def writes(message: str | bytes) -> tuple[str, ...]:
    """Fields that an update would set; none for a create, or for what cannot be read."""
    try:
        job = read_message(message)
    except ContractError:
        return ()
    return job.written() if isinstance(job, UpdateOpportunity) else ()


def rehearse(client: Redis, job_ids: Sequence[str], mending: Mending) -> Counts:
    """Which letters could be mended, without doing it."""
    counts = Counts()
    for start in range(0, len(job_ids), BATCH):
        found = mended(client, list(job_ids[start : start + BATCH]), mending, counts)
        counts.done += sum(message is not None for message in found)
    return counts


def mended(client: Redis, job_ids: list[str], mending: Mending, counts: Counts) -> list[str | None]:
    """The mended message of each job; None where there is none, which is counted."""
    found: list[str | None] = []
    for job_id, message in zip(job_ids, messages(client, job_ids), strict=True):
        try:
            found.append(mending.mend(message or b""))
        except ContractError as error:
            counts.cannot(job_id, str(error) if message else "is no longer among the dead letters")
            found.append(None)
    return found
