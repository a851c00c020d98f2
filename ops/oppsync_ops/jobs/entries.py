"""Reading fields of ledger entries, many in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from oppsync_worker.ledger import keys

Entry = Mapping[str, str]


def read(client: Redis, job_ids: Sequence[str], names: Sequence[str]) -> list[Entry]:
    """The named fields of each job, as text; empty for a job that is not there."""
    pipe: Any = client.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hmget(keys.job(job_id), names)
    return [
        {name: text(value) for name, value in zip(names, values, strict=True) if value is not None}
        for values in pipe.execute()
    ]


def messages(client: Redis, job_ids: Sequence[str]) -> list[bytes | None]:
    """The raw message of each job, where the ledger holds it."""
    pipe: Any = client.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hget(keys.job(job_id), "message")
    return list(pipe.execute())


def text(value: bytes | str) -> str:
    """Redis' bytes as text; what is not UTF-8 is replaced, for these are words for people."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
