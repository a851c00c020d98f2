"""The `Date` header, and what it says of the far end's clock."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.crm.http_date import ahead_s, read_http_date

NOW = datetime(2024, 3, 19, 21, 14, 35, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Tue, 19 Mar 2024 21:14:35 GMT", -0.25),
        ("Tue, 19 Mar 2024 21:16:05 GMT", 89.75),
        ("Tue, 19 Mar 2024 20:14:35 GMT", -3600.25),
        ("Tuesday, 19-Mar-24 21:14:35 GMT", -0.25),
        ("Tue Mar 19 21:14:35 2024", -0.25),
        ("Tue, 19 Mar 2024 18:14:35 -0300", -0.25),
    ],
)
def test_the_clocks_are_compared_whatever_form_the_date_has(header: str, seconds: float) -> None:
    """The three of RFC 9110, and one with an offset."""
    assert ahead_s(header, now=NOW) == seconds
    assert ahead_s(header, now=NOW.astimezone(timezone(timedelta(hours=-3)))) == seconds


@pytest.mark.parametrize("header", [None, "", "now", "Tue, 99 Mar 2024 21:14:35 GMT", "2024-03-19T21:14:35Z", "0"])
def test_no_date_is_no_comparison(header: str | None) -> None:
    """Never zero, which would say that the clocks agree."""
    assert ahead_s(header, now=NOW) is None


@given(st.text(max_size=60))
def test_no_text_upsets_it(text: str) -> None:
    """Whatever a gateway writes there is a moment in UTC, or none."""
    moment = read_http_date(text)

    assert moment is None or moment.tzinfo is UTC


def test_a_date_without_a_zone_is_utc_whatever_this_machines_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5322's -0000 says that nobody knows the zone; in HTTP it can only be UTC."""
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    time.tzset()
    try:
        assert ahead_s("Tue, 19 Mar 2024 21:14:35 -0000", now=NOW) == -0.25
    finally:
        monkeypatch.undo()
        time.tzset()
