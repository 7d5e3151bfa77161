"""Quantiles over rows (responses) whose independent unit is the user; rows may be waits that were cut short."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval
from llmtrack.analysis.stats.shares import share_interval
from llmtrack.analysis.stats.survival import km_quantile, life_table, pseudo_observations, pseudo_of

Floats = npt.NDArray[np.float64]


class Sample(NamedTuple):
    """Rows of one arm: values without NaN, which of them were cut short, the number of each row's user from 0."""

    values: Floats
    censored: npt.NDArray[np.bool_]
    user: npt.NDArray[np.intp]

    def moved(self, by: float) -> Sample:
        """Every value less `by`."""
        return self._replace(values=self.values - by)


def quantile(values: Floats, q: float) -> float:
    """The q-quantile with linear interpolation (numpy's and pandas' default); NaN of nothing.

    >>> quantile(np.array([1.0, 2.0, 10.0]), 0.5), quantile(np.array([]), 0.5)
    (2.0, nan)
    """
    return float(np.quantile(values, q)) if len(values) else math.nan


def of_rows(sample: Sample, q: float) -> float:
    """The q-quantile; where waits were cut short Kaplan and Meier's, infinite where too few ever acted.

    >>> waits = Sample(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]), np.array([0, 1, 2]))
    >>> of_rows(waits, 0.2), of_rows(waits, 0.5)
    (1.0, inf)
    """
    if sample.censored.any():
        found = km_quantile(sample.values, sample.censored, q)
        return math.inf if math.isnan(found) else found
    return quantile(sample.values, q)


def split_at(control: Sample, treatment: Sample, q: float) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Of each user of both arms the rows beyond the q-quantile of all (pseudo-observations), and all rows.

    Where that quantile is never reached, the rows beyond the last action. Arms with the same waiting times have the
    same expected share beyond it, whatever cuts the waits short.
    """
    both = Sample(*(np.concatenate(column) for column in zip(control, treatment, strict=True)))
    at = of_rows(both, q)
    if math.isinf(at):
        acted = both.values[~both.censored]
        at = float(acted.max()) if len(acted) else at
    longer, first = pseudo_observations(both.values, both.censored, at), len(control.values)
    return _of_users(longer[:first], control.user), _of_users(longer[first:], treatment.user)


def _of_users(longer: Floats, user: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Of each user the rows that are longer, and all rows."""
    return np.bincount(user, weights=longer).astype(np.float64), np.bincount(user).astype(np.float64)


def quantile_interval(sample: Sample, q: float, alpha: float = 0.05) -> Interval:
    """The interval of a quantile: all values of which the share of rows below them may be `q` (`share_interval`).

    Users may bring several rows. An end is infinite where the rows do not reach so far: of 30 users none may lie above
    the 95th percentile. None under two users. Source: Woodruff (1952), "Confidence intervals for medians and other
    position measures"; with waits that were cut short this is the interval of Brookmeyer & Crowley (1982).

    >>> rows = np.arange(101.0)
    >>> quantile_interval(Sample(rows, rows < 0, rows.astype(int)), 0.5)
    Interval(lo=40.0, hi=60.0)
    """
    rows_of = np.bincount(sample.user).astype(np.float64)
    if np.count_nonzero(rows_of) < 2:
        return NO_INTERVAL
    table = life_table(sample.values, sample.censored)
    cut = bool(sample.censored.any())

    def below(at: int) -> Interval:
        """Where the share of rows up to the `at`-th different value may lie."""
        longer = pseudo_of(table, sample.censored, table.times[at]) if cut else (table.row > at).astype(np.float64)
        up_to = rows_of - np.bincount(sample.user, weights=longer)
        return share_interval(np.clip(up_to, 0, rows_of), rows_of, alpha)

    last = len(table.times) - 1
    lo = _first(last, lambda at: below(at).hi >= q)
    hi = _first(last, lambda at: below(at).lo > q)
    return Interval(
        float(table.times[lo]) if lo is not None else math.inf, float(table.times[hi]) if hi is not None else math.inf
    )


def _first(last: int, holds: Callable[[int], bool]) -> int | None:
    """The first of 0 to `last` from which on it holds."""
    if not holds(last):
        return None
    return bisect.bisect_left(range(last), True, key=holds)
