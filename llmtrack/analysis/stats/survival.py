"""Waiting times of which some were cut short: their quantiles, and the share still waiting as a mean over rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


class LifeTable(NamedTuple):
    """One row a different time: how many still waited then, how many of them acted; `row` of each wait."""

    times: Floats
    at_risk: Floats
    acted: Floats
    row: Ints


def life_table(times: Floats, censored: npt.NDArray[np.bool_]) -> LifeTable:
    """The waits by time; those cut short at a time still waited then. Quickest where the times come in sorted runs."""
    order = np.argsort(times, kind="stable")
    t = times[order]
    new = np.ones(len(t), dtype=np.bool_)
    np.not_equal(t[1:], t[:-1], out=new[1:])
    begins = np.flatnonzero(new)
    row = np.empty(len(t), dtype=np.intp)
    row[order] = np.cumsum(new) - 1
    acted = np.add.reduceat(~censored[order], begins, dtype=np.float64) if len(t) else np.empty(0)
    return LifeTable(t[begins], (len(t) - begins).astype(np.float64), acted, row)


def km_quantile(times: npt.ArrayLike, censored: npt.ArrayLike, q: float = 0.5) -> float:
    """The first time by which more than the share `q` have acted (as statsmodels has it); NaN when censoring hides it.

    `times` without NaN; `censored` is True where the wait ended without the event. Source: Kaplan & Meier (1958).

    >>> km_quantile([1, 2, 3, 4, 5], [False, False, True, False, False]), km_quantile([1, 2], [True, True])
    (4.0, nan)
    """
    found = life_table(np.asarray(times, dtype=np.float64), np.asarray(censored, dtype=bool))
    surviving = np.cumprod(1 - found.acted / found.at_risk)
    # 1e-12: exactly half may come out as 0.4999999999999999.
    past = int(np.searchsorted(-surviving, -(1 - q) + 1e-12, side="right"))
    return float(found.times[past]) if past < len(found.times) else math.nan


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
    return pseudo_of(life_table(times, censored), censored, at)


def pseudo_of(table: LifeTable, censored: npt.NDArray[np.bool_], at: float) -> Floats:
    """The same from the waits' table, for several `at`."""
    distinct, at_risk, acted, row = table
    within = distinct <= at
    after = np.where(within & (at_risk > acted), at_risk - acted, np.inf)
    surviving = float(np.prod(np.where(within, 1 - acted / at_risk, 1.0)))
    lived = np.cumsum(acted / (at_risk * after))[row]
    died = np.where(censored, 0.0, 1 / after[row])
    pseudo: Floats = surviving * (1 + len(censored) * (lived - died))
    return pseudo
