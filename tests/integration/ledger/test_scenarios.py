"""What the scripts answer and store, case by case, to the last field, score and place in a list.

When a script changes on purpose, tell the cases anew and read the difference like code:

    PYTHONPATH=tests .venv/bin/python -m integration.ledger.scenarios
    git diff tests/integration/ledger/scenarios/told
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import redis

from integration.ledger.scenarios.cases import CHAPTERS, cases, golden
from integration.ledger.scenarios.coverage import marked, outcomes
from integration.ledger.scenarios.world import SEEN, World, plain
from oppsync_worker.ledger import assembly
from oppsync_worker.ledger.assembly import load

FOLDER_OF_SCRIPTS = Path(assembly.__file__).parent / "lua"

TOLD = {f"{chapter}/{name}": text for chapter in CHAPTERS for name, text in golden(chapter).items()}


@pytest.fixture(autouse=True)
def _quick(ledger: redis.Redis) -> Iterator[None]:
    """A disk that is slow must not decide how long some thousand calls take."""
    ledger.config_set("appendfsync", "no")
    yield
    ledger.config_set("appendfsync", "always")


@pytest.mark.parametrize("name", cases())
def test_a_case_is_answered_and_stored_as_it_is_told(name: str, ledger: redis.Redis) -> None:
    """Line by line; a case that nobody has told yet fails."""
    case = cases()[name]
    world = World(ledger)
    case(world)
    said = f"# {(case.__doc__ or '').strip()}"
    assert "\n".join([said, *world.lines]) == TOLD.get(name)


def test_nothing_is_told_of_cases_that_are_gone() -> None:
    """Or nobody would look at it any more."""
    assert TOLD.keys() == cases().keys()


def test_no_case_tells_of_a_script_that_failed() -> None:
    """Such a case plays something else than it says; but for the one that is about it."""
    failed = [name for name, text in TOLD.items() if "\n= error: " in text]
    assert failed == ["settling/an_end_that_cannot_follow_is_refused"]


@pytest.mark.parametrize("script", ["claim", "begin", "settle", "late"])
def test_scripts_are_composed_as_the_product_does(script: str) -> None:
    """The clock is all that differs."""
    assert plain(script) == load(script).text


ELSEWHERE = {"undo", "rights"}
"""Files with tests of their own: a script is aborted at each of its writes, and it is asked what it may do."""

UNSEEN = {
    "looked.lua: to == 'dead' does not hold": "no look-up ends anywhere else",
    "order.lua: true does not hold": "a loop that is left by return",
    "slots.lua: job.slot_at holds": "who stands in line has given its slot back before; a second safeguard",
}
"""Outcomes of conditions that no case comes to, and why."""


def test_cases_come_to_both_outcomes_of_every_condition(ledger: redis.Redis) -> None:
    """But for those that are named with a reason."""
    seen: set[str] = set()
    for case in cases().values():
        case(World(ledger, marked))
        # Where a function is built when it is needed, its name is asked for (`assembly.FIRST`).
        noted = cast("set[bytes]", ledger.smembers(SEEN))
        seen |= {re.sub(r"rare\('(\w+)'\)\(", r"\1(", one.decode()) for one in noted}
    files = sorted(path for path in FOLDER_OF_SCRIPTS.glob("*.lua") if path.stem not in ELSEWHERE)
    wanted = {one for path in files for one in outcomes(path.stem, path.read_text("utf-8"))}
    unseen = {re.sub(r":\d+: ", ": ", one) for one in wanted - seen}
    assert unseen - UNSEEN.keys() == set(), "\n".join(sorted(unseen - UNSEEN.keys()))
    assert UNSEEN.keys() - unseen == set()
