"""How long the CRM asked us to stay away: the `Retry-After` header (RFC 9110, section 10.2.3).

No integration has ever seen SprintHub send one, but a gateway in front of it may.
"""

import re
from datetime import datetime
from typing import Final

from oppsync_worker.crm.http_date import read_http_date

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
        moment = read_http_date(text)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
