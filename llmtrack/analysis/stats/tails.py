"""Heavy tails: one tab left open overnight must not decide an experiment."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Winsorised(NamedTuple):
    """Values with the largest lowered to `limit`; `limit` is NaN when none were."""

    values: npt.NDArray[np.float64]
    limit: float


def winsorise(values: npt.ArrayLike, share: float = 0.99) -> Winsorised:
    """Values above the `share` quantile lowered to it; NaN stays NaN.

    The quantile must be taken over all arms together, else the arms are cut differently. A quantile equal to the
    smallest value (nearly all rows 0) would erase the numbers instead of taming them: then nothing is lowered.

    >>> winsorise([1, 2, 3, 100], share=0.5)
    Winsorised(values=array([1. , 2. , 2.5, 2.5]), limit=2.5)
    """
    x = np.asarray(values, dtype=np.float64)
    known = x[~np.isnan(x)]
    limit = float(np.quantile(known, share)) if len(known) else math.nan
    if len(known) == 0 or limit == known.min():
        return Winsorised(x, math.nan)
    return Winsorised(np.minimum(x, limit), limit)
