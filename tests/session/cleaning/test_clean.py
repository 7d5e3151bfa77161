"""Other writers' clocks, ends and failures: sessions that say the same must give the same numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.interaction import Interaction
from llmtrack.analysis.interaction.summary import TEXT_FIELDS
from llmtrack.session.cleaning.clean import Visit, clean, one
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.rules import Rules

START = 1_790_000_000_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = 3_600_000
SERVER = ("prompt", "model_response", "error")
NUMBERS = (
    "duration_s", "active_s", "waiting_s", "reading_s", "away_s", "prompts", "responses", "errors", "unanswered",
    "copies", "answer_copies", "copied_responses", "exit_reason", "out_of_range", "inversions",
)  # fmt: skip

Document = dict[str, Any]


def event(at_s: float, kind: str, **data: Any) -> Document:
    return {"t": START + at_s * 1000, "type": kind, "data": data}


def session(*events: Document, **fields: Any) -> Document:
    return {"session_id": "s", "start_time": START, "end_time": START + 60_000, "events": list(events), **fields}


TALK = (
    event(1, "click"),
    event(3, "key"),
    event(3, "prompt", text="How long does a loaf keep?"),
    event(5.5, "model_response", text="Four days."),
    event(9, "copy", selected_text="Four days."),
    event(20, "click"),
    event(21, "key"),
    event(21, "prompt", text="And rye?"),
    event(24, "model_response", text="A week."),
    event(40, "scroll"),
)


def moved(document: Document, by_ms: float, *kinds: str) -> Document:
    """The document, with the events of these types by another clock (none: of all types that a browser writes)."""
    events = [
        {**each, "t": each["t"] + by_ms * ((each["type"] in kinds) if kinds else (each["type"] not in SERVER))}
        for each in document["events"]
    ]
    return {**document, "events": events}


def numbers(visit: Visit) -> dict[str, Any]:
    found = Interaction(visit.cleaned).summary()
    return {key: found[key].tolist()[0] for key in NUMBERS}


def repaired(visit: Visit) -> dict[str, int]:
    return {key: count for key, count in visit.repaired.items() if count}


TRUE = numbers(one(session(*TALK), NOW))


@pytest.mark.parametrize("end", [START + 60_000, None])
@pytest.mark.parametrize("hours", [-11, -8, -3.5, 0.25, 1, 4, 5, 5.75, 9.5, 13])
def test_a_server_that_is_hours_off_is_moved(hours: float, end: int | None) -> None:
    true = numbers(one(session(*TALK, end_time=end), NOW))
    visit = one(moved(session(*TALK, end_time=end), hours * HOUR, *SERVER), NOW)
    assert numbers(visit) == true
    assert repaired(visit)[f"clock_moved_{hours:+g}h"] == 1
    assert visit.cleaned.sessions["clock_offset_ms"].tolist() == [hours * HOUR]


def test_a_browser_that_is_hours_off_is_moved_where_the_server_fits_the_start() -> None:
    visit = one(moved(session(*TALK), 7 * HOUR), NOW)
    assert numbers(visit) == TRUE
    assert repaired(visit) == {"clock_moved_+7h": 1}


@settings(deadline=None, max_examples=60)
@given(
    quarters=st.integers(-48, 56).filter(bool),
    gaps=st.lists(st.floats(0.5, 60), min_size=2, max_size=6),
    ended=st.booleans(),
)
def test_any_quarter_of_an_hour_gives_the_unmoved_numbers(quarters: int, gaps: list[float], ended: bool) -> None:
    events, at_s = [event(0, "activity", activity_state="active")], 1.0
    for i, gap in enumerate(gaps):
        events += [event(at_s, "key"), event(at_s, "prompt", text=f"q{i}")]
        events += [event(at_s + gap / 2, "model_response", text=f"a{i}"), event(at_s + gap, "scroll")]
        at_s += gap + 1
    document = session(*events, end_time=START + 1000 * at_s + 5000 if ended else None)
    true, found = (one(each, NOW) for each in (document, moved(document, quarters * HOUR / 4, *SERVER)))
    assert numbers(found) == pytest.approx(numbers(true), abs=1e-6)
    assert found.cleaned.sessions["clock_offset_ms"].tolist() == [quarters * HOUR / 4]


def test_a_server_right_with_the_page_is_left_alone() -> None:
    late = (event(1, "click"), event(7200, "prompt", text="q"), event(7203, "model_response", text="a"))
    visit = one(session(*late, event(7210, "scroll"), end_time=None), NOW)
    assert "clock_offset_ms" in visit.cleaned.sessions
    assert not visit.cleaned.sessions["clock_shifted"].any()


def cleaned(*documents: Document) -> Any:
    columns = Columns(TEXT_FIELDS)
    for document in documents:
        columns.add(document)
    return clean(columns.batch(), NOW)


def test_a_session_that_cannot_tell_takes_the_hours_of_its_day() -> None:
    mute = session(event(7, "prompt", text="q"), event(9, "model_response", text="a"), session_id="mute")
    known = [moved(session(*TALK, session_id=f"s{i}"), 5 * HOUR, *SERVER) for i in range(3)]
    found = cleaned(*known, moved(mute, 5 * HOUR, *SERVER))
    assert found.repaired["clock_moved_+5h"] == 4
    assert found.t[found.session == 3].tolist() == [START + 7000, START + 9000]
    other_day = {"start_time": START + 48 * HOUR, "end_time": None}
    late = moved({**mute, **other_day}, 53 * HOUR, *SERVER)
    assert cleaned(*known, late).sessions["clock_offset_ms"][3] == 5 * HOUR + 7000, "its first event falls on its start"


@pytest.mark.parametrize("seconds", [-40, -7.2, 3, 12, 55])
def test_a_server_seconds_off_is_moved_where_every_prompt_shows_it(seconds: float) -> None:
    visit = one(moved(session(*TALK, end_time=None), seconds * 1000, *SERVER), NOW)
    true = numbers(one(session(*TALK, end_time=None), NOW))
    assert numbers(visit) == pytest.approx({**true, "inversions": numbers(visit)["inversions"]})
    assert repaired(visit)["clock_moved_seconds"] == 1


def test_sending_that_takes_its_time_is_no_clock() -> None:
    slow = (event(1, "key"), event(4, "prompt"), event(6, "model_response"), event(20, "key"), event(29, "prompt"))
    assert "clock_moved_seconds" not in repaired(one(session(*slow), NOW))


@pytest.mark.parametrize("at_s", [3.1, 6.3, 20, 38.9])
def test_an_end_before_later_events_is_none(at_s: float) -> None:
    visit = one(session(*TALK, end_time=START + at_s * 1000), NOW)
    assert numbers(visit) == numbers(one(session(*TALK, end_time=START + 40_000), NOW))
    assert repaired(visit) == {"end_before_last_event": 1}
    assert visit.session["end_estimated"]


def test_an_end_a_breath_before_the_last_event_is_that_event() -> None:
    visit = one(session(*TALK, end_time=START + 39_400), NOW)
    assert (numbers(visit)["duration_s"], repaired(visit), visit.session["end_estimated"]) == (40, {}, False)


def test_the_last_activity_ends_a_visit_that_went_on_without_events() -> None:
    seen = START + 55_000
    assert numbers(one(session(*TALK, end_time=None, last_activity=seen), NOW))["duration_s"] == 55
    assert numbers(one(session(*TALK, end_time=START + 4000, last_activity=seen), NOW))["duration_s"] == 55
    assert numbers(one(session(*TALK, last_activity=seen), NOW))["duration_s"] == 60, "the end is later"


def test_a_status_says_that_a_visit_is_over() -> None:
    now = datetime.fromtimestamp(START / 1000, UTC) + timedelta(minutes=5)
    for status, is_open in (("ended", False), ("active", True), (None, True)):
        assert one(session(*TALK, end_time=None, status=status), now).session["open"] is is_open


def test_the_first_event_may_come_a_breath_before_the_start() -> None:
    early = one(session(event(-0.004, "prompt", text="q"), event(2, "model_response", text="a")), NOW)
    assert [each["at_s"] for each in early.events] == [0, 2.004]
    assert repaired(early) == {}
    far = one(session(event(-90, "prompt", text="q"), event(2, "model_response", text="a")), NOW)
    assert far.events[0]["at_s"] == 0
    assert repaired(far) == {"start_after_first_event": 1}


def test_no_part_of_a_duration_exceeds_it() -> None:
    for end in (None, START + 6300, START + 60_000):
        told = numbers(one(session(*TALK, end_time=end), NOW))
        assert told["active_s"] + told["waiting_s"] + told["away_s"] == pytest.approx(told["duration_s"])


FAILURES = {  # events; prompts, errors, waiting_s
    "after its prompt": ((event(3, "prompt", text="q"), event(8, "error", text="boom")), 1, 1, 5),
    "its question not stored, sent by a key": ((event(3, "key"), event(8, "error", text="boom")), 1, 1, 5),
    "its question not stored, sent nobody knows when": ((event(2, "click"), event(8, "error", text="boom")), 1, 1, 0),
    "the prompt before it has its answer": (
        (event(1, "prompt"), event(2, "model_response"), event(8, "error", text="boom")), 2, 1, 1,
    ),
    "of another chat than the open prompt": (
        (event(1, "prompt", chat_session_id="a"), event(8, "error", chat_session_id="b")), 2, 1, 0,
    ),
    "of the turn it names": (
        (event(1, "prompt", turn_id="1"), event(2, "prompt", turn_id="2"), event(3, "model_response", turn_id="2"),
         event(8, "error", turn_id="1")), 2, 1, 7,
    ),
}  # fmt: skip


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("events", "prompts", "errors", "waiting_s"), FAILURES.values(), ids=FAILURES)
def test_an_error_is_the_failed_answer_to_a_question(
    events: tuple[Document, ...], prompts: int, errors: int, waiting_s: float, whole: bool
) -> None:
    document = session(*events, event(12, "click"))
    found = Interaction(one(document, NOW).cleaned if whole else cleaned(document))
    told = {key: values.tolist()[0] for key, values in found.summary().items()}
    assert (told["prompts"], told["errors"], told["exit_reason"]) == (prompts, errors, "after_error")
    assert told["waiting_s"] == waiting_s
    assert told["events"] == len(events) + 1, "what was stored"
    assert found.turns()["error"].sum() == errors


@pytest.mark.parametrize("whole", [True, False])
def test_a_failure_stored_as_an_answer_is_one_where_a_pattern_says_so(whole: bool) -> None:
    document = session(
        event(1, "prompt", text="q"), event(2, "model_response", text="Error generating response: 500"),
        event(5, "prompt", text="r"), event(6, "model_response", text="Errors are human."),
    )  # fmt: skip
    rules = Rules(failed_answer=("^Error generating",))
    columns = Columns(TEXT_FIELDS)
    columns.add(document)
    found = one(document, NOW, rules).cleaned if whole else clean(columns.batch(), NOW, rules)
    told = Interaction(found).summary()
    assert [told[key].tolist() for key in ("responses", "errors")] == [[1], [1]]
    assert found.repaired["failed_answer"] == 1
    assert Interaction(found).turns()["answer"].tolist() == [None, "Errors are human."]
    assert document["events"][1]["data"] == {"text": "Error generating response: 500"}, "the document stays as it was"
    assert np.isnan(told["latency_p50_ms"]).all()


@pytest.mark.parametrize("ids", [True, False])
def test_clicks_that_sent_prompts_show_a_clock_that_is_seconds_off(ids: bool) -> None:
    talk = []
    for number, at_s in enumerate((5, 20, 42, 70)):
        turn = {"turn_id": f"t{number}"} if ids else {}
        talk += [event(at_s, "click", **turn), event(at_s, "prompt", text="q", **turn)]
        talk += [event(at_s + 3, "model_response", text="a", **turn), event(at_s + 6 + number, "scroll")]
    document = session(*(talk[:4] if ids else talk), end_time=None)  # by its turn_id one click is enough
    true, found = (one(each, NOW) for each in (document, moved(document, -7000, *SERVER)))
    assert numbers(found) == pytest.approx({**numbers(true), "inversions": numbers(found)["inversions"]})
    assert repaired(found)["clock_moved_seconds"] == 1
    assert "clock_moved_seconds" not in repaired(true)


@pytest.mark.parametrize("typed_s", [(6, 6.2, 5.9), (6, 6.4, 5.9, 6.2), (3, 6, 11, 4)])
def test_clicks_before_typing_are_no_clock(typed_s: tuple[float, ...]) -> None:
    talk = []
    for number, typing_s in enumerate(typed_s):
        at_s = 30 * number + 5
        talk += [event(at_s, "click"), event(at_s + typing_s, "prompt", text="q")]
        talk += [event(at_s + typing_s + 3, "model_response", text="a")]
    assert "clock_moved_seconds" not in repaired(one(session(*talk), NOW))


@settings(max_examples=25, deadline=None)
@given(
    hours=st.sampled_from([-8, 0, 4, 5.5]),
    end_s=st.one_of(st.none(), st.floats(0, 39)),
    marks=st.lists(
        st.sampled_from(["**{}**", "*{}*", "`{}`", "[{}](https://example.org)", "{}"]), min_size=2, max_size=2
    ),
)
def test_clocks_ends_and_markdown_change_no_number(hours: float, end_s: float | None, marks: list[str]) -> None:
    four, days = (mark.format(word) for mark, word in zip(marks, ("Four", "days"), strict=True))
    talk = [each if each["type"] != "model_response" else event(each["t"] / 1000 - START / 1000, "model_response",
            text=f"{four} {days}.") for each in TALK]  # fmt: skip
    plain = session(*(TALK[i] if i != 8 else event(24, "model_response", text="Four days.") for i in range(len(TALK))))
    written = moved(session(*talk, end_time=None if end_s is None else START + end_s * 1000), hours * HOUR, *SERVER)
    true = numbers(one({**plain, "end_time": None}, NOW))
    assert numbers(one(written, NOW)) == pytest.approx(true, abs=1e-3)
