"""What a producer gets back, and how long it looks for more."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from oppsync_worker.contract.jobs import AnyJob

BATCH: Final = 500
"""Jobs per round trip of `enqueue_many`: large enough to hide the round trip, small enough not to hold Redis up."""

ANSWER_TIMEOUT_S: Final = 2.0
RETRIES: Final = 1
"""redis-py retries a connection within a retried call: four tries, so a silent Redis is told of after eight seconds."""

POLL_FIRST_S: Final = 0.02
POLL_MOST_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Receipt:
    """The job that stands for what was enqueued; `created` is False when it had been enqueued before."""

    job_id: str
    created: bool


class WaitTimeout(TimeoutError):
    """The job had not ended in time; it goes on all the same."""


def batches(jobs: Iterable[AnyJob]) -> Iterator[list[AnyJob]]:
    """Jobs in groups of `BATCH`."""
    source = iter(jobs)
    while batch := list(islice(source, BATCH)):
        yield batch


def pauses() -> Iterator[float]:
    """Seconds between looks at a job that is waited for: short at first, half a second in the end."""
    pause = POLL_FIRST_S
    while True:
        yield pause
        pause = min(pause * 1.5, POLL_MOST_S)
