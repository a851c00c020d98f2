"""The walks that are kept: which, how long, and what came of each step when it was looked at last.

A change that is meant to change what the ledger does changes them too. `python -m integration.ledger.walks --write DIR`
(with `tests` on the path) writes every step with its answer and all that Redis holds; written before and after the
change, the two folders show in a diff what has become different. When that is as it should be, `--accept` keeps it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import redis

from integration.ledger.walks.clockwork import Clockwork
from integration.ledger.walks.walking import Step, Walk

SEEDS: Final = (
    *(
        44,
        54,
        94,
        115,
        118,
        127,
        128,
        140,
        220,
        251,
        253,
        295,
        344,
        353,
        405,
        451,
        501,
        527,
        536,
        559,
        563,
        574,
        581,
        593,
    ),
    *(596, 680, 691, 697, 707, 712, 720, 781, 805, 807, 839, 924, 949, 978, 980, 999),
)
"""Of the first thousand those that go through the most conditions of the scripts, true and false."""
STEPS: Final = 120
FILE: Final = Path(__file__).with_name("accepted.txt")


def accepted() -> Mapping[int, list[str]]:
    """The digests of each walk's steps."""
    lines = (line.split() for line in FILE.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return {int(words[0]): words[1:] for words in lines}


def digest(step: Step) -> str:
    """Of what was called, what was answered, and what Redis holds."""
    return hashlib.sha256(f"{step.what}\n{step.answer}\n{step.held}".encode("utf-8", "backslashreplace")).hexdigest()[
        :5
    ]


def walk(seed: int, client: redis.Redis) -> Iterator[Step]:
    """One walk, on an empty Redis."""
    return Walk(seed, Clockwork(client)).steps(STEPS)
