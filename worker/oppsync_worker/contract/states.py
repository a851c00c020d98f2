"""States of a job, and the causes for which one dies. Every value says how one enters it and leaves it."""

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life. Kept by the ledger; every change of it is one atomic script."""

    UNKNOWN = "unknown"
    """No such job: the id is wrong, it was pushed by a foreign producer and not yet looked at, or it was retired."""
    QUEUED = "queued"
    """In its lane, or claimed by a worker that has not sent it yet. Left for any state."""
    SENDING = "sending"
    """Recorded before the first byte of a request leaves. Left when the answer is settled, or the worker is lost."""
    SCHEDULED = "scheduled"
    """Waits for a time: `not_before`, or the backoff after a transient failure. Left for `queued` when due."""
    WAITING = "waiting"
    """Waits for a free slot of its instance; costs no attempt. Left for `queued` when a slot is granted."""
    HELD = "held"
    """Its instance is on hold or unknown to the worker; costs no attempt. Left for `queued` when the hold is lifted."""
    BLOCKED = "blocked"
    """An update by `external_ref` whose create has not succeeded yet. Left for `queued` when it has."""
    IN_DOUBT = "in_doubt"
    """A create was sent and its answer is unknown. Never re-sent blindly."""
    SUCCEEDED = "succeeded"
    """Terminal: the CRM has it."""
    DEAD = "dead"
    """Terminal until a person replays or discards it."""
    DISCARDED = "discarded"
    """Terminal: dropped by a person, or a twin of a job with the same idempotency key."""
    MERGED = "merged"
    """Terminal: an update that travelled inside another."""
    EXPIRED = "expired"
    """Terminal: its deadline passed before the CRM had confirmed it; an update may have been sent before."""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in TERMINAL


TERMINAL = frozenset({State.SUCCEEDED, State.DEAD, State.DISCARDED, State.MERGED, State.EXPIRED})


class Cause(StrEnum):
    """Why a job was buried."""

    REJECTED = "rejected"
    """The CRM refused it for good (400, 404, 409, 422 and other 4xx)."""
    REFUSED = "refused"
    """The CRM refused it alone, with 401 or 403, again and again, while others of its instance succeeded."""
    EXHAUSTED = "exhausted"
    """Transient failures used up its attempts or its time."""
    INVALID = "invalid"
    """Its payload breaks the contract."""
    UNKNOWN_TASK = "unknown_task"
    """The message names a task that this version does not have."""
    UNDECODABLE = "undecodable"
    """The message, or its body, cannot be decoded."""
    MALFORMED = "malformed"
    """The message is JSON, but not of Celery's protocol."""
    OVERSIZED = "oversized"
    """The message is larger than a worker decodes."""
    POISON = "poison"
    """It lost its worker again and again."""
    CONFLICT = "conflict"
    """Another job stands under its idempotency key, and asks for something else."""
    LOST = "lost"
    """Its message is in no place: the queue was purged, or a key removed by hand."""
    INTERNAL = "internal"
    """An error of this software, before anything was sent."""
