"""Walking through a place that others work on."""

import pytest
from redis import Redis

from oppsync_ops.jobs.places import walk

PLACE = "oppsync:dead"


def ids(pages: list[list[tuple[str, int]]]) -> list[str]:
    """All ids of the pages."""
    return [job_id for page in pages for job_id, _ in page]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_jobs_of_the_same_moment_are_each_seen_once(ledger: Redis, page: int) -> None:
    """More of them than a page holds."""
    ledger.zadd(PLACE, {f"job-{number}": number // 5 for number in range(17)})

    found = ids(list(walk(ledger, PLACE, page=page)))

    assert sorted(found) == sorted(f"job-{number}" for number in range(17))
    assert len(found) == 17


def test_a_job_that_leaves_hides_no_other(ledger: Redis) -> None:
    """As it would if pages were counted by rank."""
    ledger.zadd(PLACE, {f"job-{number}": number for number in range(6)})
    found = []

    for page in walk(ledger, PLACE, page=2):
        found += [job_id for job_id, _ in page]
        ledger.zrem(PLACE, *[job_id for job_id, _ in page])

    assert found == [f"job-{number}" for number in range(6)]


def test_bounds_are_left_out(ledger: Redis) -> None:
    """After means later than, before means earlier than."""
    ledger.zadd(PLACE, {"a": 1, "b": 2, "c": 3})

    assert ids(list(walk(ledger, PLACE, after=1, before=3))) == ["b"]


def test_an_empty_place_has_no_pages(ledger: Redis) -> None:
    """Not even an empty one."""
    assert list(walk(ledger, PLACE)) == []
