"""A key for a line that has none, so that a file can be given twice without doubling what is in it.

The key of a line is `file:<digest>:<n>`: the digest is that of what the job says (its kind, instance, record and
document), `n` counts the lines of the file that say the same. So

1. the same file again, or one with bad lines mended, lines added or lines in another order, gives every unchanged line
   the key it had, and the ledger answers with the job that is there already;
2. two lines that are identical on purpose stay two jobs, and stay the same two jobs next time;
3. a line that was changed is another job.

How a job travels (`lane`, `not_before`, `deadline`) is not part of what it says: a second try with a new deadline must
not make a second record.

By default only creates get a key. To send an update twice does no harm, while to leave one out does: a value that went
from 10 to 20 and back to 10 in three files would stay at 20, because the third line says what the first one said.

Known bounds. The ledger forgets a key some time after its job has ended (the retention of outcomes); a file given again
after that is a new file. Two files that hold an identical create within that time make one record: where two are
meant, tell them apart by an `idempotency_key` or an `external_ref`. Memory is one entry for each distinct line with a
derived key, about 120 bytes (120 MB for a million); nothing else grows with the file.
"""

import hashlib
import json
from datetime import datetime
from typing import Final, Literal

from oppsync_worker.contract.fields import iso_utc
from oppsync_worker.contract.jobs import AnyJob
from oppsync_worker.contract.names import Kind

KeyFrom = Literal["line", "every-line", "none"]
"""Which lines without a `job_id` and an `idempotency_key` get a derived key: creates, updates as well, or none."""

_TRAVEL: Final = frozenset({"job_id", "idempotency_key", "lane", "not_before", "deadline"})
_DIGEST_BYTES: Final = 16


class Identity:
    """Derives the keys of one pass over one file."""

    def __init__(self, key_from: KeyFrom) -> None:
        self._kinds = {"line": {Kind.CREATE}, "every-line": set(Kind), "none": set[Kind]()}[key_from]
        self._seen: dict[bytes, int] = {}

    def given(self, job: AnyJob) -> AnyJob:
        """The job with a key, if it needs one."""
        if job.kind not in self._kinds or job.idempotency_key is not None or "job_id" in job.model_fields_set:
            return job
        digest = _digest(job)
        occurrence = self._seen.get(digest, 0) + 1
        self._seen[digest] = occurrence
        return job.model_copy(update={"idempotency_key": f"file:{digest.hex()}:{occurrence}"})


def _digest(job: AnyJob) -> bytes:
    # One text for one meaning: the contract keeps one form for each amount and time, and names are sorted here.
    # A golden test stands guard over this text: another one would double what was sent before.
    said = sorted(
        (name, _plain(value)) for name, value in vars(job).items() if value is not None and name not in _TRAVEL
    )
    return hashlib.sha256(json.dumps([job.kind.value, said]).encode()).digest()[:_DIGEST_BYTES]


def _plain(value: object) -> object:
    match value:
        case str() | int():
            return value
        case dict():
            return sorted(value.items())
        case datetime():
            return iso_utc(value)
        case _:
            return str(value)
