"""A ratio of sums over users, with the variance that the delta method gives it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special


def div(numerator: float, denominator: float) -> float:
    """The quotient, or NaN (no number, shown as a dash) when nothing was there to divide by: decided here, once.

    >>> div(1, 4), div(0, 0), div(3, 0)
    (0.25, nan, nan)
    """
    return numerator / denominator if denominator else math.nan


class Interval(NamedTuple):
    """A confidence interval; both ends NaN when there is none."""

    lo: float
    hi: float


NO_INTERVAL = Interval(math.nan, math.nan)


def with_zero(interval: Interval) -> Interval:
    """The interval, long enough to hold 0; none stays none."""
    return interval if math.isnan(interval.lo) else Interval(min(interval.lo, 0.0), max(interval.hi, 0.0))


class Ratio(NamedTuple):
    """Σ numerator / Σ denominator over the users of one arm.

    `variance` is that of `value` itself, not of one user's contribution. `n_eff` = (Σden)²/Σden² is Kish's effective
    number of users: how many equally active users would carry as much weight.
    """

    value: float
    variance: float
    numerator: float
    denominator: float
    users: int
    n_eff: float

    def interval(self, alpha: float = 0.05) -> Interval:
        """The (1 - alpha) interval of the value, by Student's t with users - 1 degrees of freedom."""
        if not self.variance >= 0:
            return NO_INTERVAL
        half = float(special.stdtrit(self.users - 1, 1 - alpha / 2)) * math.sqrt(self.variance)
        return Interval(self.value - half, self.value + half)


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Ratio:
    """Σ numerator / Σ denominator and its delta-method variance.

    Both arguments are one number a user, without NaN (the caller drops such users: who has no data is not counted).
    A plain mean over users is the case of a denominator of ones. The variance is NaN under two users.

    Source: Deng, Knoblich & Lu (2018), "Applying the Delta Method in Metric Analytics", equation 4, written with the
    residuals num - value·den, whose mean is 0: var = Σ residual² / (n - 1) / n / mean(den)².

    >>> r = ratio([1, 0, 3], [2, 1, 3])
    >>> round(r.value, 4), round(r.variance, 4), r.users, round(r.n_eff, 3)
    (0.6667, 0.0648, 3, 2.571)
    """
    num = np.asarray(numerator, dtype=np.float64)
    den = np.asarray(denominator, dtype=np.float64)
    n, total, weight = len(num), float(num.sum()), float(den.sum())
    value = div(total, weight)
    residual = num - value * den
    variance = div(float(residual @ residual) * n, (n - 1) * weight**2) if n > 1 else math.nan
    return Ratio(value, variance, total, weight, n, div(weight**2, float(den @ den)))
