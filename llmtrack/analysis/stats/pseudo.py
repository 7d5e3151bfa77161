"""A survival share as a mean over rows, so that quantiles can be tested like any ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.bootstrap import Floats


def pseudo_observations(times: Floats, censored: npt.NDArray[np.bool_], at: float) -> Floats:
    """One number a row, shape (rows,), whose mean is the Kaplan-Meier share still waiting after `at`.

    Without censoring it is 1 where time > at, else 0. Two arms with the same waiting times have the same expected
    mean, whatever cuts the waits short: at the pooled quantile this is a test of equal quantiles.
    Source: the infinitesimal jackknife of Efron (1981) as Andersen, Klein & Rosthøj (2003) use it, "Generalised linear
    models for correlated pseudo-observations".

    >>> pseudo_observations(np.array([1.0, 3.0, 2.0]), np.array([False, False, False]), 2.0).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    if not censored.any():
        return (times > at).astype(np.float64)
    distinct, group = np.unique(times, return_inverse=True)
    acted = np.bincount(group, weights=~censored, minlength=len(distinct))
    at_risk = len(times) - np.searchsorted(np.sort(times), distinct).astype(np.float64)
    within = distinct <= at
    after = np.where(within & (at_risk > acted), at_risk - acted, np.inf)
    surviving = float(np.prod(np.where(within, 1 - acted / at_risk, 1.0)))
    lived = np.cumsum(acted / (at_risk * after))[group]
    died = np.where(censored, 0.0, 1 / after[group])
    pseudo: Floats = surviving * (1 + len(times) * (lived - died))
    return pseudo
