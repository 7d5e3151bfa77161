"""Waiting times of which some were cut short: their median, and the share still waiting as a mean over rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.bootstrap import Floats, user_weights

# Standard deviations past the median after which no resample's median can lie: later rows need no walk.
_REACH = 10.0


def km_median(times: npt.ArrayLike, censored: npt.ArrayLike) -> float:
    """The first time by which more than half have acted (as statsmodels has it); NaN when censoring hides it.

    `times` without NaN; `censored` is True where the wait ended without the event. Source: Kaplan & Meier (1958).

    >>> km_median([1, 2, 3, 4, 5], [False, False, True, False, False]), km_median([1, 2], [True, True])
    (4.0, nan)
    """
    t, acted, _ = _in_order(np.asarray(times, dtype=np.float64), np.asarray(censored, dtype=bool))
    return _median(t, _survival(acted, np.ones_like(t), float(len(t))))


def bootstrap_km_median(
    times: Floats,
    censored: npt.NDArray[np.bool_],
    users: npt.NDArray[np.intp],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """The Kaplan-Meier median of each of `resamples` resamples of users, shape (resamples,); NaN where hidden.

    `users` (rows,) are the users' numbers from 0, none left out.

    >>> times, censored, one_user = np.array([1.0, 2.0, 3.0]), np.array([False] * 3), np.array([0, 0, 0])
    >>> bootstrap_km_median(times, censored, one_user, resamples=2, rng=np.random.default_rng(0))
    array([2., 2.])
    """
    t, acted, order = _in_order(times, censored)
    users = users[order]
    rows_of = np.bincount(users).astype(np.float64)
    # Half a trial's standard deviation, rows of one user all alike, over the rows still at risk.
    deviation = 0.5 * math.sqrt(float(rows_of @ rows_of)) / np.arange(len(t), 0, -1)
    past = _survival(acted, np.ones_like(t), float(len(t))) < 0.5 - _REACH * deviation
    end = int(np.argmax(past)) if past.any() else len(t)
    t, acted, users = t[:end], acted[:end], users[:end]
    draws = user_weights(len(rows_of), resamples, rng)
    return np.array([_median(t, _survival(acted, w[users], float(w @ rows_of))) for w in draws])


def _in_order(
    times: Floats, censored: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Rows by time, at equal times the acted before the censored, as Kaplan and Meier count them."""
    order = np.lexsort((censored, times))
    return times[order], ~censored[order], order


def _survival(acted: npt.NDArray[np.bool_], weights: Floats, total: float) -> Floats:
    """The share that has not acted after each row; rows weigh `weights` of `total`."""
    # One factor a row: those of equal times multiply to Kaplan and Meier's 1 - deaths / at risk.
    at_risk = total - np.cumsum(weights) + weights
    return np.cumprod(1 - np.divide(weights * acted, at_risk, out=np.zeros_like(weights), where=at_risk > 0))


def _median(t: Floats, surviving: Floats) -> float:
    # 1e-12: exactly half may come out as 0.4999999999999999.
    half = int(np.searchsorted(-surviving, -0.5 + 1e-12, side="right"))
    return float(t[half]) if half < len(t) else math.nan


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
