"""Intervals of shares that stay between 0 and 1, also when the share is 0 or the sample small."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval, ratio, spread


def wilson(successes: float, trials: float, alpha: float = 0.05) -> Interval:
    """Wilson's score interval of successes / trials; for independent trials. None without trials.

    Source: Wilson (1927); Brown, Cai & DasGupta (2001) recommend it over the usual ± 1.96 SE.

    >>> [round(end, 4) for end in wilson(0, 10)], [round(end, 4) for end in wilson(8, 10)]
    ([0.0, 0.2775], [0.4902, 0.9433])
    """
    if not trials > 0:
        return NO_INTERVAL
    share, z2 = successes / trials, float(special.ndtri(1 - alpha / 2)) ** 2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    # At 0 and 1 the closed end is exact; rounding would leave it at 1e-18.
    return Interval(0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half)


def share_interval(successes: npt.ArrayLike, trials: npt.ArrayLike, alpha: float = 0.05) -> Interval:
    """Wilson's interval of Σ successes / Σ trials where the trials of one user are alike (cluster-robust).

    One row a user. The trials enter at their effective number, share·(1 - share) / variance (`spread`), never above
    Σ trials. Where that variance tells nothing (share 0 or 1, or one user) each user counts as one trial.
    Source: Korn & Graubard (1998), "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", with Wilson's interval in place of Clopper and Pearson's.

    >>> every_session_alike = share_interval([10, 0, 10, 0], [10, 10, 10, 10])
    >>> [round(end, 3) for end in every_session_alike], [round(end, 3) for end in wilson(20, 40)]
    ([0.061, 0.939], [0.352, 0.648])
    """
    n = np.asarray(trials, dtype=np.float64)
    r = ratio(successes, n)
    if not r.denominator > 0:
        return NO_INTERVAL
    within = r.value * (1 - r.value)
    found = spread(successes, n)
    if within <= 0 or math.isnan(found.variance):
        effective = float(np.count_nonzero(n))
    else:
        # Few users know their own variance badly: Student's t instead of the normal, as a smaller number of trials.
        z, t = special.ndtri(1 - alpha / 2), special.stdtrit(found.df, 1 - alpha / 2)
        trials_worth = within / found.variance if found.variance > 0 else math.inf
        effective = min(trials_worth, r.denominator) * float(z / t) ** 2
    return wilson(r.value * effective, effective, alpha)


def share_difference(
    control: tuple[npt.ArrayLike, npt.ArrayLike], treatment: tuple[npt.ArrayLike, npt.ArrayLike], alpha: float = 0.05
) -> Interval:
    """The interval of the difference of two shares (successes and trials of each user) from those of both.

    Holds also where a share is 0 or 1. Source: Newcombe (1998), "Interval estimation for the difference between
    independent proportions", method 10.

    >>> [round(end, 4) for end in share_difference(([0] * 60, [1] * 60), ([1] * 60, [1] * 60))]
    [0.9149, 1.0]
    """
    (p0, (lo0, hi0)), (p1, (lo1, hi1)) = (
        (ratio(*arm).value, share_interval(*arm, alpha)) for arm in (control, treatment)
    )
    lo = p1 - p0 - math.hypot(p1 - lo1, hi0 - p0)
    return Interval(max(lo, -1.0), min(p1 - p0 + math.hypot(hi1 - p1, p0 - lo0), 1.0))
