"""A draft, the defaults and the contract into a job, or into everything that is wrong with the line."""

import json
from collections.abc import Mapping
from typing import Any, Final

from oppsync.files.amounts import DecimalMark
from oppsync.files.cells import conversions
from oppsync.files.errors import InvalidDefaults
from oppsync.files.identity import Identity
from oppsync.files.lines import BadLine, Draft, GoodLine, Line
from oppsync.files.vocabulary import FIELDS, KIND, NAMES, kind_of, suggestion
from oppsync_worker.contract.errors import FieldProblem, InvalidJob
from oppsync_worker.contract.jobs import JOB_TYPES, UpdateOpportunity
from oppsync_worker.contract.names import MAX_JOB_BYTES, Kind, Lane
from oppsync_worker.contract.wire import encode

_OWN: Final = frozenset({"job_id", "idempotency_key", "external_ref"})
"""What names one job or record, and so cannot be the same for a whole file."""

_WORST_GROWTH: Final = 6
"""A control character of one byte becomes six in JSON (`\\u0001`); nothing grows more."""

_ROOM_BYTES: Final = 2048
"""More than the names, the ids, the times and the derived key of a job can take."""


def read_defaults(given: Mapping[str, Any], mark: DecimalMark) -> dict[str, Any]:
    """Values for all lines, by name; a text is read as a CSV cell would be.

    Raises:
        InvalidDefaults: a name is not known, or no job could have the value.
    """
    how = conversions(mark)
    values: dict[str, Any] = {}
    problems = []
    for key, value in given.items():
        name = NAMES.get(key)
        if key == KIND:
            problems.append(FieldProblem(key, "is given by itself, with --kind"))
        elif name is None:
            problems.append(FieldProblem(key, f"is not a field of a job; {suggestion(key)}"))
        elif name in _OWN:
            problems.append(FieldProblem(key, "must differ from line to line"))
        else:
            try:
                values[name] = how[name](value) if isinstance(value, str) and name in how else value
            except ValueError as error:
                problems.append(FieldProblem(key, str(error)))
    values = {name: value for name, value in values.items() if value is not None}
    try:
        UpdateOpportunity.parse(values)
    except InvalidJob as error:
        mine = values.keys()
        problems += [each for each in error.problems if each.field.partition(".")[0] in mine]
    if problems:
        raise InvalidDefaults(tuple(problems))
    return values


class Assembly:
    """Drafts of one file into lines."""

    def __init__(self, defaults: Mapping[str, Any], *, kind: Kind | None, identity: Identity) -> None:
        self._defaults = {"lane": Lane.BULK, **defaults}
        self._fields = self._defaults.pop(FIELDS, {})
        self._kind = kind
        self._identity = identity
        self._defaults_size = len(json.dumps([self._defaults, self._fields], default=str))

    def line(self, draft: Draft) -> Line:
        """The job, or every problem of the line: those of its form and, for all other fields, the contract's."""
        values = {**self._defaults, **draft.values}
        said = values.pop(KIND, None)
        kind = self._kind if said is None else kind_of(said)
        if kind is None:
            message = "is missing: create or update" if said is None else "must be create or update"
            return BadLine.of(draft.number, [FieldProblem(KIND, message), *draft.problems])
        if self._fields:
            own = values.get(FIELDS, {})
            values[FIELDS] = {**self._fields, **own} if isinstance(own, dict) else own
        try:
            job = JOB_TYPES[kind].parse(values)
            if draft.problems:
                return BadLine.of(draft.number, draft.problems)
            job = self._identity.given(job)
            if (draft.size + self._defaults_size) * _WORST_GROWTH + _ROOM_BYTES > MAX_JOB_BYTES:
                encode(job)
        except InvalidJob as error:
            return BadLine.of(draft.number, _together(draft.problems, error.problems))
        return GoodLine(draft.number, job)


def _together(form: list[FieldProblem], meaning: tuple[FieldProblem, ...]) -> list[FieldProblem]:
    # A field whose text could not be read is not "missing" as well, and a rule about several fields proves nothing.
    named = {problem.field for problem in form}
    return [*form, *(problem for problem in meaning if not form or (problem.field and problem.field not in named))]
