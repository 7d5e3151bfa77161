"""Lengths, dates and moments, as the command line and Python both read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from llmtrack.errors import UsageError
from llmtrack.session import moments
from llmtrack.session.filters import Filters

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("90m", timedelta(minutes=90)),
        ("90min", timedelta(minutes=90)),
        ("2mo", timedelta(days=62)),
        ("1.5h", timedelta(minutes=90)),
        ("2W", timedelta(days=14)),
        (" 30 s ", timedelta(seconds=30)),
        (timedelta(hours=3), timedelta(hours=3)),
    ],
)
def test_a_length_of_time(value: timedelta | str, expected: timedelta) -> None:
    assert moments.length(value) == expected


@pytest.mark.parametrize("value", ["", "7", "d", "-7d", "0d", "7 years", "9" * 30 + "w", timedelta(), 7])
def test_what_is_no_length_of_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="is not a length of time: write 7d"):
        moments.length(value)


@pytest.mark.parametrize(
    ("value", "begin", "end"),
    [
        ("2026-11-01", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("20261101", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("2026-W44-7", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("2026W447", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        (date(2026, 11, 1), "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("2026-W44-7T10:30", "2026-11-01T10:30+00:00", "2026-11-01T10:30+00:00"),
        ("2026-11-01T10:30", "2026-11-01T10:30+00:00", "2026-11-01T10:30+00:00"),
        ("2026-11-01 10:30:05Z", "2026-11-01T10:30:05+00:00", "2026-11-01T10:30:05+00:00"),
        ("2026-11-01T10:30+02:00", "2026-11-01T08:30+00:00", "2026-11-01T08:30+00:00"),
        (datetime(2026, 11, 1), "2026-11-01T00:00+00:00", "2026-11-01T00:00+00:00"),  # noqa: DTZ001 - naive is UTC
    ],
)
def test_a_date_is_utc_and_as_an_end_a_whole_day(value: moments.When, begin: str, end: str) -> None:
    assert moments.moment(value) == datetime.fromisoformat(begin)
    assert moments.end(value) == datetime.fromisoformat(end)


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "1.11.2026", "2026-13-01", "2026-W44", "0001-01-01T00:00+14:00", "9999-12-31", 20261101.0, None],
)
def test_what_is_no_date_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="is not a date: write 2026-11-01"):
        moments.end(value)


def test_last_counts_back_from_now() -> None:
    assert moments.begin(None, timedelta(days=7), NOW) == datetime(2026, 11, 15, 12, tzinfo=UTC)
    assert moments.begin(NOW, None, NOW) == NOW
    assert moments.begin(None, None, NOW) is None


def test_two_beginnings_and_one_before_all_time_are_refused() -> None:
    with pytest.raises(UsageError, match="since and last both"):
        moments.begin(NOW, timedelta(days=1), NOW)
    with pytest.raises(UsageError, match="before the year 1"):
        moments.begin(None, timedelta(days=999_999), NOW)


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1)])
def test_an_end_that_is_not_after_the_beginning_is_refused(until: datetime) -> None:
    with pytest.raises(UsageError, match=r"until ends at 2026-11-2\dT12:00:00Z, and since begins at 2026-11-22T"):
        Filters(since=NOW, until=until)
