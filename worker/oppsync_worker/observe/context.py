"""Which job is being handled right now, so that every line logged meanwhile says so, third parties' lines included.

A context variable and not a thread-local: hundreds of jobs share one thread. Tasks started meanwhile inherit it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job at hand."""

    job_id: str
    instance: str | None = None
    kind: str | None = None
    lane: str | None = None


job_context: Final[ContextVar[JobContext | None]] = ContextVar("job_context", default=None)
"""The job being handled in this asyncio task (or thread), None between jobs."""


@contextmanager
def handling(
    job_id: str, *, instance: str | None = None, kind: str | None = None, lane: str | None = None
) -> Iterator[JobContext]:
    """Name the job for the time of the block.

    The former value is set again instead of resetting a token: a token may only be used in the context that made it,
    and a coroutine that is closed elsewhere would raise here.
    """
    before = job_context.get()
    context = JobContext(job_id, instance=instance, kind=kind, lane=lane)
    job_context.set(context)
    try:
        yield context
    finally:
        job_context.set(before)
