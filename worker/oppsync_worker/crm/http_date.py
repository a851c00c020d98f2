"""Times in headers (RFC 9110, section 5.6.7), and what they say of the far end's clock."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_http_date(text: str) -> datetime | None:
    """The moment, in UTC; None for a text that is no date."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def ahead_s(header: str | None, *, now: datetime) -> float | None:
    """Seconds by which the far end's clock is ahead of ours, negative if it is behind; None without a `Date`.

    A `Date` has whole seconds, cut and not rounded, and was written before it travelled here: equal clocks show between
    minus one second and zero, less the answer's way.
    """
    moment = None if header is None else read_http_date(header)
    return None if moment is None else (moment - now).total_seconds()
