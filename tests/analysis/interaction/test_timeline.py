"""The timing of a replay, and the names of its silences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from llmtrack.analysis.interaction import Interaction, timeline
from llmtrack.analysis.interaction.timeline import Silence
from llmtrack.errors import LlmtrackError
from llmtrack.sample import visits as sample
from llmtrack.session.cleaning.clean import Visit, one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START_MS = 1_795_000_000_000


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


def visit(events: list[dict[str, Any]]) -> Visit:
    """A visit that begins at 0 s."""
    stored = [{"t": START_MS + event["t"], "type": event["type"], "data": event["data"]} for event in events]
    return one({"session_id": "s", "start_time": START_MS, "events": stored}, NOW)


def played(moments: Any) -> list[tuple[str, float]]:
    return [(moment.event["type"], round(due, 3)) for due, moment in timeline.schedule(moments)]


def test_without_changes_events_are_due_when_they_happened() -> None:
    assert played(timeline.relative(visit(VISIT))) == [(event["type"], event["at_s"]) for event in VISIT]


def test_waits_are_shortened_and_then_sped_up() -> None:
    moments = timeline.speed(timeline.cap_idle(timeline.relative(visit(VISIT)), 2), 4)
    assert [due for _, due in played(moments)] == [0, 0.5, 1, 1.5, 2, 2.25, 2.75, 3.25]


def test_only_some_types_keep_their_distance() -> None:
    moments = timeline.select(timeline.relative(visit(VISIT)), only={"prompt", "model_response"})
    assert played(moments) == [("prompt", 10), ("model_response", 12.5), ("prompt", 40), ("model_response", 100)]


def test_a_part_begins_where_it_was_asked_to() -> None:
    moments = timeline.select(timeline.relative(visit(VISIT)), 12.5, 16)
    assert played(moments) == [("model_response", 0), ("selection", 2.5), ("copy", 3.5)]


def test_an_event_before_the_start_is_due_at_once() -> None:
    early = [event(-3, "scroll"), event(1, "click")]
    assert played(timeline.select(timeline.relative(visit(early)))) == [("scroll", 0), ("click", 4)]


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
    assert timeline.silences(Interaction(visit(events).cleaned)) == names


def test_the_last_silence_lasts_to_the_end_of_the_visit() -> None:
    assert timeline.last_silence(visit(VISIT), 130) == Silence("read", 30)
    assert timeline.last_silence(visit(VISIT), 100) is None
    assert timeline.last_silence(visit([]), 100) is None


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


def test_the_waits_of_a_visit_add_up_to_the_waiting_of_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "LONG_S", 0)
    for document in sample.sessions(now=NOW, users=20):
        told = one(document, NOW)
        waiting_s = Interaction(told.cleaned).summary()["waiting_s"][0]
        silences = [moment.silence for moment in timeline.relative(told) if moment.silence]
        waits = sum(silence.seconds for silence in silences if silence.kind == "waited")
        assert waits == pytest.approx(waiting_s), document["session_id"]
