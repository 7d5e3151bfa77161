"""Times of any shape, as other writers stored them, become epoch milliseconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from llmtrack.session.schema import MAX_T_MS
from llmtrack.session.values import Floats, number

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
# Below it, so large a number counts from another year: .NET's ticks from 1, Windows's from 1601, Apple's from 2001.
_2000_NS: Final = 946_684_800e9
# Which unit a number counts, its size says (from, below, factor, divisor); the smallest are ms since a page opened.
_UNITS: Final = ((1e8, 1e11, 1e3, 1), (1e14, 1e17, 1, 1e3), (_2000_NS, np.inf, 1, 1e6))  # s, µs, ns
_NAMES: Final = ((1e14, "ms"), (1e17, "microseconds"), (np.inf, "nanoseconds"))  # below, the unit of a number
_ZONE: Final = re.compile(r"(.+?)\s*\[([A-Za-z0-9_+/-]+)\]")  # Java: 2026-11-01T10:00+01:00[Europe/Berlin]
_UTC: Final = re.compile(r"(.*\d)(?:\s*[+-]00:?00)?\s*(?:UTC|GMT|Z)")  # 2026-11-01 10:00:00 UTC; Go adds +0000 before
_SCRIPT: Final = re.compile(  # JavaScript: Sun Nov 01 2026 10:00:00 GMT+0100 (Central European Standard Time)
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([+-]\d{4})(?: \(.*\))?"
)


def epoch_ms(value: Any) -> float | None:
    """A time of any shape as epoch ms; None when it is none between 1970 and 2100.

    Takes datetime (naive means UTC), BSON dates and timestamps, numbers or numeric strings in s, ms, µs or ns, and the
    texts that ISO 8601, RFC 2822, Java, Go and JavaScript write.

    >>> epoch_ms("2024-10-27T10:00:00Z") == epoch_ms(1730023200) == epoch_ms("1730023200000000")
    True
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _number_or_date(value.strip())
    elif hasattr(value, "as_datetime") and not hasattr(value, "__int__"):  # BSON's timestamp; its dates are always ms
        value = value.as_datetime()
    if isinstance(value, datetime):
        ms = ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) / _MS
    else:
        ms = number(value)
        if isinstance(value, int | float) or hasattr(value, "to_decimal"):
            ms = next((ms * factor / divisor for first, below, factor, divisor in _UNITS if first <= ms < below), ms)
    return ms if 0 <= ms < MAX_T_MS else None


def _number_or_date(value: str) -> float | datetime | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    try:
        return _written_out(value)
    except (
        ValueError,
        KeyError,
        OverflowError,
        OSError,
        TypeError,
        IndexError,
    ):  # zoneinfo, email
        return None


def _written_out(value: str) -> datetime | None:
    if found := _ZONE.fullmatch(value):
        moment = datetime.fromisoformat(found[1])
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(found[2]))
    if found := _SCRIPT.fullmatch(value):
        return datetime.strptime(" ".join(found.groups()), "%b %d %Y %H:%M:%S %z")
    if (found := _UTC.fullmatch(value)) and found[1][0].isdigit():
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    from email.utils import parsedate_to_datetime

    return parsedate_to_datetime(value) if value[:1].isalnum() and ":" in value else None


def raw_ms(value: Any) -> float:
    """A time as epoch ms; a number that is none as it is, for `times` to refuse; NaN for all else."""
    found = epoch_ms(value)
    return number(value) if found is None else found


def refusal(t: float) -> str:
    """Why `times` refuses such a number, which names the unit; "" for NaN.

    >>> refusal(math.nan), refusal(-5.0), refusal(5e15)
    ('', 'before_1970', 'after_2100_in_microseconds')
    """
    if math.isnan(t):
        return ""
    if 1e17 <= t < _2000_NS:
        return "before_2000_in_nanoseconds"
    return "before_1970" if t < 0 else f"after_2100_in_{next(name for below, name in _NAMES if t < below)}"


def times(values: list[float]) -> Floats:
    """Numbers as epoch ms, NaN where they are no time: `epoch_ms` for many at once."""
    t = np.array(values, dtype=np.float64)
    for first, below, factor, divisor in _UNITS:
        counted = (t >= first) & (t < below)
        t[counted] = t[counted] * factor / divisor
    t[~((t >= 0) & (t < MAX_T_MS))] = np.nan
    return t
