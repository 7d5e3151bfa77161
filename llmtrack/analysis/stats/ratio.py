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


class Spread(NamedTuple):
    """The variance of a ratio's value where few users may carry it, and the degrees of freedom of Student's t."""

    variance: float
    df: float


def spread(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Spread:
    """Cluster-robust variance of Σ numerator / Σ denominator (one row a user), honest where one user dominates.

    A user with most of the denominator draws the ratio to itself, so that its residual looks small: each is divided by
    1 - its share. Of equally active users this is the variance of a mean with n - 1 degrees of freedom. NaN under two
    users, or where one has all. Source: Bell & McCaffrey (2002), "Bias reduction in standard errors for linear
    regression with multi-stage samples" (CR2, users alike in the working model).

    >>> [round(each, 4) for each in spread([1, 2, 3, 6], [1, 1, 1, 1])], round(spread([50, 1, 0], [100, 1, 1]).df, 2)
    ([1.1667, 3.0], 1.01)
    """
    num, den = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    num, den = num[den > 0], den[den > 0]
    if len(num) < 2:
        return Spread(math.nan, math.nan)
    whole = float(den.sum())
    residual, w = num - num.sum() / whole * den, den / whole
    m = w**2 / (1 - w)  # what the square of each user's own deviation enters with
    variance = float((residual**2 / (1 - w)).sum()) / whole**2
    # Trace of the quadratic form and of its square, for deviations that are alike.
    all_, mw, ww = float(m.sum()), float(m @ w), float(w @ w)
    trace = all_ - 2 * mw + all_ * ww
    squared = float(m @ m) - 4 * float(m**2 @ w) + 2 * all_ * float(m @ w**2)
    squared += 2 * mw**2 + 2 * float(m @ m) * ww - 4 * all_ * mw * ww + (all_ * ww) ** 2
    return Spread(variance, trace**2 / squared)


def mean_interval(numerator: npt.ArrayLike, denominator: npt.ArrayLike, alpha: float = 0.05) -> Interval:
    """The 1 - alpha interval of Σ numerator / Σ denominator; not below 0 where no user's numbers are.

    >>> [round(end, 2) for end in mean_interval([1, 2, 3, 6], [1, 1, 1, 1])]
    [0.0, 6.44]
    """
    found = spread(numerator, denominator)
    if not found.variance >= 0:
        return NO_INTERVAL
    value = ratio(numerator, denominator).value
    half = float(special.stdtrit(found.df, 1 - alpha / 2)) * math.sqrt(found.variance)
    negative = bool((np.asarray(numerator) < 0).any())
    return Interval(value - half if negative else max(0.0, value - half), value + half)
