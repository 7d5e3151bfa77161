"""A test and an interval that trust no normal curve: users change arms, again and again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval, with_zero

Floats = npt.NDArray[np.float64]

ALL_UP_TO: Final = 20_000  # so many assignments are all looked at; of more, random ones
_BLOCK: Final = 2_000_000  # labels held at once (users times assignments): 16 MB of float64
_ROUNDS: Final = 30  # of the search for an end of the interval: 1e-9 of where it began
_MOST: Final = 50.0  # of a factor's logarithm: beyond, digits are lost
_TIE: Final = 1e-9  # discrete data tie, and differ in the last digits


class Permuted(NamedTuple):
    """The equal-tailed p of "no difference", and all differences and lifts that the same test keeps at alpha."""

    p: float
    interval: Interval
    lift: Interval


NOT_TESTED: Final = Permuted(math.nan, NO_INTERVAL, NO_INTERVAL)
DIFFERENCE, LIFT = 0, 1  # what is asked for


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

    `treated` is True for the treatment's users; a user with nothing in the denominator is no user. The statistic is
    Welch's t, so that the test holds also where the arms' variances differ. All assignments of users to arms are looked
    at where they are under 20,000, else `permutations` random ones, and p = 2 · (1 + those at least as extreme on its
    side) / (1 + permutations).

    A difference δ is tested by taking δ·denominator off each treated user's numerator, a lift by dividing that by
    1 + lift (where both ratios are above 0). The intervals hold what the same assignments do not reject, so they agree
    with p. Without a test (NaN, no interval): an arm of under two users.

    Sources: Janssen (1997), "Studentized permutation tests for non-i.i.d. hypotheses"; Phipson & Smyth (2010) for the
    added 1; Garthwaite (1996), "Confidence intervals from randomization tests", for the inversion.

    >>> found = permutation_test([1, 2, 3, 4, 9, 8, 7, 9], [1] * 8, [0, 0, 0, 0, 1, 1, 1, 1], permutations=0, seed=1)
    >>> round(found.p, 4), [round(end, 2) for end in found.interval], [round(end, 2) for end in found.lift]
    (0.0286, [3.0, 8.0], [0.75, 8.0])
    """
    num, den = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    there = den > 0
    num, den, label = num[there], den[there], np.asarray(treated, dtype=bool)[there]
    if min(label.sum(), len(label) - label.sum()) < 2:
        return NOT_TESTED
    scale = float(np.abs(num).max()) or 1.0
    moved = Assignments(num / scale, den, label, permutations=permutations, seed=seed)
    p, lift = moved.p(0.0), NO_INTERVAL
    lo, hi = ends(moved.p, moved.difference, (moved.spread, moved.spread), alpha)
    interval = Interval(lo * scale, hi * scale)
    if moved.factor > 0:
        step = min(moved.spread / moved.smaller, 1.0)
        logs = ends(moved.p_of_factor, math.log(moved.factor), (step, step), alpha)
        lift = Interval(*(math.expm1(end) for end in logs))
    if p > alpha:  # p need not fall evenly on the way to an end
        interval, lift = with_zero(interval), with_zero(lift)
    return Permuted(p, interval, lift)


class Assignments:
    """The sums of each arm under every assignment, from which t follows for any δ without another look at users.

    One row a user with something in the denominator, two users an arm at least.
    """

    def __init__(self, num: Floats, den: Floats, label: npt.NDArray[np.bool_], *, permutations: int, seed: int) -> None:
        # Centred on the pooled ratio, the sums of squares below lose no digits.
        e = num - num.sum() / den.sum() * den
        basis = [np.ones_like(e), e, den, e * e, e * den, den * den]
        for own in (label * den, label * num):  # what a difference, a lift takes off, wherever its user is assigned to
            basis += [own, e * own, own * own, own * den]
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
        ratios = num[~label].sum() / den[~label].sum(), num[label].sum() / den[label].sum()
        self.smaller = float(min(ratios))
        self.factor = float(ratios[1] / ratios[0]) if self.smaller > 0 else math.nan
        self._null: Floats | None = None

    def p(self, delta: float, of: int = DIFFERENCE) -> float:
        """Equal-tailed p of a difference of `delta`, or of a treatment whose numerators lost that share of them."""
        return self._tail(_t(*self._arms, delta, of)[0], float(_t(*self._own, delta, of)[0][0]))

    def p_of_factor(self, log: float) -> float:
        """Equal-tailed p of a treatment that is e**`log` times the control."""
        return self.p(-math.expm1(min(max(-log, -_MOST), _MOST)), LIFT)

    def p_of(self, t: float) -> float:
        """Equal-tailed p of a statistic that would be as `t` of these users without a difference."""
        if self._null is None:
            self._null = _t(*self._arms, 0.0)[0]
        return self._tail(self._null, t)

    def _tail(self, drawn: Floats, observed: float) -> float:
        tie = _TIE * max(1.0, abs(observed)) if math.isfinite(observed) else 0.0
        cannot_tell = int(np.isnan(drawn).sum())
        above = int((drawn >= observed - tie).sum()) + cannot_tell
        below = int((drawn <= observed + tie).sum()) + cannot_tell
        least = min(above, below)
        tail = least / len(drawn) if self.exact else (1 + least) / (1 + len(drawn))
        return min(1.0, 2 * tail)


