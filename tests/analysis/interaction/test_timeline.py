"""The timing of a replay, and the names of its silences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis import frames
from llmtrack.analysis.interaction import summary, timeline
from llmtrack.analysis.interaction.events import Rows
from llmtrack.analysis.interaction.pairing import answered_by
from llmtrack.analysis.interaction.timeline import Silence
from llmtrack.errors import LlmtrackError
from llmtrack.sample import visits as sample
from llmtrack.session.columns import Columns

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def event(at_s: float, kind: str, **data: Any) -> dict[str, Any]:
    return {"t": round(at_s * 1000), "at_s": at_s, "type": kind, "data": data}


def idle(at_s: float) -> dict[str, Any]:
    return event(at_s, "activity", activity_state="idle")


def active(at_s: float) -> dict[str, Any]:
    return event(at_s, "activity", activity_state="active")


VISIT = [
    active(0),
    event(2, "scroll"),
    event(10, "prompt", text="a"),
    event(12.5, "model_response", text="b"),
    event(15, "selection"),
    event(16, "copy"),
    event(40, "prompt", text="c"),
    event(100, "model_response", text="d"),
]


def played(moments: Any) -> list[tuple[str, float]]:
    return [(moment.event["type"], round(due, 3)) for due, moment in timeline.schedule(moments)]


def test_without_changes_events_are_due_when_they_happened() -> None:
    assert played(timeline.relative(VISIT)) == [(event["type"], event["at_s"]) for event in VISIT]


def test_waits_are_shortened_and_then_sped_up() -> None:
    moments = timeline.speed(timeline.cap_idle(timeline.relative(VISIT), 2), 4)
    assert [due for _, due in played(moments)] == [0, 0.5, 1, 1.5, 2, 2.25, 2.75, 3.25]


def test_only_some_types_keep_their_distance() -> None:
    moments = timeline.select(timeline.relative(VISIT), only={"prompt", "model_response"})
    assert played(moments) == [("prompt", 10), ("model_response", 12.5), ("prompt", 40), ("model_response", 100)]


def test_a_part_begins_where_it_was_asked_to() -> None:
    moments = timeline.select(timeline.relative(VISIT), 12.5, 16)
    assert played(moments) == [("model_response", 0), ("selection", 2.5), ("copy", 3.5)]


def test_an_event_before_the_start_is_due_at_once() -> None:
    early = [event(-3, "scroll"), event(1, "click")]
    assert played(timeline.select(timeline.relative(early))) == [("scroll", 0), ("click", 4)]


@pytest.mark.parametrize(
    ("events", "names"),
    [
        pytest.param([active(2)], [None], id="two seconds are not long"),
        pytest.param([active(8)], [Silence("paused", 8)], id="the first from the start"),
        pytest.param([active(31)], [Silence("away", 31)], id="over 30 s is away"),
        pytest.param(
            [event(0, "prompt"), event(2.5, "model_response")], [None, Silence("waited", 2.5)], id="a wait is waited"
        ),
        pytest.param(
            [event(0, "prompt"), event(9, "scroll"), event(60, "model_response")],
            [None, None, Silence("waited", 60)],
            id="a wait is told whole, at the response, and is never away",
        ),
        pytest.param(
            [event(0, "prompt"), event(9, "scroll")], [None, Silence("paused", 9)], id="unanswered is no waiting"
        ),
        pytest.param(
            [event(0, "prompt"), event(1, "model_response"), event(19, "scroll"), event(25, "prompt")],
            [None, None, Silence("read", 18), Silence("read", 6)],
            id="after a response it is reading, up to the next prompt",
        ),
        pytest.param(
            [event(0, "prompt"), event(1, "model_response"), idle(31), active(271)],
            [None, None, Silence("read", 30), Silence("away", 240)],
            id="after going idle it is away",
        ),
        pytest.param(
            [idle(0), event(5, "model_response"), active(15)],
            [None, Silence("away", 5), Silence("away", 10)],
            id="a response wakes nobody",
        ),
    ],
)
def test_a_silence_is_named(events: list[Any], names: list[Silence | None]) -> None:
    assert timeline.silences(events) == names


def test_the_last_silence_lasts_to_the_end_of_the_visit() -> None:
    assert timeline.last_silence(VISIT, 130) == Silence("read", 30)
    assert timeline.last_silence(VISIT, 100) is None
    assert timeline.last_silence([], 100) is None


@pytest.mark.parametrize(
    ("when", "at_s"),
    [
        ("12.5", 12.5),
        ("90s", 90),
        ("2m", 120),
        ("1.5 min", 90),
        ("1h", 3600),
        ("1:30", 90),
        ("1:02:03.5", 3723.5),
        ("#1", 0),
        ("#4", 12.5),
        ("prompt", 10),
        ("prompt#2", 40),
        (" copy ", 16),
    ],
)
def test_a_position_is_a_time_or_an_event(when: str, at_s: float) -> None:
    assert timeline.position(when, VISIT) == at_s


def test_an_end_is_the_first_such_event_from_the_beginning_on() -> None:
    assert timeline.position("prompt", VISIT, after_s=12.5) == 40


@pytest.mark.parametrize("when", ["bogus", "#0", "#9", "prompt#3", "prompt#0", "", "-5", "1:xx", "²"])
def test_a_position_that_is_not_there_says_what_is(when: str) -> None:
    with pytest.raises(LlmtrackError, match=r"No event .* It has prompt \(2\), model_response \(2\)"):
        timeline.position(when, VISIT)


def _pairs_of_the_reports(events: list[dict[str, Any]]) -> dict[int, int]:
    columns = Columns(summary.FIELDS)
    columns.add({"session_id": "s", "start_time": events[0]["t"], "events": events})
    response = answered_by(Rows(frames.clean(columns.batch(), NOW).events))
    return {int(answer): prompt for prompt, answer in enumerate(response) if answer >= 0}


_IDS = st.sampled_from([None, "1", "2"])
_SPOKEN = st.tuples(st.sampled_from(["prompt", "model_response", "new_chat"]), _IDS, _IDS)


@given(st.lists(_SPOKEN, min_size=1, max_size=12))
@settings(deadline=None, max_examples=150)
def test_prompts_and_responses_are_paired_as_in_the_reports(spoken: list[tuple[str, str | None, str | None]]) -> None:
    events = []
    for position, (kind, turn, chat) in enumerate(spoken):
        data = {"turn_id": turn, "chat_session_id": chat}
        events.append({"t": 1_795_000_000_000 + position * 3000, "at_s": position * 3, "type": kind, "data": data})
    assert timeline.answered_prompts(events) == _pairs_of_the_reports(events)


def test_the_waits_of_a_visit_add_up_to_the_waiting_of_the_reports() -> None:
    documents = list(sample.sessions(now=NOW, users=20))
    for document in documents:
        visit = frames.one(document, NOW)
        columns = Columns(summary.FIELDS)
        columns.add(document)
        waiting_s = summary.sessions(frames.clean(columns.batch(), NOW)).iloc[0]["waiting_s"]
        pairs = timeline.answered_prompts(visit.events)
        waits = sum(visit.events[answer]["at_s"] - visit.events[prompt]["at_s"] for answer, prompt in pairs.items())
        assert waits == pytest.approx(waiting_s), document["session_id"]
