"""Documents that hold several sessions, clicks that were noted twice, ratings of other writers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from llmtrack.analysis.interaction import Interaction
from llmtrack.analysis.interaction.summary import FIELDS
from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.clean import Cleaned, clean, one
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.rules import PLAIN, Rules

NOW = datetime(2026, 11, 22, tzinfo=UTC)
START = 1_790_000_000_000


def cleaned(document: dict[str, Any], rules: Rules = PLAIN) -> Cleaned:
    columns = Columns(FIELDS)
    columns.add(document)
    return clean(columns.batch(), NOW, rules)


def session(events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"session_id": "s", "start_time": START, "end_time": START + 60_000, "events": events}


HOUR_S = 3600.0


def chat(*at_s: float, **more: Any) -> dict[str, Any]:
    """A document whose session_id is its chat's: a question and its answer 2.5 s later, at each of these times."""
    events = [
        {"t": START + (at + wait) * 1000, "type": kind, "data": {"text": "So?", "chat_session_id": "chat"}}
        for at in at_s
        for wait, kind in ((0.0, "prompt"), (2.5, "model_response"))
    ]
    return {
        "session_id": "chat",
        "start_time": START,
        "end_time": START + (at_s[-1] + 60) * 1000,
        "events": events,
    } | more


def durations(document: dict[str, Any], rules: Rules = PLAIN) -> dict[str, float]:
    found = Interaction(cleaned(document, rules=rules)).summary()
    return dict(zip(found["session_id"].tolist(), found["duration_s"].tolist(), strict=True))


def test_a_chat_that_is_opened_again_holds_several_sessions() -> None:
    document = chat(10, 20, 26 * HOUR_S, 50 * HOUR_S)
    assert durations(document) == {"chat": 22.5, "chat#2": 2.5, "chat#3": 60}
    assert one(document, NOW, number=2).session["start_time"].timestamp() * 1000 == START + 26 * HOUR_S * 1000
    assert [event["at_s"] for event in one(document, NOW, number=-1).events] == [0, 2.5]
    with pytest.raises(LlmtrackError, match="holds 3, not 4"):
        one(document, NOW, number=4)


@pytest.mark.parametrize(
    ("document", "rules", "sessions"),
    [
        pytest.param(chat(0, 1799), Rules(), 1, id="no silence that long"),
        pytest.param(chat(0, 1799), Rules(visit_gap_s=60), 2, id="a shorter one is asked for"),
        pytest.param(chat(0, HOUR_S, session_id="visit"), Rules(), 1, id="the id is no chat's"),
        pytest.param(chat(0, HOUR_S, session_id="visit"), Rules(chats=True), 2, id="a setting says so"),
        pytest.param(chat(0, HOUR_S), Rules(chats=False), 1, id="a setting says no"),
        pytest.param(chat(0, HOUR_S, session_id="visit", is_chat=True), Rules(), 2, id="a preset says so"),
    ],
)
def test_where_documents_are_chats_a_silence_begins_another_session(
    document: dict[str, Any], rules: Rules, sessions: int
) -> None:
    found = cleaned(document, rules=rules)
    assert len(found) == sessions
    noticed = {key: count for key, count in found.noticed.items() if key.startswith("silences_over_") and count}
    assert noticed == ({"silences_over_30": 1} if sessions == 1 and document["events"][2]["t"] > START + 1.8e6 else {})


def test_waiting_for_an_answer_is_no_silence_and_an_end_a_day_later_is_none() -> None:
    document = chat(0, HOUR_S)
    document["events"][1]["t"] = START + HOUR_S * 900  # the first answer takes 54 minutes
    assert len(durations(document)) == 1
    assert durations(chat(5, end_time=START + 24 * HOUR_S * 1000)) == {"chat": 7.5}


@pytest.mark.parametrize(
    ("apart_ms", "n", "clicks"),
    [(0, None, 1), (50, None, 1), (51, None, 2), (0, 1, 2), (1000, None, 2)],
)
def test_a_click_that_two_listeners_noted_is_one(apart_ms: int, n: int | None, clicks: int) -> None:
    first: dict[str, Any] = {"t": START + 1001, "type": "click", "data": {"target": "A", "x": 1, "y": 2}}
    second = {"t": START + 1001 + apart_ms, "type": "click", "data": {"target_url": "https://example.org"}}
    if n is not None:
        first, second = first | {"n": n}, second | {"n": n + 1}
    found = Interaction(cleaned(session([second, first]))).summary()
    assert found["clicks"].tolist() == [clicks]


def test_clicks_of_one_second_in_a_log_of_seconds_are_two() -> None:
    clicks = [{"t": START + 1000, "type": "click", "data": {"x": x}} for x in (1, 2)]
    assert Interaction(cleaned(session(clicks))).summary()["clicks"].tolist() == [2]


@pytest.mark.parametrize("fields", [None, ("rating",)])
def test_a_rating_may_stand_under_feedback(fields: tuple[str, ...] | None) -> None:
    said: list[dict[str, Any]] = [
        {"feedback": "up"},
        {"feedback": "neutral"},
        {"feedback": "I like it"},
        {"rating": "down"},
    ]
    document = session([{"t": START + i, "type": "feedback", "data": data} for i, data in enumerate(said)])
    columns = Columns(fields)
    columns.add(document)
    assert clean(columns.batch(), NOW).field("rating").tolist() == ["up", "neutral", None, "down"]


def test_a_chat_that_was_begun_and_first_used_later_had_no_wrong_clock() -> None:
    late = chat(40 * HOUR_S)
    found = cleaned(late | {"is_chat": True})
    assert found.sessions["start_ms"].tolist() == [START + 40 * HOUR_S * 1000]
    assert (found.sessions["end_ms"] - found.sessions["start_ms"]).tolist() == [60_000]
    assert found.repaired["clock_shifted"] == 0
    assert cleaned(late, Rules(chats=False)).repaired["clock_shifted"] == 1
