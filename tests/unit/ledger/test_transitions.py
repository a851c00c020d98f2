"""The legal transitions are told where people look for them."""

import re
from importlib.resources import files
from pathlib import Path

STATES = Path(__file__).parents[3] / "ops" / "docs" / "states.md"


def test_the_table_in_the_documentation_is_the_one_that_the_scripts_obey() -> None:
    """State by state."""
    life = (files("oppsync_worker.ledger") / "lua" / "life.lua").read_text("utf-8")
    (block,) = re.findall(r"local LEGAL = \{(.*?)\n\}", life, re.DOTALL)
    legal = {state: set(to.split()) for state, to in re.findall(r"(\w+) = '([^']*)'", block)}

    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|$", STATES.read_text("utf-8"), re.MULTILINE)
    told = {state: set(re.findall(r"`(\w+)`", to)) for state, to in rows}

    assert told == legal
