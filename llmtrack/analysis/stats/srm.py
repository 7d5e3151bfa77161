"""Sample ratio mismatch: did the arms get the shares of users they were meant to get?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

FEW: Final = 10  # users that an arm should have: under this χ² is rough
DRAWS: Final = 100_000


def srm_p(users: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """p of a test of users per arm against the configured weights (any scale); arms without users count as 0.

    χ², or where an arm should have under 10 users the exact multinomial test (of three arms or more by 100,000 draws).
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
    if min(expected.values()) * scale < FEW:
        return _exact([users.get(arm, 0) for arm in expected], [weight * scale / total for weight in expected.values()])
    chi2 = sum((users.get(arm, 0) - weight * scale) ** 2 / (weight * scale) for arm, weight in expected.items())
    return float(special.chdtrc(len(expected) - 1, chi2))


def _exact(counts: list[int], shares: list[float]) -> float:
    """The chance of a split that is no likelier than this one."""
    total = sum(counts)
    if len(counts) == 2:
        first = np.arange(total + 1)
        split = np.column_stack([first, total - first])
        chances = np.exp(_log_chance(split, shares))
        return min(1.0, float(chances[chances <= chances[counts[0]] * (1 + 1e-9)].sum()))
    drawn = np.random.default_rng(0).multinomial(total, shares, DRAWS)
    likely = _log_chance(drawn, shares) > float(_log_chance(np.array([counts]), shares)[0]) + 1e-9
    return (1 + int((~likely).sum())) / (1 + DRAWS)


def _log_chance(splits: npt.NDArray[np.int64], shares: list[float]) -> npt.NDArray[np.float64]:
    ways = special.gammaln(splits.sum(axis=1) + 1) - special.gammaln(splits + 1).sum(axis=1)
    found: npt.NDArray[np.float64] = ways + (splits * np.log(shares)).sum(axis=1)
    return found