def _t(treatment: Floats, control: Floats, delta: float, of: int = DIFFERENCE) -> tuple[Floats, Floats, Floats]:
    """Welch's t of each assignment once δ is taken off, with its difference and standard error.

    Where nothing varies t is 0 (no difference) or infinite; NaN where an arm has an empty denominator.
    """
    (r1, v1), (r0, v0) = (_ratio_and_variance(arm, delta, of) for arm in (treatment, control))
    difference, error = r1 - r0, np.sqrt(v1 + v0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / error
    nothing = (error <= 1e-12) & ~np.isnan(difference)
    size = np.abs(difference) > 1e-9
    return np.where(nothing, np.where(size, np.copysign(np.inf, difference), 0.0), t), difference, error


def _ratio_and_variance(sums: Floats, delta: float, of: int) -> tuple[Floats, Floats]:
    n, e, d, ee, ed, dd = sums[:6]
    own, eo, oo, od = sums[6 + 4 * of : 10 + 4 * of]
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
    users = table[np.repeat(np.arange(len(counts)), counts)]
    small = min(size, n - size)
    found = np.concatenate(list(_samples(users, small, draws, rng)))[:draws]
    return found if small == size else users.sum(axis=0) - found


def _samples(users: Floats, size: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """The sums of samples without replacement, at least `draws` of them.

    One shuffling of all users gives as many samples as fit into it side by side: each of them is random, and together
    they lie more evenly than independent ones.
    """
    n = len(users)
    each = n // size
    shufflings = -(-draws // each)
    rows = max(1, _BLOCK // n)
    for first in range(0, shufflings, rows):
        many = min(rows, shufflings - first)
        if each > 3:
            order = rng.permuted(np.broadcast_to(np.arange(n, dtype=np.int32), (many, n)), axis=1)
            chosen = order[:, : each * size].reshape(many * each, size)
            yield np.column_stack([column[chosen].sum(axis=1) for column in users.T])
        else:
            of = rng.permuted(np.broadcast_to((np.arange(n) // size).astype(np.int8), (many, n)), axis=1)
            yield from ((of == sample).astype(np.float64) @ users for sample in range(each))


def ends(
    p: Callable[[float], float], inside: float, steps: tuple[float, float], alpha: float, *, rounds: int = _ROUNDS
) -> Interval:
    """All δ around `inside` of which p is above alpha; infinite where p never falls to it.

    `steps`: how far the first look goes to each side; `rounds`: how often the way to an end is halved. Where p of 0 is
    alpha or less, 0 is not in it.
    """
    out = p(0.0) <= alpha
    lo, hi = (_end(p, inside, way * step, alpha, out, rounds) for way, step in zip((-1, 1), steps, strict=True))
    return Interval(lo, hi)


def _end(
    p: Callable[[float], float], inside: float, step: float, alpha: float, zero_is_out: bool, rounds: int
) -> float:
    """Where p falls to alpha on the way from `inside`."""
    near, far = inside, inside + step
    if zero_is_out and inside * step < 0:
        far = 0.0  # p need not fall evenly: never past 0 then
    else:
        for _ in range(30):
            if p(far) <= alpha:
                break
            near, far = far, far + (far - inside)
        else:
            return math.copysign(math.inf, step)
    for _ in range(rounds):
        middle = (near + far) / 2
        near, far = (near, middle) if p(middle) <= alpha else (middle, far)
    return near
