"""Types of single fields, as SprintHub documents them, and what each refuses.

Numbers and texts are never silently turned into one another: a caller who sends `"159"` for a column id has a
bug that is cheaper to hear about at the door than to find in the CRM.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictStr,
)

MONEY_DIGITS: Final = 15
"""Most digits of an amount: as many as a JSON number carries through any client without losing a cent."""

MAX_ID: Final = 2**53 - 1
"""Largest id that survives JSON in every client (RFC 8259, section 6)."""


def _money(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        raise ValueError("must be a decimal number such as 1234.56")  # noqa: TRY004 - pydantic reads a TypeError as our bug
    try:
        amount = Decimal(str(value))
    except (ArithmeticError, ValueError):
        raise ValueError("must be a decimal number such as 1234.56, without thousands separators") from None
    if not amount.is_finite():
        raise ValueError("must be a finite number")
    # `abs` would round, and fail for an exponent such as that of 1e999999999.
    if amount.copy_abs() >= Decimal(10) ** (MONEY_DIGITS - 2):
        raise ValueError(f"must have at most {MONEY_DIGITS - 2} digits before the point")
    cents = amount.quantize(Decimal("0.01"))
    if cents != amount:
        raise ValueError("must have at most 2 decimal places")
    return cents


def _utc(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be an ISO 8601 time such as 2024-03-21T21:27:00.000Z") from None
    if not isinstance(value, datetime):
        raise ValueError(  # noqa: TRY004 - pydantic reads a TypeError as our bug
            "must be an ISO 8601 time such as 2024-03-21T21:27:00.000Z"
        )
    if value.tzinfo is None:
        raise ValueError("must name its time zone, for example a final Z for UTC")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def iso_utc(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a final Z, as SprintHub documents `expectedCloseDate`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: datetime | None) -> int:
    """A point in time as the ledger keeps it; 0 for none."""
    # What lies before 1970 is long ago, and must not read as "none".
    return max(1, round(moment.timestamp() * 1000)) if moment else 0


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _encodable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode (a lone surrogate cannot be sent)") from None
    return value


def _custom_value(value: object) -> str | bool | int | float | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, int):
        if abs(value) > MAX_ID:
            raise ValueError("is too large a number: send it as text")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError("must be a text, a finite number or a boolean")


def _custom_fields(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if not key:
            raise ValueError("a custom field's name must not be empty")
        _encodable(key)
    # SprintHub's clients drop nulls: they upset its validation.
    kept = {key: item for key, item in value.items() if item is not None}
    if kept.keys() == {"__type__", "__value__"}:
        raise ValueError("must not be __type__ and __value__ alone, which is how Celery writes a value of another type")
    return kept


Id = Annotated[int, Field(strict=True, gt=0, le=MAX_ID)]
"""A SprintHub id: a positive integer, given as a number."""

Money = Annotated[Decimal, BeforeValidator(_money), PlainSerializer(lambda v: format(v, "f"), when_used="json")]
"""An amount with exactly two decimals; travels as text, so that no cent is lost on the way."""

Moment = Annotated[datetime, BeforeValidator(_utc), PlainSerializer(iso_utc, when_used="json")]
"""A point in time with a time zone, kept in UTC to the millisecond."""

Title = Annotated[StrictStr, Field(max_length=500), AfterValidator(_not_blank), AfterValidator(_encodable)]

CustomFields = Annotated[dict[StrictStr, Annotated[Any, AfterValidator(_custom_value)]], AfterValidator(_custom_fields)]
"""Custom fields by their exact display name: case, accents and outer spaces count, so nothing is trimmed."""

Instance = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}$")]
"""A SprintHub instance's name, which is the sub-domain of its address."""


def _not_raw(value: str) -> str:
    if value.startswith("raw-"):
        raise ValueError("must not begin with raw-, which names messages that are no jobs")
    return value


JobId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}$"), AfterValidator(_not_raw)]

Key = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_not_blank), AfterValidator(_encodable)]
"""A caller's own key: up to 200 characters, compared as it stands."""
