"""Intervals and comparisons from resampled users, for numbers that have no formula."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.compare import Difference
from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval, div

Floats = npt.NDArray[np.float64]


def user_weights(users: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each user is drawn, one array (users,) a resample: users are drawn with all their rows.

    Source: Field & Welsh (2007), "Bootstrapping clustered data" (the cluster bootstrap).
    """
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, users, users), minlength=users).astype(np.float64)


def percentile_interval(replicates: Floats, alpha: float = 0.05) -> Interval:
    """The middle 1 - alpha of the replicates; none when under 9 in 10 of them gave a number.

    >>> percentile_interval(np.arange(1001.0))
    Interval(lo=25.0, hi=975.0)
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) == 0 or len(known) < 0.9 * len(replicates):
        return NO_INTERVAL
    lo, hi = np.quantile(known, [alpha / 2, 1 - alpha / 2])
    return Interval(float(lo), float(hi))


def compare_bootstrap(
    control: float,
    treatment: float,
    control_replicates: Floats,
    treatment_replicates: Floats,
    *,
    p: float,
    alpha: float = 0.05,
) -> Difference:
    """Treatment - control with percentile intervals from the replicates of each arm (independent, equally many).

    `p` comes from a test of its own and is passed through: one counted from 500 replicates cannot fall below 0.004,
    which no correction for twenty metrics would let pass, and few users with many rows make it too small.

    >>> rng = np.random.default_rng(0)
    >>> d = compare_bootstrap(10.0, 12.0, rng.normal(10, 1, 500), rng.normal(12, 1, 500), p=0.2)
    >>> d.difference, round(d.difference_ci.lo, 1), round(d.standard_error, 1)
    (2.0, -0.7, 1.4)
    """
    differences = treatment_replicates - control_replicates
    with np.errstate(divide="ignore", invalid="ignore"):
        lifts = treatment_replicates / control_replicates - 1
    known = differences[np.isfinite(differences)]
    error = float(known.std(ddof=1)) if len(known) > 1 else math.nan
    lift = div(treatment, control) - 1
    ci, lift_ci = percentile_interval(differences, alpha), percentile_interval(lifts, alpha)
    return Difference(treatment - control, ci, lift, lift_ci, p, error, math.inf)
