"""A test and an interval that trust no normal curve: users change arms, again and again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval, with_zero

Floats = npt.NDArray[np.float64]

ALL_UP_TO: Final = 20_000  # so many assignments are all looked at; of more, random ones
_BLOCK: Final = 2_000_000  # labels held at once (users times assignments): 16 MB of float64
_STEPS: Final = 40  # of the search for an end of the interval: 1e-12 of where it began
_TIE: Final = 1e-9  # discrete data tie, and differ in the last digits


class Permuted(NamedTuple):
    """The equal-tailed p of "no difference", and all differences that the same test does not reject at alpha."""

    p: float
    interval: Interval


NOT_TESTED: Final = Permuted(math.nan, NO_INTERVAL)


def permutation_test(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    treated: npt.ArrayLike,
    *,
    permutations: int,
    seed: int,
    alpha: float = 0.05,
) -> Permuted:
    """Studentised permutation test of the difference of two ratios, and its inversion; one row a user.

    `treated` is True for the treatment's users. The statistic is Welch's t, so that the test holds also where the
    arms' variances differ. All assignments of users to arms are looked at where they are under 20,000, else
    `permutations` random ones, and p = 2 · (1 + those at least as extreme on its side) / (1 + permutations).

    A difference δ is tested by taking δ·denominator off each treated user's numerator. The interval holds the δ that
    the same assignments do not reject, so p and interval agree. Without a test (NaN, no interval): an arm of under
    two users, or nothing in the denominator.

    Sources: Janssen (1997), "Studentized permutation tests for non-i.i.d. hypotheses"; Phipson & Smyth (2010) for the
    added 1; Garthwaite (1996), "Confidence intervals from randomization tests", for the inversion.

    >>> found = permutation_test([1, 2, 3, 4, 9, 8, 7, 9], [1] * 8, [0, 0, 0, 0, 1, 1, 1, 1], permutations=0, seed=1)
    >>> round(found.p, 4), [round(end, 2) for end in found.interval]
    (0.0286, [3.0, 8.0])
    """
    num, den = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    label = np.asarray(treated, dtype=bool)
    if min(label.sum(), len(label) - label.sum()) < 2 or not (den[label].sum() > 0 and den[~label].sum() > 0):
        return NOT_TESTED
    scale = float(np.abs(num).max()) or 1.0
    moved = _Assignments(num / scale, den, label, permutations, seed)
    p = moved.p(0.0)
    ends = [_end(moved.p, moved.difference, moved.spread * way, alpha) for way in (-1, 1)]
    lo, hi = (end * scale for end in ends)
    interval = Interval(lo, hi)  # p need not fall evenly on the way to an end
    return Permuted(p, with_zero(interval) if p > alpha else interval)


class _Assignments:
    """The sums of each arm under every assignment, from which t follows for any δ without another look at users."""

    def __init__(self, num: Floats, den: Floats, label: npt.NDArray[np.bool_], permutations: int, seed: int) -> None:
        own = label * den  # what δ takes off, wherever its user is assigned to
        # Centred on the pooled ratio, the sums of squares below lose no digits.
        e = num - num.sum() / den.sum() * den
        basis = (np.ones_like(e), e, own, den, e * e, e * own, own * own, e * den, own * den, den * den)
        rows, counts, place = _alike(np.column_stack([e, den, label]))
        table = np.column_stack(basis)[rows]
        total = counts @ table
        held = np.bincount(place[label], minlength=len(counts)).astype(np.float64) @ table
        size, n = int(label.sum()), len(label)
        self.exact = math.comb(n, size) <= ALL_UP_TO
        if self.exact:
            drawn = _every(np.column_stack(basis), size)
        elif permutations:
            drawn = _random(table, counts, size, permutations, np.random.default_rng(seed))
        else:
            drawn = np.empty((0, len(basis)))
        self._arms = (drawn.T, total[:, None] - drawn.T)
        self._own = (held[:, None], (total - held)[:, None])
        self.difference = float(_t(*self._own, 0.0)[1][0])
        error = float(_t(*self._own, 0.0)[2][0])
        self.spread = max(error, abs(self.difference), 1e-6) * 4

    def p(self, delta: float) -> float:
        """Equal-tailed p of a difference of `delta`."""
        t, observed = _t(*self._arms, delta)[0], float(_t(*self._own, delta)[0][0])
        tie = _TIE * max(1.0, abs(observed)) if math.isfinite(observed) else 0.0
        cannot_tell = int(np.isnan(t).sum())
        above = int((t >= observed - tie).sum()) + cannot_tell
        below = int((t <= observed + tie).sum()) + cannot_tell
        least = min(above, below)
        tail = least / len(t) if self.exact else (1 + least) / (1 + len(t))
        return min(1.0, 2 * tail)


def _t(treatment: Floats, control: Floats, delta: float) -> tuple[Floats, Floats, Floats]:
    """Welch's t of each assignment once δ is taken off, with its difference and standard error.

    Where nothing varies t is 0 (no difference) or infinite; NaN where an arm has an empty denominator.
    """
    (r1, v1), (r0, v0) = _ratio_and_variance(treatment, delta), _ratio_and_variance(control, delta)
    difference, error = r1 - r0, np.sqrt(v1 + v0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / error
    nothing = (error <= 1e-12) & ~np.isnan(difference)
    size = np.abs(difference) > 1e-9
    return np.where(nothing, np.where(size, np.copysign(np.inf, difference), 0.0), t), difference, error


def _ratio_and_variance(sums: Floats, delta: float) -> tuple[Floats, Floats]:
    n, e, own, d, ee, eo, oo, ed, od, dd = sums
    moved, squares, cross = e - delta * own, ee - 2 * delta * eo + delta**2 * oo, ed - delta * od
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(d > 0, moved / d, np.nan)
        residual = np.maximum(squares - 2 * r * cross + r**2 * dd, 0)
        return r, residual * n / (n - 1) / d**2


def _alike(rows: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Of users with the same numbers one, how many they are, and where each user's numbers stand."""
    _, first, place, counts = np.unique(rows, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return first, counts, place.reshape(-1)


def _every(table: Floats, size: int) -> Floats:
    """The sums of `size` users in every choice of them."""
    chosen = np.array(list(itertools.combinations(range(len(table)), size)))
    return np.asarray(table[chosen].sum(axis=1))


def _random(table: Floats, counts: npt.NDArray[np.int64], size: int, draws: int, rng: np.random.Generator) -> Floats:
    """The sums of `size` users drawn at random, once a row; of users who are alike only their number is drawn."""
    n = int(counts.sum())
    if len(counts) * 4 < n:  # few kinds of users: a hypergeometric draw a kind
        return np.asarray(rng.multivariate_hypergeometric(counts, size, draws, method="marginals") @ table)
    users, done = table[np.repeat(np.arange(len(counts)), counts)], []
    rows = max(1, _BLOCK // n)
    label = (np.arange(n) < size).astype(np.float64)
    for first in range(0, draws, rows):
        labels = rng.permuted(np.broadcast_to(label, (min(rows, draws - first), n)), axis=1)
        done.append(labels @ users)
    return np.concatenate(done)


def _end(p: Callable[[float], float], inside: float, step: float, alpha: float) -> float:
    """Where p falls to alpha on the way from `inside`; infinite where it never does."""
    near, far = inside, inside + step
    for _ in range(30):
        if p(far) <= alpha:
            break
        near, far = far, far + (far - inside)
    else:
        return math.copysign(math.inf, step)
    for _ in range(_STEPS):
        middle = (near + far) / 2
        near, far = (near, middle) if p(middle) <= alpha else (middle, far)
    return near
