"""Which outcomes of the scripts' conditions a run has come to: each `if`, `elseif` and `while` can hold, or not."""

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Final

from luaparser import ast, astnodes

from integration.ledger.scenarios.world import SEEN, compose
from oppsync_worker.ledger.assembly import AROUND, Script

_CONDITIONS: Final = (astnodes.If, astnodes.ElseIf, astnodes.While, astnodes.Repeat)

_BEFORE: Final = """
local test_known = {}
local function test_seen(place, value)
  local said = place .. (value and ' holds' or ' does not hold')
  if not test_known[said] then
    test_known[said] = true
    redis.call('SADD', '<seen>', said)
  end
  return value
end
""".replace("<seen>", SEEN)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _CONDITIONS):
            start, stop = node.test.start_char, node.test.stop_char + 1
            # The parser leaves out the first name of what is called.
            while text[start - 1].isalnum() or text[start - 1] == "_":
                start -= 1
            yield start, stop


@cache
def places(part: str, text: str) -> dict[tuple[int, int], str]:
    """Where conditions stand in a file, and what they are called: file, line and words."""
    found = {}
    for start, stop in _spans(text):
        line = text.count("\n", 0, start) + 1
        words = " ".join(text[start:stop].split()).replace("redis.call(", "call(")
        found[start, stop] = f"{part}.lua:{line}: {words}"
    return found


def _marked(part: str, text: str) -> str:
    if part == AROUND:
        return text
    changes: list[tuple[int, int, str]] = []
    for (start, stop), place in places(part, text).items():
        changes += [(start, start - stop, f"test_seen([=[{place}]=], ("), (stop, 0, "))")]
    for at, _, words in sorted(changes, key=lambda change: (-change[0], -change[1])):
        text = text[:at] + words + text[at:]
    return text


@cache
def marked(name: str) -> Script:
    """A script that notes which outcomes its conditions come to."""
    text = _BEFORE + compose(name, _marked).text
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def outcomes(part: str, text: str) -> set[str]:
    """All that could be seen of a file."""
    return {place + end for place in places(part, text).values() for end in (" holds", " does not hold")}
