"""How long the CRM asked us to stay away: the `Retry-After` header (RFC 9110, section 10.2.3).

No integration has ever seen SprintHub send one, but a gateway in front of it may.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_SECONDS: Final = 86_400.0
"""Longer requests are cut to a day: whoever asks for more has made a mistake, and a day is noticed by then."""

_SECONDS: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,6})?", re.ASCII)


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """Seconds from `now`, between 0 and a day; None when the header is absent or neither seconds nor a date."""
    if header is None:
        return None
    text = header.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (moment - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
