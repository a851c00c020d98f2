"""Mutants of a Python module: cosmic-ray's operators, and two that it lacks.

Docstrings, annotations and what only a type checker reads are left alone: no test can notice those.
"""

import ast
import copy
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
    "core/AddNot": "a negation too many",
    "core/NumberReplacer": "a number is one off",
    "core/ZeroIterationForLoop": "a loop that does nothing",
}


def mutants_of_python(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module; `path` is relative to the checkout."""
    quiet = _never_run(text)
    starts = _line_starts(text)
    for start, stop, after, what in [*_by_cosmic_ray(text, starts), *_dropped(text, starts)]:
        if not any(first <= start < last for first, last in quiet) and text[start:stop] != after:
            yield mutant(path, text, start, stop, after, what)


def _by_cosmic_ray(text: str, starts: list[int]) -> Iterator[tuple[int, int, str, str]]:
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(text)))
    for name, what in OPERATORS.items():
        operator = cosmic_ray.plugins.get_operator(name)()
        for node in nodes:
            for index, _ in enumerate(operator.mutation_positions(node)):
                # Operators change the node that they are given: it gets a copy, below the same parent.
                mutated = operator.mutate(copy.deepcopy(node, {id(node.parent): node.parent}), index)
                first, last = _at(node.start_pos, starts), _at(node.end_pos, starts)
                code = "" if mutated is None else mutated.get_code(include_prefix=False)
                ending = "\n" if text[first:last].endswith("\n") else ""
                yield first, last, code.strip() + ending, what


def _dropped(text: str, starts: list[int]) -> Iterator[tuple[int, int, str, str]]:
    """Statements that do something, and named arguments."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.AugAssign() | ast.Delete():
                yield *_span(node, starts, text), "pass", "a statement is dropped"
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
                yield *_span(node, starts, text), "pass", "a statement is dropped"
            case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
                yield *_span(node, starts, text), "return None", "nothing is returned"
            case ast.Call(keywords=keywords):
                for keyword in keywords:
                    if keyword.arg is not None:
                        start, stop = _span(keyword, starts, text)
                        # With the comma after it, if there is one.
                        rest = text[stop:].lstrip()
                        stop += len(text[stop:]) - len(rest) + 1 if rest.startswith(",") else 0
                        yield start, stop, "", "a named argument is left out"


def _never_run(text: str) -> list[tuple[int, int]]:
    """Annotations, docstrings, `if TYPE_CHECKING`, and texts of errors."""
    starts, found = _line_starts(text), []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.AnnAssign(annotation=annotation):
                found.append(_span(annotation, starts, text))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                found += [_span(one.annotation, starts, text) for one in every if one.annotation]
                found += [_span(node.returns, starts, text)] if node.returns else []
            case ast.Expr(value=ast.Constant(value=str())):
                found.append(_span(node, starts, text))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                found.append(_span(node, starts, text))
            case ast.Call(func=ast.Name(id="dataclass")):
                found.append(_span(node, starts, text))
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
