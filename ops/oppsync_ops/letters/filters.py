"""Which dead letters are meant, oldest first. A letter that leaves while we look is simply not among them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from redis import Redis

from oppsync_ops.jobs.moments import Bound
from oppsync_ops.jobs.places import PAGE, walk
from oppsync_ops.letters.letter import Letter, read_letters
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause
from oppsync_worker.ledger import keys

SHOWN: Final = 20
"""Letters that are shown of a selection that is acted on; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a letter must be like; None means anything. With `job_ids`, only those are looked at."""

    job_ids: tuple[str, ...] = ()
    instance: str | None = None
    kind: Kind | None = None
    cause: Cause | None = None
    older_than: Bound | None = None
    newer_than: Bound | None = None
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it down."""
        return self == Filter()

    def takes(self, letter: Letter) -> bool:
        """Whether the letter is of the wanted instance, kind and cause."""
        return (
            (self.instance is None or letter.instance == self.instance)
            and (self.kind is None or letter.kind == self.kind)
            and (self.cause is None or letter.cause == self.cause)
        )

    def before(self, now: int) -> int:
        """Letters buried at or after this time are not meant: nothing that is buried after the look ever is."""
        return min(self.older_than.ms(now), now + 1) if self.older_than else now + 1


def letters(client: Redis, wanted: Filter, *, now: int) -> Iterator[Letter]:
    """The letters that a filter takes."""
    return islice(_matching(client, wanted, now), wanted.limit)


def _matching(client: Redis, wanted: Filter, now: int) -> Iterator[Letter]:
    after = wanted.newer_than.ms(now) if wanted.newer_than else None
    before = wanted.before(now)
    if wanted.job_ids:
        for start in range(0, len(wanted.job_ids), PAGE):
            for letter in read_letters(client, dict.fromkeys(wanted.job_ids[start : start + PAGE])):
                buried = letter.buried_at or 0
                if wanted.takes(letter) and buried < before and (after is None or buried > after):
                    yield letter
        return
    for page in walk(client, keys.DEAD, after=after, before=before):
        yield from filter(wanted.takes, read_letters(client, (job_id for job_id, _ in page)))


@dataclass(slots=True)
class Selection:
    """Letters that are about to be acted on: every id, how many of each kind there are, and the first few in full."""

    job_ids: list[str] = field(default_factory=list)
    buried_at: dict[str, int | None] = field(default_factory=dict)
    """When each of them was buried, as it was seen: one that was buried again since is another letter."""
    tally: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(instance, cause) -> letters; both may be empty for raw bytes."""
    sample: list[Letter] = field(default_factory=list)

    @classmethod
    def of(cls, found: Iterator[Letter]) -> "Selection":
        """Gather them."""
        selection = cls()
        for letter in found:
            selection.job_ids.append(letter.job_id)
            selection.buried_at[letter.job_id] = letter.buried_at
            selection.tally[letter.instance or "", letter.cause] += 1
            if len(selection.sample) < SHOWN:
                selection.sample.append(letter)
        return selection
