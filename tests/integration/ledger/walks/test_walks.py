"""Whatever a script does, to the last field and millisecond, it does as it was looked at last (see `accepted.py`)."""

import difflib
from typing import Final

import pytest
import redis

from integration.ledger.walks.accepted import SEEDS, STEPS, accepted, digest, walk

AT_ONCE: Final = 10


@pytest.mark.parametrize("first", range(0, len(SEEDS), AT_ONCE))
def test_every_step_comes_to_what_was_accepted(ledger: redis.Redis, first: int) -> None:
    """Answers and all that Redis holds, on a clock of the test's own."""
    ledger.config_set("appendfsync", "no")
    try:
        for seed in SEEDS[first : first + AT_ONCE]:
            follow(seed, ledger)
    finally:
        ledger.config_set("appendfsync", "always")


def follow(seed: int, ledger: redis.Redis) -> None:
    """One walk; stops at the first step that comes to something else."""
    expected, before = accepted()[seed], ""
    seen = 0
    for number, step in enumerate(walk(seed, ledger)):
        seen = number + 1
        if digest(step) != (expected[number] if number < len(expected) else ""):
            change = difflib.unified_diff(
                before.splitlines(), step.held.splitlines(), "before", "after", lineterm="", n=1
            )
            told = "\n".join(list(change)[:120])
            pytest.fail(
                f"walk {seed}, step {step.number} comes to something else than was accepted. Now:\n{step.what}\n"
                f"-> {step.answer}\n{told}",
                pytrace=False,
            )
        before = step.held
    assert seen == len(expected) >= STEPS, f"walk {seed} has {seen} steps instead of {len(expected)}"
