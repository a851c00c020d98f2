r"""Amounts of money as people write them: `1234.56`, `1.234,56`, `R$ 1.234,56`.

An amount is read by one of two grammars, and nothing is ever concluded from other lines:

    point    1234.56   1,234.56
    comma    1234,56   1.234,56

`auto` takes what only one of them can read, or both read alike. `1.234` is a little over one to the first and over
a thousand to the second, so it is refused until somebody says which is meant.
"""

import re
from decimal import Decimal
from typing import Final, Literal

DecimalMark = Literal["auto", "point", "comma"]

_WRITTEN: Final = re.compile(r"([+-]?)\s*(?:R\$)?\s*([+-]?)\s*([0-9][0-9.,]*)", re.IGNORECASE)
_POINT: Final = re.compile(r"(?:[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]+)?")
_COMMA: Final = re.compile(r"(?:[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(?:,[0-9]+)?")
_MAX_CHARS: Final = 64


def read_amount(text: str, mark: DecimalMark) -> Decimal | None:
    """The amount, or `None` where nothing is written.

    Raises:
        ValueError: it is no amount, or could be two; the text says what to do.
    """
    text = text.strip()
    if not text:
        return None
    written = _WRITTEN.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if not written or (written[1] and written[2]):
        raise ValueError("must be an amount such as 1234.56 or R$ 1.234,56")
    digits = written[3]
    readings = set()
    if mark != "comma" and _POINT.fullmatch(digits):
        readings.add(Decimal(digits.replace(",", "")))
    if mark != "point" and _COMMA.fullmatch(digits):
        readings.add(Decimal(digits.replace(".", "").replace(",", ".")))
    if len(readings) > 1:
        raise ValueError("could be thousands or decimals: say which with --decimal comma or --decimal point")
    if not readings:
        example = {"auto": "1234.56 or 1.234,56", "point": "1234.56", "comma": "1.234,56"}[mark]
        said = "" if mark == "auto" else f" (the decimal mark was said to be a {mark})"
        raise ValueError(f"must be an amount such as {example}{said}")
    amount = readings.pop()
    return -amount if "-" in (written[1], written[2]) else amount
