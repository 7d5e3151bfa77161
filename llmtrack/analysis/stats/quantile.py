"""Quantiles over rows (responses) whose independent unit is the user."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.bootstrap import Floats, user_weights

# Standard deviations of the rank within which every resampled quantile is looked for.
_REACH = 10.0


def quantile(values: Floats, q: float) -> float:
    """The q-quantile with linear interpolation (numpy's and pandas' default); NaN of nothing.

    >>> quantile(np.array([1.0, 2.0, 10.0]), 0.5), quantile(np.array([]), 0.5)
    (2.0, nan)
    """
    return float(np.quantile(values, q)) if len(values) else math.nan


def bootstrap_quantile(
    values: Floats, users: npt.NDArray[np.intp], q: float, *, resamples: int, rng: np.random.Generator
) -> Floats:
    """The q-quantile of each of `resamples` resamples of users, shape (resamples,).

    `values` (rows,) without NaN, `users` (rows,) the users' numbers from 0, none left out. Only rows whose rank lies
    within ten clustered standard deviations of the quantile's are walked through for each resample; the rest enter as
    counts. The result is that of np.quantile on the resampled rows, and a million rows take under a second.

    >>> one_user = np.array([0, 0, 0])
    >>> bootstrap_quantile(np.array([1.0, 2.0, 3.0]), one_user, 0.5, resamples=2, rng=np.random.default_rng(0))
    array([2., 2.])
    """
    order = np.argsort(values, kind="stable")
    values, users = values[order], users[order]
    rows_of = np.bincount(users).astype(np.float64)
    rank = q * (len(values) - 1)
    surplus = np.bincount(users[: math.ceil(rank)], minlength=len(rows_of)) - q * rows_of
    reach = _REACH * math.sqrt(float(surplus @ surplus)) + 2
    lo, hi = max(0, math.floor(rank - reach)), min(len(values), math.ceil(rank + reach))
    below = np.bincount(users[:lo], minlength=len(rows_of)).astype(np.float64)
    window, window_users = values[lo:hi], users[lo:hi]
    replicates = np.empty(resamples)
    for i, weights in enumerate(user_weights(len(rows_of), resamples, rng)):
        position = q * (float(weights @ rows_of) - 1) - float(weights @ below)
        reached = np.cumsum(weights[window_users])
        at = np.searchsorted(reached, [math.floor(position), math.floor(position) + 1], side="right")
        left, right = window[np.minimum(at, len(window) - 1)]
        replicates[i] = left + (right - left) * (position - math.floor(position))
    return replicates
