"""Times of any shape, as other writers stored them, become epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from llmtrack.session.schema import MAX_T_MS
from llmtrack.session.values import Floats, number

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_SECONDS_FROM: Final = 1e8  # 1e8 to 1e11 is epoch seconds (1973 to 5138); below it, ms since the page was opened
_MS_FROM: Final = 1e11


def epoch_ms(value: Any) -> float | None:
    """A time of any shape as epoch ms; None when it is none between 1970 and 2100.

    Takes datetime (naive means UTC), ISO 8601, BSON dates, and numbers or numeric strings in s or ms.

    >>> epoch_ms("2024-10-27T10:00:00Z") == epoch_ms(1730023200) == epoch_ms("1730023200000")
    True
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _number_or_date(value.strip())
    if isinstance(value, datetime):
        ms = ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) / _MS
    else:
        ms = number(value)
        if _SECONDS_FROM <= ms < _MS_FROM and isinstance(value, int | float):  # BSON dates are always ms
            ms *= 1000
    return ms if 0 <= ms < MAX_T_MS else None


def _number_or_date(value: str) -> float | datetime | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def times(values: list[float]) -> Floats:
    """Numbers as epoch ms, NaN where they are no time: `epoch_ms` for many at once."""
    t = np.array(values, dtype=np.float64)
    t[(t >= _SECONDS_FROM) & (t < _MS_FROM)] *= 1000
    t[~((t >= 0) & (t < MAX_T_MS))] = np.nan
    return t
