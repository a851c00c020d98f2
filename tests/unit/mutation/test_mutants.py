"""Mutants are small faults that can be run: everywhere in the sources, and each under a name of its own."""

import ast as python_ast
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from luaparser import ast as lua_ast

from mutation.__main__ import attempt
from mutation.lua import mutants_of_lua
from mutation.python import mutants_of_python
from mutation.targets import ROOT, Target, judged, mutants_of, targets

LUA = """
local function late(at, now)
  if at > now and not done then redis.call('ZADD', key, 'NX', at, id) end
  redis.call('PEXPIRE', key, 60000)
  return math.max(0, at - now)
end
"""

PYTHON = '''
def late(at: int | None, now: int, *, most: "int" = 5) -> int:
    """At most 1 day."""
    if at is None or at > now:
        remember(now, seconds=60 * 1000)
    if now > most: return table["late"]
    if status == 401: give(most, now)
    both = zip(at, now, strict=True)
    raise AssertionError("cannot be")
    return at - min(now, most)

class Table(Model):
    requests: Annotated[int, Field(ge=0, le=900)] = 45
'''


@pytest.mark.parametrize("target", targets().values(), ids=lambda target: target.name)
def test_a_target_has_files_and_tests_that_are_there(target: Target) -> None:
    """Or a part that was renamed would be mutated no more."""
    assert target.paths()
    assert all(stage for stage in target.stages)


@pytest.mark.parametrize("path", [path for path in targets()["ledger"].paths() if path.endswith(".lua")])
def test_every_lua_mutant_can_be_parsed(path: str) -> None:
    """One that Redis refuses to load would count as noticed, and tell nothing."""
    text = (ROOT / path).read_text("utf-8")
    found = list(mutants_of(path))
    for one in found[:: max(1, len(found) // 12)]:
        changed = one.apply(text)
        assert changed != text
        lua_ast.parse(changed)


@pytest.mark.parametrize(
    "path",
    sorted({path for one in targets().values() for path in one.paths() if path.endswith(".py")}),
)
def test_every_python_mutant_can_be_parsed(path: str) -> None:
    """The same for Python."""
    text = (ROOT / path).read_text("utf-8")
    found = list(mutants_of(path))
    for one in found[:: max(1, len(found) // 20)]:
        changed = one.apply(text)
        assert changed != text
        python_ast.parse(changed)


def test_the_faults_of_a_script() -> None:
    """What an engineer would fear of these lines."""
    drawn = {" ".join(one.apply(LUA).split()) for one in mutants_of_lua("x.lua", LUA)}
    whole = " ".join(LUA.split())

    for before, after in (
        ("at > now", "at >= now"),
        ("at > now", "at <= now"),
        ("now and not", "now or not"),
        ("and not done", "and done"),
        ("key, 'NX', at", "key, at"),
        ("60000", "60"),
        ("math.max", "math.min"),
        ("at - now", "at + now"),
        ("redis.call('PEXPIRE', key, 60000) ", ""),
        ("if at > now and not done then", "if true then"),
        ("if at > now and not done then", "if false then"),
        ("return math.max(0, at - now)", "return"),
    ):
        expected = " ".join(whole.replace(before, after, 1).split())
        assert expected in {" ".join(one.split()) for one in drawn}, (before, after)


def test_the_faults_of_a_module() -> None:
    """What an engineer would fear of these lines: a condition, a unit, an argument, a bound."""
    drawn = [one.apply(PYTHON) for one in mutants_of_python("x.py", PYTHON)]

    for before, after in (
        ("at > now", "at >= now"),
        ("None or at", "None and at"),
        ("is None", "is not None"),
        ("at is None or at > now", "True"),
        ("at is None or at > now", "False"),
        ("at is None or at > now", "at > now"),
        ("if now > most", "if False"),
        ("60 * 1000", "60 / 1000"),
        ("1000", "100"),
        ("1000", "10000"),
        ("1000", "0"),
        ("401", "402"),
        ("= 5", "= 6"),
        ("seconds=60 * 1000", ""),
        ("most, now", "now, most"),
        ('"late"', '"late_"'),
        ("remember(now, seconds=60 * 1000)", "pass"),
        ("return at - min(now, most)", "return None"),
        ("min(now, most)", "max(now, most)"),
        ("le=900", "le=90"),
        ("= 45", "= 450"),
    ):
        assert PYTHON.replace(before, after, 1) in drawn, (before, after)


def test_nothing_is_a_fault_that_no_test_could_notice() -> None:
    """Types, docstrings, and checks of what cannot be stay as they are."""
    kept = (
        '"""At most 1 day."""',
        'at: int | None, now: int, *, most: "int"',
        "strict=True",
        'AssertionError("cannot be")',
    )
    for one in mutants_of_python("x.py", PYTHON):
        assert all(part in one.apply(PYTHON) for part in kept), str(one)


@pytest.mark.parametrize("name", ["policy", "contract"])
def test_every_mutant_of_a_target_has_its_own_name(name: str) -> None:
    """It is tried again by its name, and judged by it."""
    names = Counter(one.name for one in targets()[name].mutants())

    assert [one for one, count in names.items() if count > 1] == []


def test_a_judgement_is_of_a_mutant_that_there_is() -> None:
    """A line that has changed is judged anew."""
    if not judged():
        return
    there = {one.name for target in targets().values() for one in target.mutants()}

    assert sorted(set(judged()) - there) == []


@pytest.mark.parametrize(
    ("codes", "end"),
    [
        ([0, 0], "survived"),
        ([0, 5], "survived"),
        ([1], "noticed"),
        ([0, 1], "noticed"),
        ([2], "noticed"),
        ([None], "noticed"),
        ([-11], "noticed"),
        ([70], "noticed"),
    ],
    ids=str,
)
def test_a_fault_is_noticed_by_any_end_of_a_run_but_a_good_one(codes: list[int | None], end: str) -> None:
    """A test that failed, a run that does not end, an interpreter that the fault takes with it."""
    one = next(mutants_of("worker/oppsync_worker/policy/backoff.py"))
    left, taken_back = iter(codes), []
    box: Any = SimpleNamespace(
        put=lambda _: None,
        take_back=lambda mutant, _: taken_back.append(mutant),
        test=lambda _, *, within_s: (next(left), f"after {within_s} s"),
    )
    target = Target("policy", (), (("one",), ("two",)))

    result = attempt(target, one, box, {("one",): 1.0, ("two",): 2.0}, {})

    assert result.end == end
    assert list(left) == []
    assert taken_back == [one]
