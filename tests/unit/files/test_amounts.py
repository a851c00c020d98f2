"""Amounts of money as people write them."""

from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync.files.amounts import DecimalMark, read_amount


def test_the_marks_are_these() -> None:
    """The command's choices are made of them."""
    assert get_args(DecimalMark) == ("auto", "point", "comma")


@pytest.mark.parametrize(
    ("text", "mark", "amount"),
    [
        ("1234.56", "auto", "1234.56"),
        ("1.234,56", "auto", "1234.56"),
        ("1,234.56", "auto", "1234.56"),
        ("1234,56", "auto", "1234.56"),
        ("R$ 1.234,56", "auto", "1234.56"),
        ("r$1234", "auto", "1234"),
        ("R$\u00a01.234.567,89", "auto", "1234567.89"),
        (" -5 ", "auto", "-5"),
        ("-R$ 5,00", "auto", "-5.00"),
        ("R$ -5,00", "auto", "-5.00"),
        ("+5", "auto", "5"),
        ("0.500", "auto", "0.500"),
        ("1234.567", "auto", "1234.567"),
        ("1.234", "point", "1.234"),
        ("1.234", "comma", "1234"),
        ("1,234", "point", "1234"),
        ("1,234", "comma", "1.234"),
        ("12,50", "comma", "12.50"),
        ("12.50", "point", "12.50"),
    ],
)
def test_an_amount_is_read_as_it_was_meant(text: str, mark: DecimalMark, amount: str) -> None:
    """Portuguese, English, with and without currency."""
    assert read_amount(text, mark) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "  ", "\u00a0"])
def test_nothing_is_not_given(text: str) -> None:
    """An empty cell is no zero."""
    assert read_amount(text, "auto") is None


@pytest.mark.parametrize("text", ["1.234", "1,234", "R$ 123.456", "999,999"])
def test_what_could_be_two_amounts_is_refused_with_the_way_out(text: str) -> None:
    """A thousand times too much is no small mistake."""
    with pytest.raises(ValueError, match="--decimal comma or --decimal point"):
        read_amount(text, "auto")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("12,50", "point"),
        ("12.50", "comma"),
        ("1.23,45", "auto"),
        ("1.234.56", "auto"),
        ("1e3", "auto"),
        ("1_000", "auto"),
        ("NaN", "auto"),
        ("US$ 5", "auto"),
        ("1 234,56", "auto"),
        ("--5", "auto"),
        ("-R$ -5", "auto"),
        (".5", "auto"),
        ("5.", "auto"),
        ("\u0661\u0662", "auto"),
        ("9" * 100_000, "auto"),
    ],
)
def test_anything_else_is_no_amount(text: str, mark: DecimalMark) -> None:
    """Not even what Decimal would take."""
    with pytest.raises(ValueError, match="must be an amount such as"):
        read_amount(text, mark)


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=2))
def test_cents_are_never_lost_in_either_writing(amount: Decimal) -> None:
    """Written with two decimals, an amount is never ambiguous."""
    english = f"{amount:,.2f}"
    portuguese = english.translate(str.maketrans(",.", ".,"))

    assert read_amount(english, "auto") == read_amount(english, "point") == amount
    assert read_amount(f"R$ {portuguese}", "auto") == read_amount(portuguese, "comma") == amount


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("auto", "must be an amount such as 1234.56 or 1.234,56"),
        ("point", "must be an amount such as 1234.56 (the decimal mark was said to be a point)"),
        ("comma", "must be an amount such as 1.234,56 (the decimal mark was said to be a comma)"),
    ],
)
def test_the_example_is_one_that_would_be_taken(mark: DecimalMark, says: str) -> None:
    """By the mark that was named."""
    with pytest.raises(ValueError, match="amount") as refused:
        read_amount("1.2.3", mark)

    assert str(refused.value) == says


def test_an_amount_has_at_most_sixty_four_characters() -> None:
    """Without the spaces around it."""
    assert read_amount(" " + "9" * 64 + " ", "auto") == Decimal("9" * 64)
    with pytest.raises(ValueError, match="such as"):
        read_amount("9" * 65, "auto")


@pytest.mark.parametrize(("text", "amount"), [("+R$ 5", "5"), ("R$ +5", "5"), ("-5", "-5"), ("0", "0"), ("12", "12")])
def test_a_sign_stands_before_the_currency_or_after_it(text: str, amount: str) -> None:
    """Once."""
    assert read_amount(text, "auto") == Decimal(amount)
    with pytest.raises(ValueError, match="such as"):
        read_amount("+R$ -5", "auto")
