"""Shares of few trials, drawn towards what is usual: one success in one trial is not the best of all."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from llmtrack.analysis.stats import Interval
from llmtrack.session.values import Floats

_LEAST_TRIALS = 0.1  # a prior worth less than this says nothing
_GOLDEN = (math.sqrt(5) - 1) / 2


class Prior(NamedTuple):
    """A beta distribution of true shares: its mean, and how many trials it is worth."""

    mean: float
    trials: float

    def shrunk(self, successes: Floats, trials: Floats) -> Floats:
        """The mean of what each share may be, given its trials."""
        return (self.mean * self.trials + successes) / (self.trials + trials)

    def interval(self, successes: Floats, trials: Floats, alpha: float = 0.05) -> list[Interval]:
        """The middle 1 - alpha of what each share may be (a credible interval)."""
        a = self.mean * self.trials + successes
        b = (1 - self.mean) * self.trials + trials - successes
        ends = special.betaincinv(a, b, alpha / 2), special.betaincinv(a, b, 1 - alpha / 2)
        return [Interval(float(lo), float(hi)) for lo, hi in zip(*ends, strict=True)]


def fit(successes: npt.ArrayLike, trials: npt.ArrayLike) -> Prior:
    """The beta-binomial prior under which these shares are likeliest (empirical Bayes); of nothing, Jeffreys's.

    The prior is never worth more than all trials together: where nothing shows that the shares differ, each is then
    about as certain as their common mean. Sources: Casella (1985), "An Introduction to Empirical Bayes Data Analysis";
    Minka (2000), "Estimating a Dirichlet distribution", for the step of the mean.

    >>> prior = fit([18, 2, 17, 3], [20, 20, 20, 20])
    >>> round(prior.mean, 2), round(prior.trials, 1)
    (0.5, 1.6)
    >>> prior.shrunk(np.array([1.0, 18.0]), np.array([1.0, 20.0])).round(2).tolist()
    [0.7, 0.87]
    """
    pairs = np.stack([np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)])
    total = float(pairs[1].sum())
    if not total > 0:
        return Prior(0.5, 1.0)
    (k, n), counts = np.unique(pairs, axis=1, return_counts=True)
    mean = _clipped(float(pairs[0].sum()) / total, total)
    lo, hi = math.log(_LEAST_TRIALS), math.log(max(total, 1.0))
    for _ in range(40):  # golden section on the logarithm of the prior's worth
        reach = _GOLDEN * (hi - lo)
        left, right = (Prior(_mean(k, n, counts, mean, math.exp(at)), math.exp(at)) for at in (hi - reach, lo + reach))
        if _likelihood(k, n, counts, left) > _likelihood(k, n, counts, right):
            hi = lo + reach
        else:
            lo = hi - reach
    return Prior(_mean(k, n, counts, mean, math.exp(hi)), math.exp(hi))


def _mean(k: Floats, n: Floats, counts: npt.NDArray[np.int64], mean: float, trials: float) -> float:
    """The likeliest mean of a prior that is worth so many trials."""
    for _ in range(100):
        a, b = mean * trials, (1 - mean) * trials
        up = a * float(counts @ (special.psi(k + a) - special.psi(a)))
        down = b * float(counts @ (special.psi(n - k + b) - special.psi(b)))
        before, mean = mean, _clipped(up / (up + down), float(counts @ n))
        if abs(mean - before) < 1e-9:
            break
    return mean


def _clipped(mean: float, total: float) -> float:
    """Half a success, or half a failure, at least: a share of 0 in what was seen is not one for ever."""
    least = 0.5 / (total + 1)
    return min(max(mean, least), 1 - least)


def _likelihood(k: Floats, n: Floats, counts: npt.NDArray[np.int64], prior: Prior) -> float:
    a, b = prior.mean * prior.trials, (1 - prior.mean) * prior.trials
    return float(counts @ (special.betaln(k + a, n - k + b) - special.betaln(a, b)))
