"""A p value that trusts no normal curve: users change arms, again and again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

# Labels held at once (users times permutations): 16 MB of float64.
_BLOCK = 2_000_000


def permutation_p(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    permutations: int,
    seed: int,
) -> float:
    """Two-sided p of the difference of two ratios by a studentised permutation of users.

    One row a user; `treated` is True for the treatment's users. The statistic is Welch's t, so the test holds also
    where the arms' variances differ. p = (1 + permutations at least as extreme) / (1 + permutations): never 0.
    NaN when an arm has under two users or nothing varies.

    Sources: Janssen (1997), "Studentized permutation tests for non-i.i.d. hypotheses"; Phipson & Smyth (2010) for the
    added 1.

    >>> permutation_p([1, 2, 3, 4, 9, 8, 7, 9], [1] * 8, [0, 0, 0, 0, 1, 1, 1, 1], permutations=999, seed=1)
    0.031
    """
    num, den = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    label = np.asarray(treated, dtype=bool).astype(np.float64)
    if min(label.sum(), len(label) - label.sum()) < 2 or den.sum() == 0:
        return math.nan
    # Centred on the pooled ratio, the sums of squares below lose no digits.
    e = num - num.sum() / den.sum() * den
    moments = np.column_stack([np.ones_like(e), e, den, e * e, e * den, den * den])
    observed = _abs_t(label[None, :] @ moments, moments.sum(axis=0))[0]
    if np.isnan(observed):
        return math.nan
    rng = np.random.default_rng(seed)
    extreme, left = 0, permutations
    while left > 0:
        rows = min(left, max(1, _BLOCK // len(label)))
        labels = rng.permuted(np.broadcast_to(label, (rows, len(label))), axis=1)
        # Ties of discrete data differ in the last digits: they count as equally extreme.
        extreme += int((_abs_t(labels @ moments, moments.sum(axis=0)) >= observed * (1 - 1e-12)).sum())
        left -= rows
    return (1 + extreme) / (1 + permutations)


def _abs_t(treatment: npt.NDArray[np.float64], total: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """|Welch's t| of each row of treatment moments against the rest."""
    (delta1, var1), (delta0, var0) = _delta_and_variance(treatment), _delta_and_variance(total - treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        t: npt.NDArray[np.float64] = np.abs(delta1 - delta0) / np.sqrt(var1 + var0)
    return t


def _delta_and_variance(
    moments: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """An arm's ratio minus the pooled one, and its delta-method variance, from n, Σe, Σd, Σe², Σed, Σd²."""
    n, e, d, ee, ed, dd = moments.T
    with np.errstate(divide="ignore", invalid="ignore"):
        delta = e / d
        squares = np.maximum(ee - 2 * delta * ed + delta**2 * dd, 0)
        return delta, squares * n / (n - 1) / d**2
