"""Values of any shape, as other writers stored them: times become epoch milliseconds, names become text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from llmtrack.session.schema import well_formed

Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]
T = TypeVar("T")


def several(given: str | Iterable[T]) -> tuple[T | str, ...]:
    """What was given, as a tuple; a text alone is one, not its letters.

    >>> several("prompt"), several(["prompt", "copy"])
    (('prompt',), ('prompt', 'copy'))
    """
    return (given,) if isinstance(given, str) else tuple(given)


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values, each once, in order. Without an index numpy imports masked arrays: slow to start."""
    return np.unique(values, return_index=True)[0]


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


def numbers(values: Sequence[Any]) -> Floats:
    """Numbers of any shape as floats, NaN where there is none."""
    if not {*map(type, values)} <= {int, float, type(None)}:
        values = [number(value) for value in values]
    result = np.array(values, dtype=np.float64)
    result[np.isinf(result)] = np.nan
    return result
