"""Cleaning: what a session is after it, whatever wrote it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from llmtrack.analysis.frames import Frames, frames
from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.clean import clean, join, one
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.session.times import epoch_ms
from llmtrack.session.values import number, text, texts

START = 1_790_000_000_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MINUTE = 60_000


def session(*events: Any, **fields: Any) -> dict[str, Any]:
    return {"session_id": "s", "start_time": START, "events": list(events), **fields}


def event(ms: float, kind: str = "click", /, n: Any = None, **data: Any) -> dict[str, Any]:
    return {"t": START + ms, "type": kind, "data": data} | ({} if n is None else {"n": n})


def gathered(*documents: dict[str, Any], fields: Any = (), broken: Broken | None = None) -> Frames:
    columns = Columns(fields)
    for document in documents:
        columns.add(document)
    return frames(clean(columns.batch(broken), NOW))


def chat(ms: float, kind: str, name: str | None, **data: Any) -> dict[str, Any]:
    return event(ms, kind, **({} if name is None else {"chat_session_id": name}), **data)


LATE = {  # events in the order and at the ms at which they were stamped, and the order in which they happened
    "by milliseconds": ([(0, "prompt", "a"), (900, "prompt", "b"), (903, "new_chat", "b")], [0, 2, 1], [0, 900, 900]),
    "after the answer, too": (
        [(0, "prompt", "b"), (700, "model_response", "b"), (1900, "new_chat", "b")], [2, 0, 1], [0, 0, 700],
    ),
    "prompts of other chats between": (
        [(0, "prompt", "b"), (10, "prompt", "a"), (20, "new_chat", "b"), (30, "new_chat", "a")], [2, 0, 3, 1],
        [0, 0, 10, 10],
    ),
    "not the first prompt": ([(0, "prompt", "b"), (5000, "prompt", "b"), (5010, "new_chat", "b")], [0, 1, 2], None),
    "more than clocks differ": ([(0, "prompt", "b"), (2001, "new_chat", "b")], [0, 1], None),
    "in order": ([(0, "new_chat", "b"), (0, "prompt", "b"), (9, "new_chat", "c")], [0, 1, 2], None),
    "no chat is named": ([(0, "prompt", None), (5, "new_chat", None)], [0, 1], None),
    "of another session": ([(0, "prompt", "a"), (5, "new_chat", "b")], [0, 1], None),
}  # fmt: skip


@pytest.mark.parametrize("fields", [("chat_session_id", "mark"), None])
@pytest.mark.parametrize(("stamped", "happened", "times"), LATE.values(), ids=LATE)
def test_a_chat_begins_before_its_first_prompt_though_two_clocks_disagree(
    stamped: list[tuple[int, str, str | None]], happened: list[int], times: list[int] | None, fields: Any
) -> None:
    events = [chat(ms, kind, name, mark=i) for i, (ms, kind, name) in enumerate(stamped)]
    other = session(chat(5, "prompt", "b", mark=9), session_id="other")
    found = gathered(other, session(*events), other, fields=fields)
    mine = found.events[found.events["session"] == 1]
    marks = mine["mark"] if fields else mine["data"].map(lambda data: data["mark"])
    assert marks.tolist() == mine["pos"].tolist() == happened
    assert mine["type"].tolist() == [stamped[i][1] for i in happened]
    assert (mine["t"] - START).tolist() == (times or [ms for ms, _, _ in stamped])
    assert found.repaired["chat_begun_late"] == sum(kind == "new_chat" for _, kind, _ in stamped) * (times is not None)
    assert found.events["session"].tolist() == [0, *[1] * len(stamped), 2]


def test_the_end_of_a_visit_is_the_same_whether_or_not_chats_are_read() -> None:
    visit = session(chat(0, "prompt", "b"), chat(40, "new_chat", "b"))
    ends = [gathered(visit, fields=fields).sessions.loc[0, "end_ms"] for fields in ((), ("chat_session_id",), None)]
    assert ends == [START + 40] * 3
    told = one(visit, NOW)
    assert [(event["type"], event["at_s"]) for event in told.events] == [("new_chat", 0), ("prompt", 0)]
    assert told.repaired["chat_begun_late"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-09-21T14:13:20Z", START),
        ("2026-09-21T16:13:20+02:00", START),
        ("2026-09-21 14:13:20", START),
        (" 2026-09-21T14:13:20.250Z ", START + 250),
        (datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC), START),
        (datetime(2026, 9, 21, 14, 13, 20), START),  # noqa: DTZ001 - naive
        (START, START),
        (float(START), START),
        (START + 0.5, START + 0.5),
        (START / 1000, START),
        (str(START), START),
        (str(START // 1000), START // 1000),  # a numeric string in seconds
        (1500, 1500),
        (None, None),
        (True, None),
        (-5, None),
        ("", None),
        ("soon", None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ({"$date": 5}, None),
        ([], None),
        (9e15, None),
    ],
)
def test_a_time_of_any_shape_becomes_epoch_ms(value: Any, expected: float | None) -> None:
    if value == str(START // 1000):
        expected = START
    assert epoch_ms(value) == expected


def test_times_in_an_event_read_as_times_elsewhere() -> None:
    stamps = [
        START,
        float(START),
        START / 1000,
        str(START),
        "2026-09-21T14:13:20Z",
        datetime.fromtimestamp(START / 1000, UTC),
    ]
    for stamp in stamps:
        assert gathered(session({"t": stamp, "type": "x"})).events["t"].tolist() == [START], stamp


def test_names_and_numbers_of_any_shape() -> None:
    assert [name(value) for value in ("a", "", 7, 7.5, None, {}, b"x", True)] == [
        "a",
        None,
        "7",
        "7.5",
        *[None] * 3,
        "true",
    ]
    assert [number(value) for value in ("7", 7, 7.5)] == [7, 7, 7.5]
    assert all(np.isnan(number(value)) for value in (None, "x", {}, [], True, b"1", "inf", 10**400))
    assert [text(value) for value in ("a\ud800", 5, ["x"], False)] == ["a\ufffd", "5", '["x"]', None]
    assert texts(["a\ud800", ""]).tolist() == ["a\ufffd", None]


def test_missing_names_are_unknown_and_missing_numbers_nan() -> None:
    table = gathered(session()).sessions
    for column in ("user_id", "model_group", "experiment_id", "device", "browser", "os"):
        assert table[column].tolist() == ["unknown"]
    assert np.isnan(table.loc[0, "viewport_height_px"])
    assert np.isnan(table.loc[0, "end_ms"])


def test_environment_is_read_where_it_is_an_object() -> None:
    seen = {"device": "mobile", "browser": "Firefox", "os": 5, "viewport": {"height": "800"}, "automation": True}
    table = gathered(session(environment=seen), session(session_id="t", environment="desktop")).sessions
    assert table["device"].tolist() == ["mobile", "unknown"]
    assert table["os"].tolist() == ["5", "unknown"]
    assert table["viewport_height_px"].tolist()[0] == 800
    assert table["automation"].tolist() == [True, False]


def test_fields_come_as_columns_of_their_kind() -> None:
    first = event(0, "model_response", latency_ms="250", text="a", error=None, own={"x": 1})
    found = gathered(
        session(first, event(1, "scroll", latency_ms=[3], text=5)), fields=("latency_ms", "text", "own", "no")
    )
    assert found.events["latency_ms"].tolist()[0] == 250
    assert found.events["latency_ms"].isna().tolist() == [False, True]
    assert found.events["text"].tolist() == ["a", "5"]
    assert found.events["own"].tolist() == [{"x": 1}, None]
    assert found.events["no"].tolist() == [None, None]


def test_without_fields_events_come_with_whole_data() -> None:
    found = gathered(session(event(0, "x", a=1), {"t": START, "type": "y"}), fields=None)
    assert found.events["data"].tolist() == [{"a": 1}, {}]


@pytest.mark.parametrize(
    ("events", "left"),
    [
        pytest.param([event(0, n=1), event(5, "scroll", n=1)], 1, id="same n, whatever else"),
        pytest.param([event(0, n=1), event(0, n=2)], 2, id="other n, else the same"),
        pytest.param([event(0), event(0)], 1, id="no n, all the same"),
        pytest.param([event(0, "copy", a={"b": [1]}), event(0, "copy", a={"b": [1]})], 1, id="equal nested data"),
        pytest.param([event(0, "copy", a=1), event(0, "copy", a=2)], 2, id="other data"),
        pytest.param([event(0), event(60)], 2, id="other t"),
        pytest.param([event(0, "x"), event(0, "y")], 2, id="other type"),
        pytest.param([event(0, n=1), event(0)], 2, id="only one has n"),
        pytest.param([event(3, n=2), event(1, n=1), event(9, n=2.0), event(9, n=3)], 3, id="n out of order"),
    ],
)
def test_duplicates(events: list[Any], left: int) -> None:
    found = gathered(session(*events), session(*events, session_id="another"))
    assert len(found.events) == 2 * left
    assert found.excluded["duplicates"] == 2 * (len(events) - left)


def test_the_first_of_two_with_the_same_n_stays() -> None:
    found = gathered(session(event(5, "first", n=1), event(0, "second", n=1)))
    assert found.events["type"].tolist() == ["first"]


def test_duplicates_show_though_their_data_is_not_read() -> None:
    copies = [
        event(0, "copy", selected_text="a"),
        event(0, "copy", selected_text="b"),
        event(0, "copy", selected_text="a"),
    ]
    assert gathered(session(*copies)).events["pos"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("first", "shifted"), [(-5 * MINUTE, False), (5 * MINUTE, False), (5 * MINUTE + 1, True), (-5 * MINUTE - 1, True)]
)
def test_clocks_agree_up_to_5_minutes(first: float, shifted: bool) -> None:
    found = gathered(session(event(first)))
    assert found.sessions.loc[0, "clock_shifted"] == shifted
    assert found.sessions.loc[0, "clock_offset_ms"] == (first if shifted else 0)
    assert found.events["t"].tolist() == [START if shifted else START + first]


def test_one_session_with_a_wrong_clock_moves_no_other() -> None:
    found = gathered(session(event(0)), session(event(99 * MINUTE), session_id="t"), session(event(7), session_id="u"))
    assert found.events["t"].tolist() == [START, START, START + 7]


@pytest.mark.parametrize(("ago", "is_open"), [(29, True), (31, False)])
def test_a_session_is_open_for_30_minutes_after_its_last_event(ago: int, is_open: bool) -> None:
    last = (NOW - timedelta(minutes=ago)).timestamp() * 1000
    stamps = {"start_time": last - 1000, "events": [{"t": last, "type": "x"}]}
    assert gathered(session(**stamps)).sessions["open"].tolist() == [is_open]
    assert gathered(session(**stamps, end_time=last)).sessions["open"].tolist() == [False]
    assert gathered(session(**stamps | {"start_time": last, "events": []})).sessions["open"].tolist() == [is_open]


def test_broken_events_are_counted_and_named_and_keep_the_places_of_the_others() -> None:
    broken = Broken()
    found = gathered(session("x", event(0), {"type": "y"}, {"t": START, "type": ""}, event(60)), broken=broken)
    assert found.events["pos"].tolist() == [1, 4]
    assert {key: count for key, count in found.excluded.items() if count} == {
        "event_not_an_object": 1, "event_without_t": 1, "event_without_type": 1,
    }  # fmt: skip
    assert broken.named == [
        "s, event 1: event not an object", "s, event 3: event without t", "s, event 4: event without type",
    ]  # fmt: skip


def test_a_document_of_another_shape_spoils_nothing_of_its_neighbours() -> None:
    documents = [
        session(event(0, "copy", text="a"), event(1, "copy", text="b")),
        session(
            event(0, "copy", text="c"), event(1, "copy", text="d"), {"t": "x", "type": "z", "data": 5}, session_id="t"
        ),
        session(event(0, "copy", text="e"), session_id="u"),
    ]
    found = gathered(*documents, fields=("text",))
    assert found.events["text"].tolist() == ["a", "b", "c", "d", "e"]
    assert found.events["session"].tolist() == [0, 0, 1, 1, 2]


def test_batches_join_to_what_one_batch_gives() -> None:
    documents = [session(event(i), event(2, f"kind{i}"), session_id=f"s{i}") for i in range(4)]
    parts = []
    for pair in (documents[:1], documents[1:3], documents[3:]):
        columns = Columns(("text",))
        for document in pair:
            columns.add(document)
        parts.append(columns.batch())
    joined, whole = frames(join([clean(part, NOW) for part in parts])), gathered(*documents, fields=("text",))
    pd.testing.assert_frame_equal(joined.sessions, whole.sessions)
    pd.testing.assert_frame_equal(joined.events[list(whole.events)], whole.events, check_categorical=False)
    assert joined.excluded == whole.excluded
    assert joined.repaired == whole.repaired


def test_one_visit_is_cleaned_as_all_are() -> None:
    shifted = event(3_600_000, "model_response", latency_ms=-5, text="x")
    document = session(event(3_600_500), shifted, shifted, environment={"device": "mobile"}, end_time=START + 9000)
    visit = one(document, NOW)
    assert visit.session["start_time"] == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    assert visit.session["end_time"] == visit.session["start_time"] + timedelta(seconds=9)
    assert visit.session["environment"] == {"device": "mobile"}
    assert visit.events == [
        {"t": START, "at_s": 0.0, "type": "model_response", "data": {"text": "x"}},
        {"t": START + 500, "at_s": 0.5, "type": "click", "data": {}},
    ]
    assert visit.excluded["duplicates"] == 1
    assert visit.repaired["clock_shifted"] == visit.repaired["negative_latency"] == visit.repaired["inversions"] == 1
    assert shifted["data"]["latency_ms"] == -5, "the document stays as it was"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"events": []}, "no session id"),
        (session(start_time=None), "no start time"),
        (session() | {"events": {"t": 1}}, "events not a list"),
    ],
)
def test_what_is_no_session_says_why(document: dict[str, Any], why: str) -> None:
    with pytest.raises(LlmtrackError, match=why):
        one(document, NOW)
