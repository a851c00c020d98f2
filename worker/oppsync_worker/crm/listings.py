"""A list of records, as an answer shows it. All of it is understood, or none: a row that was skipped could be ours."""

from dataclasses import dataclass
from typing import Any, Final

from oppsync_worker.crm.answers import Unreadable, integer
from oppsync_worker.crm.sightings import Sighting, Sought, sighting

PAGE_ROWS: Final = 100
"""Rows asked for per page of a column: what SprintHub's own web client asks for."""

MAX_ROWS: Final = 10_000
"""Longer lists prove nothing. Comparing so many rows holds the event loop for a tenth of a second; the bytes that are
read (`lookups.MAX_LIST_BYTES`) have room for a hundred times as many, if they are small enough."""

_ENVELOPES: Final = ("data", "opportunities")


@dataclass(frozen=True, slots=True)
class Listing:
    """The records of one answer, each once, in the answer's order."""

    rows: tuple[Sighting, ...]
    whole: bool
    """False when another page may follow; always True of a list by lead, which has no pages."""
    crm_ahead_s: float | None = None
    """See `http_date.ahead_s`."""


def read_listing(document: Any, *, sought: Sought, page: int | None, crm_ahead_s: float | None = None) -> Listing:
    """What an answer lists: a bare array, or one under `data` or `opportunities`.

    A page is the last when it has fewer than `PAGE_ROWS` rows, unless the envelope's `totalPages` says otherwise.

    Args:
        document: the answer's JSON.
        sought: what every row is compared with.
        page: which page of a column was asked for, counted from 0; None for a list by lead.
        crm_ahead_s: taken over.

    Raises:
        Unreadable: when the document is no list, one of its rows no record, or further rows cannot be asked for.
    """
    shown = _rows_of(document)
    if len(shown) > MAX_ROWS:
        raise Unreadable("too long a list")
    pages = integer(document.get("totalPages")) if isinstance(document, dict) else None
    further = (pages or 0) > (page or 0) + 1
    if page is None and further:
        raise Unreadable("a list by lead with further pages")
    found: dict[int, Sighting] = {}
    for row in shown:
        seen = sighting(row, sought)
        found.setdefault(seen.opportunity_id, seen)
    full = page is not None and len(shown) >= PAGE_ROWS
    return Listing(tuple(found.values()), whole=not (full or further), crm_ahead_s=crm_ahead_s)


def _rows_of(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise Unreadable("not a list")
    if document.get("error"):
        raise Unreadable("an error inside a success")
    arrays = [rows for name in _ENVELOPES if isinstance(rows := document.get(name), list)]
    if len(arrays) != 1:
        raise Unreadable("not a list")
    return arrays[0]
