"""Mutants of a Python module: cosmic-ray's operators for comparisons and arithmetic, and our own for decisions.

What is drawn: a comparison or an operator is another; a condition always holds, or never; what a guard guards is left
out; a statement that does something is dropped, and so is a named argument; two arguments change places; a number is
one off, or, from ten on, ten times too large, too small, or nothing; a name in a text (a key, a header, a field) is
another; `min` is `max`. What no test can notice is left alone: docstrings, annotations (but not the bounds that they
carry for a model), what only a type checker reads, checks of what cannot be, and the words of an error.
"""

import ast
import copy
import re
from collections.abc import Iterator
from typing import Any, Final

import cosmic_ray.ast
import cosmic_ray.plugins

from mutation.mutant import Mutant, mutant

OPERATORS: Final = {
    "core/ReplaceComparisonOperator_Eq_NotEq": "another comparison",
    "core/ReplaceComparisonOperator_NotEq_Eq": "another comparison",
    "core/ReplaceComparisonOperator_Lt_LtE": "another comparison",
    "core/ReplaceComparisonOperator_Lt_GtE": "another comparison",
    "core/ReplaceComparisonOperator_LtE_Lt": "another comparison",
    "core/ReplaceComparisonOperator_LtE_Gt": "another comparison",
    "core/ReplaceComparisonOperator_Gt_GtE": "another comparison",
    "core/ReplaceComparisonOperator_Gt_LtE": "another comparison",
    "core/ReplaceComparisonOperator_GtE_Gt": "another comparison",
    "core/ReplaceComparisonOperator_GtE_Lt": "another comparison",
    "core/ReplaceComparisonOperator_Is_IsNot": "another comparison",
    "core/ReplaceComparisonOperator_IsNot_Is": "another comparison",
    "core/ReplaceBinaryOperator_Add_Sub": "another operator",
    "core/ReplaceBinaryOperator_Sub_Add": "another operator",
    "core/ReplaceBinaryOperator_Mul_Div": "another operator",
    "core/ReplaceBinaryOperator_Div_Mul": "another operator",
    "core/ReplaceBinaryOperator_FloorDiv_Mul": "another operator",
    "core/ReplaceBinaryOperator_Mod_Mul": "another operator",
    "core/ReplaceUnaryOperator_Delete_Not": "a negation is dropped",
    "core/ReplaceUnaryOperator_Delete_USub": "a sign is dropped",
    "core/ReplaceTrueWithFalse": "the other truth value",
    "core/ReplaceFalseWithTrue": "the other truth value",
    "core/ReplaceAndWithOr": "another operator",
    "core/ReplaceOrWithAnd": "another operator",
    "core/ReplaceBreakWithContinue": "another way out of a loop",
    "core/ReplaceContinueWithBreak": "another way out of a loop",
    "core/ZeroIterationForLoop": "a loop that does nothing",
}

OTHER_FUNCTION: Final = {
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "math.ceil": "math.floor",
    "math.floor": "math.ceil",
}

UNCHANGED_BY_A_SWAP: Final = {"max", "min", "isinstance", "math.isclose"}
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]*")
"""A text that is a name of something, and not words for a reader."""
CODECS: Final = {"ascii", "latin-1", "utf-8"}
"""Python finds them however their names are spelt."""


