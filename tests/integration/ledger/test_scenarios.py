"""What the scripts answer and store, case by case, to the last field, score and place in a list.

When a script changes on purpose, tell the cases anew and read the difference like code:

    PYTHONPATH=tests .venv/bin/python -m integration.ledger.scenarios
    git diff tests/integration/ledger/scenarios/told
"""

import pytest
import redis

from integration.ledger.scenarios.cases import CHAPTERS, cases, golden
from integration.ledger.scenarios.world import World, plain
from oppsync_worker.ledger.scripts import load

TOLD = {f"{chapter}/{name}": text for chapter in CHAPTERS for name, text in golden(chapter).items()}


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


@pytest.mark.parametrize("script", ["claim", "begin", "settle", "late"])
def test_scripts_are_composed_as_the_product_does(script: str) -> None:
    """The clock is all that differs."""
    assert plain(script) == load(script).text
