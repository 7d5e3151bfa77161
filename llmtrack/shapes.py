"""Values of any shape, as other writers stored them: times become epoch milliseconds, names become text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from llmtrack.model import MAX_T_MS, well_formed

Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]

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


def number(value: Any) -> float:
    """A number of any shape as float; NaN when it is none, or not finite.

    >>> number("2500"), number(None)
    (2500.0, nan)
    """
    if isinstance(value, bool | bytes):
        return math.nan
    if not isinstance(value, float | int | str):
        if hasattr(value, "__int__"):  # BSON's dates in ms
            value = int(value)
        elif hasattr(value, "to_decimal"):  # BSON's Decimal128
            value = value.to_decimal()
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def text(value: Any) -> str | None:
    """Text of a value where text belongs: None when there is none, JSON of an object or a list.

    >>> text(42), text({"code": 500}), text(""), text(False)
    ('42', '{"code": 500}', None, None)
    """
    if isinstance(value, str):
        return (value if value.isascii() else well_formed(value)) or None
    if value is None or value is False:
        return None
    if isinstance(value, dict | list):
        return well_formed(json.dumps(value, ensure_ascii=False, default=str))
    return str(value)


def texts(values: Sequence[Any]) -> Objects:
    """`text` of many values at once."""
    if {*map(type, values)} <= {str, type(None)}:
        try:
            "".join(filter(None, values)).encode()
        except UnicodeEncodeError:  # a lone surrogate, as JSON can hold
            values = [text(value) for value in values]
        else:
            values = [value or None for value in values]
    else:
        values = [text(value) for value in values]
    return np.fromiter(values, dtype=object, count=len(values))


def name(value: Any) -> str | None:
    """An id or a name: text, or the text of a whole number or an ObjectId; None for anything else."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | float | bytes | dict | list | datetime):
        return None
    return str(value)


def times(values: list[float]) -> Floats:
    """Numbers as epoch ms, NaN where they are no time: `epoch_ms` for many at once."""
    t = np.array(values, dtype=np.float64)
    t[(t >= _SECONDS_FROM) & (t < _MS_FROM)] *= 1000
    t[~((t >= 0) & (t < MAX_T_MS))] = np.nan
    return t


def numbers(values: Sequence[Any]) -> Floats:
    """Numbers of any shape as floats, NaN where there is none."""
    if not {*map(type, values)} <= {int, float, type(None)}:
        values = [number(value) for value in values]
    result = np.array(values, dtype=np.float64)
    result[np.isinf(result)] = np.nan
    return result


def names(values: Sequence[Any], missing: str) -> list[str]:
    """`name` of many values at once, `missing` where there is none."""
    return [value if type(value) is str and value.isascii() and value else name(value) or missing for value in values]
