"""Stored values as JSON can hold them: one home for the command line and the collector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llmtrack.session.ids import name


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: times in ISO 8601 with Z, NaN as null, BSON's own types as their text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(member) for member in value]
    if hasattr(value, "item"):  # numpy's scalars
        return jsonable(value.item())
    return name(value) or (value.hex() if isinstance(value, bytes) else str(value))


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with Z; milliseconds only when there are some.

    >>> iso(datetime(2024, 10, 27, 10, tzinfo=UTC))
    '2024-10-27T10:00:00Z'
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
