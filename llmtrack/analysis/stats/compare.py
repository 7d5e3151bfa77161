"""Two independent arms side by side: difference, lift, and Welch's test."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import special

from llmtrack.analysis.stats.ratio import NO_INTERVAL, Interval, Ratio, div


class Difference(NamedTuple):
    """Treatment against control. `lift` is the difference as a share of the control's value."""

    difference: float
    difference_ci: Interval
    lift: float
    lift_ci: Interval
    p: float
    standard_error: float
    df: float


def compare(control: Ratio, treatment: Ratio, alpha: float = 0.05) -> Difference:
    """Treatment - control with Welch's unequal-variance t test over users; the lift's interval on the log scale.

    NaN where there is no number: p and the intervals when an arm has under two users or no arm varies, the lift when
    the control's value is 0, its interval when a value is not above 0 (no logarithm).

    Sources: Welch (1947) for the degrees of freedom; for the lift, the delta method on ln(treatment / control), as
    tea-tasting does, so that the interval never falls below -100 %.

    >>> from llmtrack.analysis.stats import ratio
    >>> d = compare(ratio([1, 2, 3, 4], [1] * 4), ratio([3, 4, 5, 7], [1] * 4))
    >>> round(d.difference, 3), round(d.p, 4), round(d.lift, 3)
    (2.25, 0.0837, 0.9)
    """
    difference = treatment.value - control.value
    lift = div(treatment.value, control.value) - 1
    error, df = _welch(control, treatment, 1.0, 1.0)
    if not error > 0:
        return Difference(difference, NO_INTERVAL, lift, NO_INTERVAL, math.nan, error, df)
    half = float(special.stdtrit(df, 1 - alpha / 2)) * error
    p = 2 * float(special.stdtr(df, -abs(difference) / error))
    ci = Interval(difference - half, difference + half)
    return Difference(difference, ci, lift, _lift_interval(control, treatment, alpha), p, error, df)


def _lift_interval(control: Ratio, treatment: Ratio, alpha: float) -> Interval:
    if not (control.value > 0 and treatment.value > 0):
        return NO_INTERVAL
    error, df = _welch(control, treatment, control.value, treatment.value)
    factor = math.exp(float(special.stdtrit(df, 1 - alpha / 2)) * error)
    times = treatment.value / control.value
    return Interval(times / factor - 1, times * factor - 1)


def _welch(control: Ratio, treatment: Ratio, control_scale: float, treatment_scale: float) -> tuple[float, float]:
    """Standard error and Welch-Satterthwaite degrees of freedom, each arm divided by its scale."""
    a, b = control.variance / control_scale**2, treatment.variance / treatment_scale**2
    if not a + b > 0:
        return math.nan, math.nan
    return math.sqrt(a + b), (a + b) ** 2 / (a**2 / (control.users - 1) + b**2 / (treatment.users - 1))
