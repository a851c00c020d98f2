"""The vocabulary of the log: registered event names, and the one wide line that every attempt leaves behind.

A new event is added to `EVENTS` first; a name that is not there is refused, so that whoever searches the log can
trust this page. The same table generates the operators' list of events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final

EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "log": "A line of a library, or one without an event of its own.",
        "attempt": "One attempt ended; the verdict says what becomes of the job.",
        "buried": "A job became a dead letter; the cause and the detail say why.",
        "unexpected": "An error nobody foresaw, with its stack; a fault of this software until proved otherwise.",
        "observer_failed": "A line or a report could not be made; the job itself is not touched by it.",
        "worker_ready": "The worker claims jobs from now on.",
        "worker_stopping": "The worker claims nothing more and lets its jobs finish.",
        "worker_stopped": "The worker has let go of its last job.",
        "watchdog": "The worker hangs and ends itself with exit code 70, for its supervisor to start it afresh.",
        "unsafe": "The promises do not hold here: the detail says what is amiss, what it costs, and what to do.",
        "settings": "The settings in force; of a secret only whether it is configured.",
        "sentry": "Whether errors are reported to Sentry, and as which release.",
        "ledger_unavailable": "Redis did not answer; the claim is left to its lease and nothing is lost.",
        "rights_missing": "The worker's Redis user may not do what a worker needs; the message names what is lacking.",
        "restored": "Claims of a lost worker were put back into their lanes.",
        "promoted": "Scheduled jobs fell due and were put into their lanes.",
        "stale_claim": "An attempt's end was refused because its claim was lost meanwhile.",
        "recalled": "Redis had forgotten that a request was sent (a failover); its end was recorded all the same.",
        "surplus": "Two attempts of one create made a record each, or may have: a person decides which one stays.",
        "not_replicated": "Too few replicas took note that a request was to leave; it was not sent and is tried again.",
        "broken_key": "A key holds a value of another type, and nobody is served there: somebody wrote to it.",
        "clock_jumped": "Redis' clock jumped forward; for an hour deadlines are judged without the jump: set it right.",
        "cool_down": "An instance was throttled and pauses on every worker; ends by itself.",
        "held": "An instance is on hold; somebody must lift it.",
        "unheld": "The hold of an instance was lifted.",
        "reconciled": "An in-doubt create was looked for in the CRM; says what was seen, and what follows from it.",
        "undecided": "Looking for an in-doubt create is over and has not settled it: a person decides.",
        "marker_lost": "SprintHub did not keep a create's marker: the instance's marker_field does not exist there.",
        "strays": "The sweep has found jobs in no place, or places without a job; the figures must stay 0.",
        "quarantined": "A queue element that is not a message was put aside, with its raw bytes.",
        "retired": "Terminal jobs were removed after their time.",
    }
)
"""Every event that may stand in a line, with its meaning."""

LOUD: Final = frozenset(
    {
        "observer_failed",
        "ledger_unavailable",
        "rights_missing",
        "restored",
        "stale_claim",
        "recalled",
        "surplus",
        "not_replicated",
        "broken_key",
        "clock_jumped",
        "held",
        "quarantined",
        "undecided",
        "marker_lost",
        "strays",
        "watchdog",
        "unsafe",
    }
)
"""Events that `Observer.notice` logs as a warning, since a person may have to do something."""

LOUD_VERDICTS: Final = frozenset({"hold", "in_doubt", "bury"})
"""Verdicts after which the job may need a person; their lines are warnings."""


def registered(event: str) -> str:
    """The name itself, if it is registered; ValueError otherwise."""
    if event not in EVENTS:
        raise ValueError(f"the event {event!r} is not registered in EVENTS: add it there first, with its meaning")
    return event


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """One attempt in one line. All fields are always written, unknown ones as null: a log search needs no guessing.

    Nothing in it is a person's: ids, numbers, words of our own, and `message`, which must be redacted already.
    """

    job_id: str
    instance: str | None
    """None for a message that could not be read so far."""
    kind: str | None
    lane: str | None
    verdict: str
    """What was decided: succeeded, retry, wait, hold, in_doubt, bury, parked ..."""
    state: str
    """The job's state after it."""
    event: str = "attempt"
    attempt: int | None = None
    """Counted from 1; None when nothing was tried."""
    replays: int = 0
    cause: str | None = None
    status: int | None = None
    """HTTP status, None when there was no answer."""
    error: str | None = None
    """The error's class name."""
    message: str | None = None
    """One redacted line."""
    duration_ms: int | None = None
    """Of the request, the wait for its slot not counted."""
    slot_wait_ms: int | None = None
    age_ms: int | None = None
    """Since the job was enqueued."""
    delay_ms: int | None = None
    """Until the next attempt."""
    opportunity_id: int | None = None

    def __post_init__(self) -> None:
        registered(self.event)

    def as_fields(self) -> dict[str, Any]:
        """Every field by its name, in the order of reading."""
        return {name: getattr(self, name) for name in FIELD_NAMES}


FIELD_NAMES: Final = ("event", *(field.name for field in fields(AttemptLine) if field.name != "event"))
"""Names of an attempt's fields as they stand in a line."""
