"""What `oppsync dead show` and `oppsync doubt show` have in common: jobs asked for by id, in full."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis import Redis

from oppsync_ops.cli.failures import BAD_NEWS, DONE
from oppsync_ops.cli.output import note
from oppsync_ops.jobs.entries import messages
from oppsync_ops.jobs.facts import history
from oppsync_ops.letters.opening import opened


class Shown(Protocol):
    """A dead letter or a doubt."""

    @property
    def job_id(self) -> str:
        """Whose."""

    def as_dict(self) -> Mapping[str, Any]:
        """What the ledger knows of it."""


def in_full(client: Redis, found: Sequence[Shown], *, reveal: bool) -> list[dict[str, Any]]:
    """Each with its history and its job; unless `reveal`, what may be personal is masked."""
    return [
        {
            **one.as_dict(),
            "history": list(history(client, one.job_id)),
            **opened(messages(client, [one.job_id])[0], reveal=reveal),
        }
        for one in found
    ]


def tell_missing(job_ids: Sequence[str], found: Sequence[Shown], *, what: str) -> int:
    """Name those that were asked for and are `what` no more; the exit code."""
    known = {one.job_id for one in found}
    missing = [job_id for job_id in job_ids if job_id not in known]
    for job_id in missing:
        note(f"{job_id} is not {what} (any more): see `oppsync job show {job_id}`")
    return BAD_NEWS if missing else DONE
