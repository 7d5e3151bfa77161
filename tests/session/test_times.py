"""Times of other writers: the same moment in every unit and every text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.document import unusable
from llmtrack.session.times import epoch_ms, times

NINE = 1_793_523_600  # 2026-11-01T09:00:00Z
TEXTS = [
    "2026-11-01 09:00:00 UTC",
    "2026-11-01 09:00:00 GMT",
    "2026-11-01 09:00:00 +0000 UTC",
    "2026-11-01T10:00:00+01:00[Europe/Berlin]",
    "2026-11-01T10:00[Europe/Berlin]",
    "2026-11-01T09:00:00Z[UTC]",
    "Sun, 01 Nov 2026 09:00:00 GMT",
    "Sun, 1 Nov 2026 10:00:00 +0100",
    "Sun Nov 01 2026 10:00:00 GMT+0100 (Central European Standard Time)",
    "Sun Nov  1 09:00:00 2026",
    str(NINE * 10**6),
    str(NINE * 10**9),
]
NO_TIMES = ["Sunday: later", "10:00", "[Europe/Berlin]", "2026-11-01T10:00[No/Where]", "11/01/2026, 9:00:00 AM", 1e20]


@pytest.mark.parametrize("written", TEXTS)
def test_times_that_are_written_out(written: str) -> None:
    assert epoch_ms(written) == NINE * 1000


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9], ids=["s", "ms", "µs", "ns"])
@pytest.mark.parametrize("kind", [int, float, Int64, lambda count: Decimal128(str(count))])
def test_a_number_is_in_the_unit_that_its_size_says(unit: int, kind: Any) -> None:
    assert epoch_ms(kind(NINE * unit)) == NINE * 1000


def test_a_timestamp_of_the_server_is_a_time() -> None:
    assert epoch_ms(Timestamp(NINE, 3)) == NINE * 1000


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_what_is_no_time(value: Any) -> None:
    assert epoch_ms(value) is None


@given(st.lists(st.floats(min_value=-1, max_value=1e22), max_size=20))
def test_many_at_once_are_as_one_by_one(values: list[float]) -> None:
    one_by_one = [epoch_ms(value) for value in values]
    assert [None if each != each else each for each in times(values).tolist()] == one_by_one


@pytest.mark.parametrize(
    ("t", "reason"),
    [
        (None, "event_without_t"),
        ("soon", "event_without_t"),
        (-5, "event_with_t_before_1970"),
        (5e13, "event_with_t_after_2100_in_ms"),
        ("9000000000000000", "event_with_t_after_2100_in_microseconds"),
        (Int64(9 * 10**18), "event_with_t_after_2100_in_nanoseconds"),
        (639_291_240_000_000_000, "event_with_t_before_2000_in_nanoseconds"),  # .NET: ticks of 100 ns since the year 1
        (134_380_008_000_000_000, "event_with_t_before_2000_in_nanoseconds"),  # Windows: the same since 1601
        ("815220000000000000", "event_with_t_before_2000_in_nanoseconds"),  # Apple: ns since 2001
        (Decimal128("1e20"), "event_with_t_after_2100_in_nanoseconds"),
    ],
)
@pytest.mark.parametrize("beside", [{"t": NINE}, {"t": "2026-11-01T09:00:00Z"}])
def test_a_refused_time_is_counted_under_a_reason_that_names_its_unit(t: Any, reason: str, beside: Any) -> None:
    columns = Columns(None)
    events = [{"t": t, "type": "click"}, {**beside, "type": "click"}]
    columns.add({"session_id": "s", "start_time": datetime(2026, 11, 1, 9, tzinfo=UTC), "events": events})
    batch = columns.batch()
    assert batch.broken == {reason: 1}
    assert batch.t.tolist() == [NINE * 1000]


def test_a_start_that_is_refused_names_its_unit() -> None:
    assert unusable({"session_id": "s", "start_time": 9 * 10**15, "events": []}) == "start_after_2100_in_microseconds"
    assert unusable({"session_id": "s", "start_time": NINE * 10**6, "events": []}) is None
    assert unusable({"session_id": "s", "start_time": "soon"}) == "no_start_time"


def kept(events: list[dict[str, Any]]) -> list[int]:
    """The numbers by which events stored twice are told."""
    columns = Columns(None)
    columns.add({"session_id": "s", "start_time": datetime(2026, 11, 1, 9, tzinfo=UTC), "events": events})
    return columns.batch().same.tolist()


def test_repeats_within_a_second_are_events_of_their_own_in_a_log_of_whole_seconds() -> None:
    click = {"t": NINE, "type": "click"}
    assert kept([click, click, {"t": NINE + 5, "type": "copy"}]) == [0, 0, 0]
    assert kept([click | {"t": NINE + 0.5}, click | {"t": NINE + 0.5}, {"t": NINE + 5, "type": "copy"}]) == [1, 1, 0]


def test_an_id_of_the_writer_says_which_events_are_one() -> None:
    first, second = ({"t": NINE, "type": "click", "event_id": each} for each in "ab")
    assert kept([first, second, first, {"t": NINE + 5, "type": "copy"}]) == [1, 0, 1, 0]
    assert kept([{**each, "t": NINE * 1000 + 7} for each in (first, second, first)]) == [1, 0, 1]
