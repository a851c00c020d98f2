"""What an answer shows of our marker: the job's id, in a custom field that carries nothing else.

SprintHub drops a custom field silently if no field of exactly that name exists, lists an unset one as `""`, and may
leave `fields` out of an answer. Only what is seen counts: a marker that cannot be looked for is no missing marker.
"""

from enum import StrEnum
from typing import Any


class Mark(StrEnum):
    """What one record shows where our marker would stand."""

    OURS = "ours"
    OTHER = "other"
    """Somebody else's text."""
    EMPTY = "empty"
    """The field is there, and blank."""
    UNDECLARED = "undeclared"
    """The record has custom fields, and none of that name."""
    UNKNOWN = "unknown"
    """No marker was sent, or the answer does not show what became of it: no `fields`, or no text in it."""


def mark_in(fields: Any, *, marker_field: str | None, marker: str | None) -> Mark:
    """What a record's `fields` show. A number counts as the text of its digits: some ids of jobs are numbers."""
    if marker_field is None or marker is None or not isinstance(fields, dict):
        return Mark.UNKNOWN
    if marker_field not in fields:
        return Mark.UNDECLARED
    value = fields[marker_field]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return Mark.EMPTY
    if not isinstance(value, str):
        return Mark.UNKNOWN
    return Mark.OURS if value.strip() == marker else Mark.OTHER
