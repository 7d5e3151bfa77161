"""What a comparison says in one word."""

from __future__ import annotations

from typing import Final, Literal

from scipy import special

from llmtrack.analysis.stats.ratio import Interval

Good = Literal["up", "down", "none"]
POWER: Final = 0.8


def verdict(
    good: Good, difference_ci: Interval, lift_ci: Interval, p: float, *, alpha: float = 0.05, margin: float = 0.05
) -> str:
    """better, worse, higher, lower, equivalent or inconclusive; never from p alone.

    equivalent, where nothing varies and both values are the same (an interval of 0 to 0); and where a side is good:
    when the whole lift interval lies within ± `margin` (a share of the control's value), whatever p says: a difference
    too small to matter; but only of data that would have shown one as large as the margin four times in five. Else a
    direction, when the interval of the difference leaves out 0 and the adjusted p is under alpha: better or worse if
    the metric has a good side, else higher or lower. Everything else, a missing interval included, is inconclusive.
    Source: Schuirmann (1987) for equivalence by interval; the interval is 1 - alpha, stricter than his 1 - 2·alpha.

    >>> verdict("up", Interval(0.1, 0.3), Interval(0.2, 0.9), 0.01)
    'better'
    >>> verdict("none", Interval(-3, -1), Interval(-0.3, -0.1), 0.01)
    'lower'
    >>> verdict("up", Interval(0.01, 0.02), Interval(0.01, 0.02), 0.001)
    'equivalent'
    """
    if difference_ci == (0, 0):
        return "equivalent"
    z = float(special.ndtri(1 - alpha / 2))
    could_see = (lift_ci.hi - lift_ci.lo) / 2 * (1 + float(special.ndtri(POWER)) / z)
    if good != "none" and -margin <= lift_ci.lo and lift_ci.hi <= margin and could_see <= margin:
        return "equivalent"
    higher, lower = difference_ci.lo > 0, difference_ci.hi < 0
    if not (p < alpha and (higher or lower)):
        return "inconclusive"
    if good == "none":
        return "higher" if higher else "lower"
    return "better" if higher == (good == "up") else "worse"
