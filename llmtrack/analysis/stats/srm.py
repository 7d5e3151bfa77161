"""Sample ratio mismatch: did the arms get the shares of users they were meant to get?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy import special


def srm_p(users: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """p of a χ² test of users per arm against the configured weights (any scale); arms without users count as 0.

    NaN with under two arms of positive weight or without users. Arms that are not in `weights` are left out.
    Source: Fabijan et al. (2019), "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments".

    >>> round(srm_p({"a": 5_300, "b": 4_700}, {"a": 1, "b": 1}), 12)
    1.973e-09
    """
    expected = {arm: weight for arm, weight in weights.items() if weight > 0}
    total = sum(users.get(arm, 0) for arm in expected)
    if len(expected) < 2 or total == 0:
        return math.nan
    scale = total / sum(expected.values())
    chi2 = sum((users.get(arm, 0) - weight * scale) ** 2 / (weight * scale) for arm, weight in expected.items())
    return float(special.chdtrc(len(expected) - 1, chi2))