def mutants_of_python(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module; `path` is relative to the checkout."""
    tree = ast.parse(text)
    starts = _line_starts(text)
    quiet, loud = _never_run(tree, starts, text)
    arithmetic = _between_operands(tree, starts, text)
    for start, stop, after, what in [*_by_cosmic_ray(text, starts, arithmetic), *_decisions(tree, text, starts)]:
        silent = any(first <= start < last for first, last in quiet)
        heard = any(first <= start < last for first, last in loud)
        if (heard or not silent) and text[start:stop] != after:
            yield mutant(path, text, start, stop, after, what)


def _by_cosmic_ray(
    text: str, starts: list[int], arithmetic: list[tuple[int, int]]
) -> Iterator[tuple[int, int, str, str]]:
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(text)))
    for name, what in OPERATORS.items():
        operator = cosmic_ray.plugins.get_operator(name)()
        for node in nodes:
            for index, _ in enumerate(operator.mutation_positions(node)):
                # Operators change the node that they are given: it gets a copy, below the same parent.
                mutated = operator.mutate(copy.deepcopy(node, {id(node.parent): node.parent}), index)
                first, last = _at(node.start_pos, starts), _at(node.end_pos, starts)
                if "BinaryOperator" in name and not any(left <= first < right for left, right in arithmetic):
                    continue  # the star of a signature or of a call
                code = "" if mutated is None else mutated.get_code(include_prefix=False)
                ending = "\n" if text[first:last].endswith("\n") else ""
                yield first, last, code.strip() + ending, what


def _decisions(tree: ast.AST, text: str, starts: list[int]) -> Iterator[tuple[int, int, str, str]]:
    compared = _statuses(tree)
    for node in ast.walk(tree):
        yield from _statement(node, starts, text)
        yield from _condition(node, starts, text)
        match node:
            case ast.Call():
                yield from _call(node, starts, text)
            case ast.Constant():
                yield from _constant(node, starts, text, status=id(node) in compared)


def _statement(node: ast.AST, starts: list[int], text: str) -> Iterator[tuple[int, int, str, str]]:
    """One that does something is dropped."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            pass
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete() | ast.Raise():
            yield *_span(node, starts, text), "pass", "a statement is dropped"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield *_span(node, starts, text), "pass", "a statement is dropped"
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield *_span(node, starts, text), "return None", "nothing is returned"


def _condition(node: ast.AST, starts: list[int], text: str) -> Iterator[tuple[int, int, str, str]]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            yield *_span(test, starts, text), "True", "a condition that always holds"
            yield *_span(test, starts, text), "False", "a condition that never holds"
        case ast.comprehension(ifs=ifs):
            for one in ifs:
                yield *_span(one, starts, text), "True", "a condition that always holds"
        case ast.BoolOp(values=[*_, last]):
            only = text[slice(*_span(last, starts, text))]
            yield *_span(node, starts, text), only, "only the last condition is left"


def _call(node: ast.Call, starts: list[int], text: str) -> Iterator[tuple[int, int, str, str]]:
    for keyword in node.keywords:
        if keyword.arg is not None:
            start, stop = _span(keyword, starts, text)
            # With the comma after it, if there is one.
            rest = text[stop:].lstrip()
            stop += len(text[stop:]) - len(rest) + 1 if rest.startswith(",") else 0
            yield start, stop, "", "a named argument is left out"
    start, stop = _span(node.func, starts, text)
    called = text[start:stop]
    if called in OTHER_FUNCTION:
        yield start, stop, OTHER_FUNCTION[called], "the other function"
    match node.args:
        case [ast.Name() | ast.Attribute() as one, ast.Name() | ast.Attribute() as two, *_]:
            if called not in UNCHANGED_BY_A_SWAP and ast.dump(one) != ast.dump(two):
                (first, after_first), (second, last) = _span(one, starts, text), _span(two, starts, text)
                swapped = text[second:last] + text[after_first:second] + text[first:after_first]
                yield first, last, swapped, "two arguments have changed places"


def _constant(node: ast.Constant, starts: list[int], text: str, *, status: bool) -> Iterator[tuple[int, int, str, str]]:
    start, stop = _span(node, starts, text)
    match node.value:
        case bool():
            pass
        case int() | float() as value if text[start:stop].startswith(repr(value)[:1]):
            yield from _number(start, stop, value, status=status)
        case str() as value if NAME.fullmatch(value) and value not in CODECS and text[start + 1 : stop - 1] == value:
            # No part of an f-string, nor a raw one.
            yield start, stop, f"{text[start : stop - 1]}_{text[stop - 1]}", "another name"


def _number(start: int, stop: int, value: float, *, status: bool) -> Iterator[tuple[int, int, str, str]]:
    if abs(value) < 10:
        yield start, stop, repr(value + 1), "a number is one off"
        yield start, stop, repr(value - 1), "a number is one off"
        return
    smaller = value // 10 if isinstance(value, int) else value / 10
    for other in (value * 10, smaller, type(value)(0)):
        yield start, stop, repr(other), "a number of another size"
    if status:
        yield start, stop, repr(value + 1), "a number is one off"


def _statuses(tree: ast.AST) -> set[int]:
    """Numbers that something is compared with and that may be HTTP's: there, one off is another meaning."""
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare | ast.MatchValue)]
    return {
        id(one)
        for node in compared
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, int) and 100 <= one.value <= 600
    }


def _never_run(tree: ast.AST, starts: list[int], text: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What is not mutated, and what is all the same, though it stands within that: the bounds of a model's field."""
    quiet, loud = [], []
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(annotation=annotation):
                quiet.append(annotation)
                calls = (one for one in ast.walk(annotation) if isinstance(one, ast.Call))
                loud += [keyword.value for call in calls for keyword in call.keywords]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                every += [one for one in (node.args.vararg, node.args.kwarg) if one]
                quiet += [one.annotation for one in every if one.annotation]
                quiet += [node.returns] if node.returns else []
            case ast.Expr(value=ast.Constant(value=str())) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
                quiet.append(node)
            case ast.Call(func=ast.Name(id="dataclass" | "cast" | "TypeVar" | "ParamSpec")) | ast.Assert():
                quiet.append(node)
            case ast.Assign(value=ast.Call(func=ast.Attribute(attr="getLogger"))):
                quiet.append(node)
            case ast.Assign(value=ast.List() as names, targets=[ast.Name(id="__all__" | "__slots__")]):
                quiet.append(names)
            case ast.Call(func=ast.Name(id="zip"), keywords=keywords):
                quiet += [one for one in keywords if one.arg == "strict"]
            case ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
                quiet.append(node)
    return [_span(one, starts, text) for one in quiet], [_span(one, starts, text) for one in loud]


def _between_operands(tree: ast.AST, starts: list[int], text: str) -> list[tuple[int, int]]:
    """Where operators of arithmetic stand."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=left, right=right) | ast.AugAssign(target=left, value=right):
                found.append((_span(left, starts, text)[1], _span(right, starts, text)[0]))
    return found


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _at(position: tuple[int, int], starts: list[int]) -> int:
    line, column = position
    return starts[line - 1] + column


def _span(node: Any, starts: list[int], text: str) -> tuple[int, int]:
    """`ast` counts columns in bytes of UTF-8."""

    def at(line: int, column: int) -> int:
        whole = text[starts[line - 1] : starts[line]]
        return starts[line - 1] + len(whole.encode()[:column].decode())

    return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
