"""Mutants of a Lua script, over its syntax tree.

What is drawn: a statement that does something is dropped; a guard is dropped, always true, or never; a comparison is
flipped or moved by one; `and` and `or` are swapped; a number is one off; a time is a thousand times too short; a Redis
command takes the other end of its list, or loses its condition; a last argument is left out; a field has another name.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from luaparser import ast, astnodes

from mutation.mutant import Mutant, mutant

COMPARISONS: Final = {
    astnodes.EqToOp: ("==", ("~=",)),
    astnodes.NotEqToOp: ("~=", ("==",)),
    astnodes.LessThanOp: ("<", ("<=", ">=")),
    astnodes.LessOrEqThanOp: ("<=", ("<", ">")),
    astnodes.GreaterThanOp: (">", (">=", "<=")),
    astnodes.GreaterOrEqThanOp: (">=", (">", "<")),
    astnodes.AndLoOp: ("and", ("or",)),
    astnodes.OrLoOp: ("or", ("and",)),
    astnodes.AddOp: ("+", ("-",)),
    astnodes.SubOp: ("-", ("+",)),
    astnodes.MultOp: ("*", ("/",)),
    astnodes.FloatDivOp: ("/", ("*",)),
}

OTHER_COMMAND: Final = {
    "LPUSH": "RPUSH",
    "RPUSH": "LPUSH",
    "LPOP": "RPOP",
    "RPOP": "LPOP",
    "HSET": "HSETNX",
    "HSETNX": "HSET",
    "ZRANGE": "ZREVRANGE",
    "EX": "PX",
    "PX": "EX",
    "-inf": "+inf",
}
"""Words of Redis, and what could be written in their place by mistake."""

CONDITIONS: Final = {"NX", "XX"}

OTHER_FUNCTION: Final = {"math.max": "math.min", "math.min": "math.max", "math.ceil": "math.floor"}


def mutants_of_lua(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a script; `path` is relative to the checkout."""

    def put(start: int, stop: int, after: str, what: str) -> Mutant:
        return mutant(path, text, start, stop, after, what)

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, astnodes.Block):
            yield from _statements(node, text, put)
        elif isinstance(node, astnodes.If | astnodes.ElseIf):
            start, stop = _span(node.test, text)
            yield put(start, stop, "true", "a guard that always holds")
            yield put(start, stop, "false", "a guard that never holds")
        elif type(node) in COMPARISONS:
            yield from _operators(node, text, put)
        elif isinstance(node, astnodes.ULNotOp):
            start, stop = _span(node, text)
            yield put(start, start + len("not"), "", "a negation is dropped")
        elif isinstance(node, astnodes.Number):
            yield from _numbers(node, text, put)
        elif isinstance(node, astnodes.Call):
            yield from _calls(node, text, put)
        elif isinstance(node, astnodes.TrueExpr | astnodes.FalseExpr):
            start, stop = _span(node, text)
            other = "false" if isinstance(node, astnodes.TrueExpr) else "true"
            yield put(start, stop, other, "the other truth value")


def _span(node: Any, text: str) -> tuple[int, int]:
    start, stop = node.start_char, node.stop_char + 1
    if isinstance(node, astnodes.Call | astnodes.Invoke | astnodes.Assign):
        # The parser leaves out the first name of what is called or assigned to.
        while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            start -= 1
    return start, stop


def _statements(block: Any, text: str, put: Callable[..., Mutant]) -> Iterator[Mutant]:
    for node in block.body:
        if node.start_char is None:
            continue
        start, stop = _span(node, text)
        if isinstance(node, astnodes.Call | astnodes.Invoke | astnodes.Assign):
            yield put(start, stop, "", "a statement is dropped")
        elif isinstance(node, astnodes.If):
            yield put(start, stop, "", "a guard and what it guards are dropped")
        elif isinstance(node, astnodes.Return) and text[start:stop].strip() != "return" and block.body[-1] is node:
            yield put(start, stop, "return", "nothing is returned")


def _operators(node: Any, text: str, put: Callable[..., Mutant]) -> Iterator[Mutant]:
    word, others = COMPARISONS[type(node)]
    left, right = node.left, node.right
    if left.stop_char is None or right.start_char is None:
        return
    at = text.find(word, left.stop_char + 1, right.start_char)
    if at >= 0:
        for other in others:
            yield put(at, at + len(word), other, "another operator")


def _numbers(node: Any, text: str, put: Callable[..., Mutant]) -> Iterator[Mutant]:
    start, stop = _span(node, text)
    if text[max(0, start - 5) : start] == "ARGV[":
        return  # which argument is which is held by the Python side and its types; each mutant would only crash
    value = float(node.n)
    plus = format(value + 1, "g") if abs(value) < 1e6 else format(value / 10, "g")
    yield put(start, stop, plus, "a number is one off")
    if value >= 1000:
        yield put(start, stop, format(value / 1000, "g"), "a time is a thousand times too short")
    if value == 1:
        yield put(start, stop, "0", "a number is one off")


def _calls(node: Any, text: str, put: Callable[..., Mutant]) -> Iterator[Mutant]:
    start, _ = _span(node, text)
    called = text[start : text.find("(", start)].strip()
    if called in OTHER_FUNCTION:
        yield put(start, start + len(called), OTHER_FUNCTION[called], "the other function")
    for one in node.args:
        if not isinstance(one, astnodes.String):
            continue
        first, stop = _span(one, text)
        word = text[first + 1 : stop - 1]
        if word in OTHER_COMMAND:
            yield put(first + 1, stop - 1, OTHER_COMMAND[word], "the other command")
        elif word in CONDITIONS:
            # The argument and the comma after it.
            comma = text.find(",", stop)
            yield put(first, comma + 1, "", "a condition is dropped")
        elif called == "redis.call" and one is not node.args[0] and word and word == word.lower() and len(word) > 1:
            yield put(first + 1, stop - 1, word + "_", "another name")
    if called not in {"redis.call", "unpack", "tonumber", "int", "ipairs", "type"} and len(node.args) > 1:
        last, before = node.args[-1], node.args[-2]
        if last.start_char is not None and before.stop_char is not None:
            yield put(before.stop_char + 1, last.stop_char + 1, "", "the last argument is left out")
