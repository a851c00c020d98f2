"""Everything that can be made to go wrong, and what each fault can be told.

SprintHub API notes, section 15.5. An action has a stage, because a refused call must not use up a fault meant for an
accepted one:

1. ``CONNECT``: a connection arrives; nothing is known about the call.
2. ``TOKEN``: the token is being checked.
3. ``THROTTLE``: the budget is being asked.
4. ``WORK``: the call is valid and about to be carried out. An invalid call is answered 400 and spends no fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.call import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALL: Final = frozenset(Operation)
WRITES: Final = frozenset({Operation.CREATE, Operation.UPDATE})
READS: Final = ALL - WRITES
CREATE: Final = frozenset({Operation.CREATE})
UPDATE: Final = frozenset({Operation.UPDATE})
BY_LEAD: Final = frozenset({Operation.BY_LEAD})
BY_COLUMN: Final = frozenset({Operation.BY_COLUMN})


class Stage(Enum):
    """When a fault is drawn."""

    __hash__ = object.__hash__  # as for Operation

    CONNECT = "connect"
    TOKEN = "token"  # noqa: S105 - a stage, not a secret
    THROTTLE = "throttle"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing an action can be told: how to read it, and what it is if left unsaid."""

    read: Callable[[Any], Any]
    default: Any


@dataclass(frozen=True, slots=True)
class Action:
    """What a fault does, to which operations, and its parameters."""

    name: str
    stage: Stage
    operations: frozenset[Operation]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def seconds(default: float) -> Parameter:
    """A duration in virtual seconds."""
    return Parameter(read_number, default)


def one_of(*words: str) -> Parameter:
    """A choice; the first word is the default."""

    def read(value: Any) -> str:
        if str(value) in words:
            return str(value)
        raise ValueError(f"is one of {', '.join(words)}, not {value!r}")

    return Parameter(read, words[0])


def status(default: int) -> Parameter:
    """An HTTP error status."""

    def read(value: Any) -> int:
        number = read_whole(value)
        if 400 <= number <= 599:  # noqa: PLR2004 - the error statuses of HTTP
            return number
        raise ValueError(f"is a status from 400 to 599, not {value!r}")

    return Parameter(read, default)


def read_number(value: Any) -> float:
    """A number that is not negative."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise ValueError(f"is a number from 0 on, not {value!r}")
    return number


def read_signed(value: Any) -> float:
    """Any finite number."""
    sign = -1.0 if str(value).startswith("-") else 1.0
    return sign * read_number(str(value).removeprefix("-"))


def read_whole(value: Any) -> int:
    """A whole number from 1 on."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ValueError(f"is a whole number from 1 on, not {value!r}")
    return int(text)


def read_text(value: Any) -> str:
    """A text."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"is a text, not {value!r}")


_HOW: Final = {"how": one_of("fin", "rst")}
_COMMIT: Final = {"commit": one_of("no", "yes")}
_COLUMN: Final = Parameter(read_whole, None)

ACTIONS: Final[dict[str, Action]] = {
    action.name: action
    for action in (
        Action("close_on_accept", Stage.CONNECT, ALL, _HOW),
        Action("token_revoked", Stage.TOKEN, ALL),
        Action("throttle_burst", Stage.THROTTLE, ALL, {"n": Parameter(read_whole, 10)}),
        Action("throttle_reads", Stage.THROTTLE, READS),
        Action("throttle_after_commit", Stage.WORK, WRITES),
        Action("refuse_connection", Stage.WORK, ALL, {"s": seconds(5)}),
        Action("restart", Stage.WORK, ALL, {"s": seconds(5)}),
        Action("drop_before_commit", Stage.WORK, ALL, _HOW),
        Action("drop_after_commit", Stage.WORK, ALL, _HOW),
        Action("slow", Stage.WORK, ALL, {"ms": seconds(1000), "commit": one_of("start", "end", "never")}),
        Action(
            "late_commit",
            Stage.WORK,
            WRITES,
            {"s": seconds(10), "answer": one_of("504", "silence"), "hang_s": seconds(60)},
        ),
        Action("gateway", Stage.WORK, ALL, {"status": status(502), **_COMMIT}),
        Action(
            "http",
            Stage.WORK,
            ALL,
            {
                "status": status(500),
                "body": one_of("json", "empty", "text"),
                "msg": Parameter(read_text, "Internal error"),
                "retry_after": Parameter(read_text, None),
                "limite": Parameter(read_text, None),
                **_COMMIT,
            },
        ),
        Action(
            "bad_200",
            Stage.WORK,
            ALL,
            {"kind": one_of("html", "truncated", "empty_object", "missing_id", "other_lead", "cut")},
        ),
        Action("visibility_lag", Stage.WORK, CREATE, {"s": seconds(10)}),
        Action("clock_skew", Stage.WORK, ALL, {"s": Parameter(read_signed, 60.0)}),
        Action("marker_field_missing", Stage.WORK, WRITES),
        Action("move_card", Stage.WORK, WRITES, {"s": seconds(10), "to": _COLUMN}),
        Action("archive_card", Stage.WORK, WRITES, {"s": seconds(10)}),
        Action(
            "edit_title",
            Stage.WORK,
            WRITES,
            {"s": seconds(10), "to": Parameter(read_text, "Edited by a person")},
        ),
        Action("await_approval", Stage.WORK, UPDATE),
        Action("lead_list_400", Stage.WORK, BY_LEAD),
        Action("lead_list_down", Stage.WORK, BY_LEAD, {"status": status(503)}),
        Action("page_shift", Stage.WORK, BY_COLUMN, {"kind": one_of("repeat", "slip")}),
    )
}
