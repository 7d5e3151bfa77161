"""Lengths of time, dates and moments as people write them: one reading for the command line and for Python."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from llmtrack.errors import UsageError

When = datetime | date | str

_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 31 * 86400}
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|mo|m|h|d|w)", re.IGNORECASE)
_WEEK: Final = re.compile(r"\d{4}-?W\d\d", re.IGNORECASE)  # no day of it: Python would take its Monday
_DAY: Final = timedelta(days=1)


def length(value: timedelta | str) -> timedelta:
    """A length of time: a number with s, m (min), h, d, w or mo (31 days). Raises UsageError.

    >>> length("7d"), length("90m")
    (datetime.timedelta(days=7), datetime.timedelta(seconds=5400))
    """
    found = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        read = timedelta(seconds=float(found[1]) * _SECONDS[found[2].lower()]) if found else value
    except OverflowError:
        read = value
    if isinstance(read, timedelta) and read > timedelta():
        return read
    raise UsageError(f"{_told(value)} is not a length of time: write 7d, 24h, 90m or 30s.")


def moment(value: When) -> datetime:
    """A date or time in ISO 8601, in UTC where no zone is given; a date is its first moment. Raises UsageError.

    >>> moment("2026-11-01T10:00+02:00").isoformat()
    '2026-11-01T08:00:00+00:00'
    """
    return _read(value)[0]


def end(value: When) -> datetime:
    """The first moment that is too late: as `moment`, but a date includes that day. Raises UsageError.

    >>> end("2026-11-01").isoformat(), end("2026-W44-7").isoformat()
    ('2026-11-02T00:00:00+00:00', '2026-11-02T00:00:00+00:00')
    """
    found, whole_day = _read(value)
    try:
        return found + _DAY if whole_day else found
    except OverflowError:
        raise _no_date(value) from None


def begin(since: datetime | None, last: timedelta | None, now: datetime) -> datetime | None:
    """Where `since` or `last`, counted back from `now`, begins. Raises UsageError when both are given."""
    if last is None:
        return since
    if since is not None:
        raise UsageError("since and last both say where to begin: give one of them.")
    try:
        return now - last
    except OverflowError:
        raise UsageError("last reaches back before the year 1: give less.") from None


def _read(value: When) -> tuple[datetime, bool]:
    """The moment, and whether it is a whole day."""
    text = str(value).strip()
    try:
        if _WEEK.fullmatch(text):
            raise ValueError(text)
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC), _is_day(text)
    except (ValueError, OverflowError):
        raise _no_date(value) from None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _no_date(value: object) -> UsageError:
    return UsageError(f"{_told(value)} is not a date: write 2026-11-01 or 2026-11-01T10:00Z.")


def _told(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"'{value}'"
