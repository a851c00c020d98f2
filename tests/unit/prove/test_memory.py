"""What a worker weighs over its life."""

import os

import pytest

from oppsync_ops.prove.memory import MIB, Life, growth, resident_bytes


def life(name: str, weights_mib: list[float], *, every_s: float = 2.0) -> Life:
    """A life weighed at even intervals."""
    return Life(name, 1, [(n * every_s, int(weight * MIB)) for n, weight in enumerate(weights_mib)])


def test_a_leak_shows_as_a_slope_after_the_warm_up() -> None:
    """Two MiB more every two seconds; what importing weighs is left out."""
    found = growth([life("w", [1.0, 50.0, *(60.0 + 2 * n for n in range(8))])])

    assert found is not None
    assert (found.start_mib, found.end_mib) == (60.0, 74.0)
    assert found.mib_per_minute == pytest.approx(60.0)
    assert found.curve[:3] == ((0.0, 1.0), (2.0, 50.0), (4.0, 60.0))


def test_the_longest_life_counts() -> None:
    """Short ones are mostly warm-up."""
    found = growth([life("short", [1.0, 2.0, 3.0]), life("long", [5.0] * 20)])

    assert found is not None
    assert found.worker == "long"
    assert found.mib_per_minute == 0.0


def test_too_little_is_no_life() -> None:
    """Nothing is said about it."""
    assert growth([]) is None
    assert growth([life("w", [1.0, 2.0])]) is None


def test_weights_are_at_least_a_second_apart() -> None:
    """However often somebody looks; a weight that could not be taken is none."""
    one = Life("w", 1)

    for at_s in (0.0, 0.3, 0.9, 1.1, 5.0):
        one.add(at_s, 7)
    one.add(9.0, None)

    assert [at_s for at_s, _ in one.weights] == [0.0, 1.1, 5.0]
    assert one.seconds == 5.0


def test_this_process_weighs_something() -> None:
    """And one that is not there, nothing."""
    assert (resident_bytes(os.getpid()) or 0) > MIB
    assert resident_bytes(2**22 + 1) is None
