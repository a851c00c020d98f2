"""Numbers that a command line takes."""

import math
from typing import Any, Final

import click

MOST: Final = 1_000_000_000
"""More than this is never listed; far larger numbers are no sizes of anything in Python."""


class Number(click.FloatRange):
    """A number within bounds. NaN compares as false with every bound, and a wait for so long would never end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{number} is not a number of anything", param, ctx)
        return number
