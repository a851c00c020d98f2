"""`Retry-After` in both of its forms, and in none."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.crm.retry_after import MAX_RETRY_AFTER_SECONDS, retry_after_seconds

NOW = datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("5, 10", None),
        ("nan", None),
        ("inf", None),
        ("60", 60.0),
        (" 1.5 ", 1.5),
        ("-3", 0.0),
        ("99999999999", MAX_RETRY_AFTER_SECONDS),
        ("Tue, 19 Mar 2024 21:15:05 GMT", 30.0),
        ("Tue, 19 Mar 2024 21:15:05 -0000", 30.0),
        ("Tue, 19 Mar 2024 18:15:05 -0300", 30.0),
        ("Tue, 19 Mar 2024 21:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("Tue, 99 Mar 2024 21:15:05 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """Negative is now, absurd is a day, garbage is nothing."""
    assert retry_after_seconds(header, now=NOW) == seconds


@given(st.text(max_size=60))
def test_no_text_upsets_it(header: str) -> None:
    """Whatever a gateway writes there."""
    seconds = retry_after_seconds(header, now=NOW)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS


def test_nobody_is_left_alone_for_longer_than_a_day() -> None:
    """Whoever asks for more has made a mistake."""
    assert MAX_RETRY_AFTER_SECONDS == 86_400.0
    for header in ("86401", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert retry_after_seconds(header, now=NOW) == 86_400.0
    assert retry_after_seconds("86400", now=NOW) == 86_400.0
