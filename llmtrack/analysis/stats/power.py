"""How small a difference this much data could have shown."""

from __future__ import annotations

import math

from scipy import special


def mde(standard_error: float, df: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The minimum detectable effect: a true difference of this size is found with probability `power`.

    In the unit of `standard_error` (that of the observed difference). Solved on the noncentral t with `df` degrees of
    freedom, on the normal when df is infinite; the chance of a significant result of the wrong sign (under 1e-4) is
    left out. NaN without a standard error. Source: Cohen (1988), "Statistical Power Analysis", chapter 2.

    >>> round(mde(1.0, float("inf")), 3), round(mde(1.0, 58), 3)
    (2.802, 2.849)
    """
    if not standard_error > 0:
        return math.nan
    if math.isinf(df):
        return standard_error * float(special.ndtri(1 - alpha / 2) + special.ndtri(power))
    critical = special.stdtrit(df, 1 - alpha / 2)
    return standard_error * float(special.nctdtrinc(df, 1 - power, critical))
