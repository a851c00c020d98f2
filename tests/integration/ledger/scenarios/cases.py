"""Which cases there are: functions that play something on a `World`, told in a file of the same name."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from integration.ledger.scenarios.world import World

FOLDER: Final = Path(__file__).parent / "told"
CHAPTERS: Final = (
    "beginning",
    "settling",
    "claiming",
    "slots",
    "doubts",
    "operating",
    "mending",
    "meddling",
    "recalling",
    "foreign",
)
Case = Callable[[World], None]


def cases() -> dict[str, Case]:
    """By chapter and name, such as `settling/a_stale_claim_changes_nothing`."""
    found = {}
    for chapter in CHAPTERS:
        module = import_module(f"integration.ledger.scenarios.{chapter}")
        for name, one in vars(module).items():
            if getattr(one, "__module__", "") == module.__name__ and callable(one) and not name.startswith("_"):
                found[f"{chapter}/{name}"] = one
    return found


def golden(chapter: str) -> dict[str, str]:
    """What the cases of a chapter have told when somebody looked at it last."""
    path = FOLDER / f"{chapter}.txt"
    parts = path.read_text("utf-8").split("\n=== ") if path.exists() else [""]
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts[1:])}
