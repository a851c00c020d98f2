"""Names of Redis keys, for those who read the ledger.

Scripts write them, and `lua/life.lua` says what each holds. `SWEEP` and `MISSING`, the sweep's own notes, are also
written by plain commands (`engine/sweep.py`); no job depends on them.
"""

from typing import Final

PREFIX: Final = "oppsync:"
LEASES: Final = PREFIX + "leases"
SCHEDULE: Final = PREFIX + "schedule"
IN_DOUBT: Final = PREFIX + "in_doubt"
DEAD: Final = PREFIX + "dead"
PROBES: Final = PREFIX + "probes"
"""Sorted set: jobs in doubt, by when to look for them next; one that is not in it waits for a person."""
BLOCKED: Final = PREFIX + "blocked"
HOLDS: Final = PREFIX + "holds"
HOLDING: Final = PREFIX + "holding"
"""Set: instances of which jobs are held, on hold or not."""
RELEASING: Final = PREFIX + "releasing"
"""Set: instances whose held jobs are on their way back."""
SWEEP: Final = PREFIX + "sweep"
"""Hash: when the ledger is swept next, by whom it was swept last, and how much was ever put right, by word."""
MISSING: Final = PREFIX + "missing"
"""Hash: queued jobs of which the last sweep did not find the message, with the time since when they are queued."""
SURPLUS: Final = PREFIX + "surplus"
"""Sorted set: creates of which two attempts made a record each, or may have, by when that was told."""
SLOTS: Final = PREFIX + "slots"
CLOCK: Final = PREFIX + "clock"
"""Hash: what is known of Redis' own clock (`lua/clock.lua`)."""
CLOCK_GRACE_MS: Final = 3_600_000
"""How long deadlines are judged without a jump of the clock; the same figure as in the script."""
WORKERS: Final = PREFIX + "workers"
BROKEN: Final = PREFIX + "broken"
"""Sorted set: lanes and instances of which a key was seen to hold a value of another type, by when (s)."""


def job(job_id: str) -> str:
    """Hash: the job's ledger entry."""
    return f"{PREFIX}job:{job_id}"


def attempts(job_id: str) -> str:
    """List of JSON: what happened to the job, oldest first."""
    return f"{PREFIX}attempts:{job_id}"


def waiting(instance: str) -> str:
    """Sorted set: jobs that wait for a slot of the instance."""
    return f"{PREFIX}waiting:{instance}"


def held(instance: str) -> str:
    """Sorted set: jobs kept while the instance is on hold."""
    return f"{PREFIX}held:{instance}"


def hold(instance: str) -> str:
    """Hash: cause, since and note of the instance's hold."""
    return f"{PREFIX}hold:{instance}"


def budget(instance: str) -> str:
    """Hash: the instance's budget."""
    return f"{PREFIX}budget:{instance}"


def references(instance: str) -> str:
    """Hash: external_ref -> opportunity id; outlives every outcome."""
    return f"{PREFIX}refs:{instance}"


def bell(queue: str) -> str:
    """List of at most one element: rung when a queue gets work, so that idle workers wake without touching a job."""
    return f"{PREFIX}bell:{queue}"


def record(instance: str, name: str) -> str:
    """Sorted set: unfinished updates of one record, in order; `name` is `id:<opportunity>` or `ref:<external_ref>`."""
    return f"{PREFIX}record:{instance}:{name}"


def making(instance: str) -> str:
    """Hash: external_ref -> the create that is to make its record, and has not yet."""
    return f"{PREFIX}making:{instance}"


def made(instance: str, opportunity_id: int) -> str:
    """String: the job that made a record which bears no marker; kept as long as that job's outcome."""
    return f"{PREFIX}made:{instance}:{opportunity_id}"
