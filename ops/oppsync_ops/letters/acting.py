"""Doing one thing to many letters: in batches, each letter by a script of its own, counted as it goes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from oppsync_worker.contract.states import State
from oppsync_worker.ledger.connect import LedgerUnavailable, explain
from oppsync_worker.ledger.operating import word
from oppsync_worker.ledger.scripts import Call, run_many

BATCH: Final = 100
"""Scripts per round trip."""

PROBLEMS_KEPT: Final = 20


@dataclass(slots=True)
class Counts:
    """What came of it: how many were done, and how many were not, by the word that says why."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Job id and what is wrong with it, for the first few that could not be mended."""

    def cannot(self, job_id: str, why: str) -> None:
        """Count a job that could not be mended."""
        self.refused["unmendable"] += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append((job_id, why))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "done": self.done,
            "refused": dict(self.refused),
            "problems": [{"job_id": job_id, "problem": why} for job_id, why in self.problems],
        }


class PartlyDone(LedgerUnavailable):
    """Redis failed in the middle; `counts` says what was done before. To ask for the same again is safe."""

    def __init__(self, counts: Counts, error: RedisError) -> None:
        super().__init__(f"{explain(error)} ({counts.done} were done before; to run the same again is safe)")
        self.counts = counts


class Stopped(KeyboardInterrupt):
    """Somebody interrupted it; `counts` says what was surely done before. To ask for the same again is safe."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts


Calls = Callable[[list[str], Counts], Iterator[Call]]
"""Makes a batch of job ids into scripts; counts those for which there can be none."""

Progress = Callable[[int], None]
"""Called with how many letters have been looked at."""


def act(client: Redis, job_ids: Sequence[str], calls: Calls, *, progress: Progress | None = None) -> Counts:
    """Run the scripts of all letters; a job counts as done when its script answers `dead`.

    Raises:
        PartlyDone: Redis failed; the rest was not tried.
        Stopped: interrupted; of one batch it is not known whether it was done.
    """
    counts = Counts()
    try:
        _batches(client, job_ids, calls, counts, progress)
    except KeyboardInterrupt:
        raise Stopped(counts) from None
    return counts


def _batches(client: Redis, job_ids: Sequence[str], calls: Calls, counts: Counts, progress: Progress | None) -> None:
    for start in range(0, len(job_ids), BATCH):
        try:
            answers = run_many(client, list(calls(list(job_ids[start : start + BATCH]), counts)))
        except RedisError as error:
            raise PartlyDone(counts, error) from error
        failure = _count(answers, counts)
        if failure:
            raise PartlyDone(counts, failure) from failure
        if progress:
            progress(min(start + BATCH, len(job_ids)))


def _count(answers: list[Any], counts: Counts) -> RedisError | None:
    failure = None
    for answer in answers:
        if isinstance(answer, RedisError):
            failure = answer
        elif word(answer) == State.DEAD:
            counts.done += 1
        else:
            counts.refused[word(answer)] += 1
    return failure
