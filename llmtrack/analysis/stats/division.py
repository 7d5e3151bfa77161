"""What an empty denominator means, decided once."""

from __future__ import annotations

import math


def div(numerator: float, denominator: float) -> float:
    """The quotient, or NaN (no number, shown as a dash) when nothing was there to divide by.

    >>> div(1, 4), div(0, 0), div(3, 0)
    (0.25, nan, nan)
    """
    return numerator / denominator if denominator else math.nan
