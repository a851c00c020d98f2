"""Walking through a place of the ledger (a sorted set of job ids) while others work on it.

By score, not by rank: a job that leaves or arrives while we look can neither hide another nor show one twice.
"""

from collections.abc import Iterator
from typing import Any, Final

from redis import Redis

PAGE: Final = 500
"""Ids per look: a round trip costs little, and Redis is never held up."""


def walk(
    client: Redis, place: str, *, after: int | None = None, before: int | None = None, page: int = PAGE
) -> Iterator[list[tuple[str, int]]]:
    """Ids and scores, oldest first; `after` and `before` are scores that are themselves left out."""
    low: str | float = f"({after}" if after is not None else "-inf"
    high = f"({before}" if before is not None else "+inf"
    # Ids at the score where the last page ended, which the next page begins with.
    seen: set[str] = set()
    while True:
        answer: Any = client.zrangebyscore(place, low, high, start=0, num=page + len(seen), withscores=True)
        rows = [(job_id.decode("utf-8", "replace"), float(score)) for job_id, score in answer]
        fresh = [(job_id, int(score)) for job_id, score in rows if job_id not in seen]
        if not fresh:
            return
        yield fresh
        last = rows[-1][1]
        if last != low:
            seen = set()
        seen |= {job_id for job_id, score in rows if score == last}
        low = last
