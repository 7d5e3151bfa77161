"""The options that commands share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from llmtrack.cli.options import end_moment, filters, length, moment

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("90m", timedelta(minutes=90)),
        ("90min", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2W", timedelta(days=14)),
        (" 30 s ", timedelta(seconds=30)),
    ],
)
def test_a_length_of_time(text: str, expected: timedelta) -> None:
    assert length(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "0d", "7 years", "9" * 30 + "w"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a length of time: write 7d"):
        length(text)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2026-11-01", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("20261101", "2026-11-01T00:00+00:00", "2026-11-02T00:00+00:00"),
        ("2026-11-01T10:30", "2026-11-01T10:30+00:00", "2026-11-01T10:30+00:00"),
        ("2026-11-01 10:30:05Z", "2026-11-01T10:30:05+00:00", "2026-11-01T10:30:05+00:00"),
        ("2026-11-01T10:30+02:00", "2026-11-01T08:30+00:00", "2026-11-01T08:30+00:00"),
    ],
)
def test_a_date_is_utc_and_as_an_end_a_whole_day(text: str, begin: str, end: str) -> None:
    assert moment(text) == datetime.fromisoformat(begin)
    assert end_moment(text) == datetime.fromisoformat(end)


@pytest.mark.parametrize("text", ["", "yesterday", "1.11.2026", "2026-13-01", "0001-01-01T00:00+14:00", "9999-12-31"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a date: write 2026-11-01"):
        end_moment(text)


def test_last_counts_back_from_now() -> None:
    assert filters(last=timedelta(days=7), now=NOW).since == datetime(2026, 11, 15, 12, tzinfo=UTC)


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="--since and --last both"):
        filters(since=NOW, last=timedelta(days=1))
    with pytest.raises(typer.BadParameter, match="--until ends at 2026-11-21 12:00, before --since"):
        filters(since=NOW, until=NOW - timedelta(days=1))


def test_a_length_beyond_all_time_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="before the year 1"):
        filters(last=timedelta(days=999_999), now=NOW)
