"""How long the jobs of a killed worker are nobody's."""

from oppsync_ops.prove.contender import Claim
from oppsync_ops.prove.recovery import Orphan, told

CLAIM = Claim("1", "job", "host:1")


def orphan(killed_at: float, found_at: float | None, *, doubtful: bool = False) -> Orphan:
    """A job that was in hand."""
    return Orphan(CLAIM, killed_at, doubtful, found_at)


def test_creates_that_were_being_sent_are_told_apart() -> None:
    """They must not run again."""
    found = told([orphan(0.0, 4.0), orphan(0.0, 8.0), orphan(1.0, 3.0, doubtful=True)], [], now=100.0)

    again, doubtful = found["running again"], found["create being sent, in doubt"]
    assert (again.jobs, again.never, again.median_s, again.most_s) == (2, 0, 6.0, 8.0)
    assert (doubtful.jobs, doubtful.most_s) == (1, 2.0)


def test_who_was_never_found_is_counted_and_has_no_time() -> None:
    """Nothing is made up for it."""
    found = told([orphan(0.0, None)], [], now=100.0)["running again"]

    assert (found.jobs, found.never, found.median_s, found.most_s) == (1, 1, None, None)


def test_an_outage_of_redis_in_between_is_said() -> None:
    """Nobody can take over what nobody can look up; one before or after is another matter."""
    during, before = orphan(10.0, 20.0), orphan(30.0, 40.0)

    found = told([during, before], [(15.0, 18.0), (41.0, 42.0)], now=100.0)

    assert found["running again, Redis away meanwhile"].jobs == 1
    assert found["running again"].jobs == 1
