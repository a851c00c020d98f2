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
from oppsync_worker.ledger import scripts
from oppsync_worker.ledger.scripts import load

FOLDER_OF_SCRIPTS = Path(scripts.__file__).parent / "lua"

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


@pytest.mark.parametrize("script", ["claim", "begin", "settle", "late"])
def test_scripts_are_composed_as_the_product_does(script: str) -> None:
    """The clock is all that differs."""
    assert plain(script) == load(script).text


ELSEWHERE = {"undo", "rights", "contract"}
"""Files with tests of their own: a script is aborted at each of its writes, it is asked what it may do, and drawn
messages are held against the contract itself (`test_filing`)."""

UNSEEN = {
    "begin.lua: first and call('EXISTS', job_key(first)) == 0 holds": "held by test_same_id",
    "begin.lua: other.ref == ref and other.state and not ENDED[other.state] does not hold": "held by test_same_id",
    "claim.lua: call[3].__type__ ~= nil holds": "held by test_filing",
    "claim.lua: encoding and encoding ~= cjson.null and encoding ~= 'utf-8' holds": "held by test_filing",
    "ground.lua: not known or known == '' or (of or '') == '' holds": "whose job is gone, that key is free",
    "recall.lua: a.attempts holds": "held by test_recalled_doubts",
    "recall.lua: differs(first, a.kind, a.instance, a.digest) does not hold": "held by test_recalling",
    "recall.lua: first[1] == id or tonumber(first[2] or 1) > 0 does not hold": "held by test_recalling",
    "recall.lua: not known and (a.foreign or (mine and own == '0')) holds": "held by test_recalling",
    "recall.lua: number holds": "held by test_recalling",
    "recall.lua: other ~= id and of and tonumber(at or 0) > sent_at holds": "held by test_recalling",
    "recall.lua: sent and may_exist and a.kind == CREATE does not hold": "held by test_recalling",
    "recall.lua: sent and may_exist and a.kind == CREATE holds": "held by test_recalling",
    "recall.lua: standing == 'succeeded' or (sent and not may_exist) does not hold": "held by test_recalling",
    "recall.lua: standing == 'succeeded' or (sent and not may_exist) holds": "held by test_recalling",
    "recall.lua: to ~= 'succeeded' does not hold": "held by test_recalling",
    "recall.lua: to ~= 'succeeded' holds": "held by test_recalling",
    "replay.lua: call('HGET', job_key(id), 'asks') holds": "held by test_same_id",
    "resend.lua: (ARGV[3] or '') ~= '' and (tonumber(attempts or 0) ~= tonumber(ARGV[3]) or tonumber(replays or 0) ~= tonumber(ARGV[4]) or (ARGV[5] == '1' and doubt ~= 'person')) holds": "held by test_doubts",  # noqa: E501 - the script's own words
    "restore.lua: own == '0' does not hold": "a job of ours is known before it can lose its worker",
    "sweep.lua: state == 'succeeded' and job.kind does not hold": "held by test_sweep",
    "begin.lua: job.record does not hold": "an update that was sent has a record; without one its order would be lost",
    "looked.lua: a.attempt does not hold": "every look-up is noted; the script need not know that",
    "looked.lua: to == 'dead' does not hold": "no look-up ends anywhere else",
    "order.lua: true does not hold": "a loop that is left by return",
    "promote.lua: left <= 0 holds": "of two instances, in an order that Redis draws, the first takes all",
    "slots.lua: job.slot_at holds": "who stands in line has given its slot back before; a second safeguard",
    "sweep.lua: job.record does not hold": "as in begin.lua",
}
"""Outcomes of conditions that no case comes to, and why."""


def test_cases_come_to_both_outcomes_of_every_condition(ledger: redis.Redis) -> None:
    """But for those that are named with a reason."""
    seen: set[str] = set()
    for case in cases().values():
        case(World(ledger, marked))
        # Where a function is built when it is needed, its name is asked for (`scripts.FIRST`).
        noted = cast("set[bytes]", ledger.smembers(SEEN))
        seen |= {re.sub(r"rare\('(\w+)'\)\(", r"\1(", one.decode()) for one in noted}
    files = sorted(path for path in FOLDER_OF_SCRIPTS.glob("*.lua") if path.stem not in ELSEWHERE)
    wanted = {one for path in files for one in outcomes(path.stem, path.read_text("utf-8"))}
    unseen = {re.sub(r":\d+: ", ": ", one) for one in wanted - seen}
    assert unseen - UNSEEN.keys() == set(), "\n".join(sorted(unseen - UNSEEN.keys()))
    assert UNSEEN.keys() - unseen == set()
