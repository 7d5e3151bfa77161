"""A hidden page is nobody's page: its time is away time, in sums, in turns, and in the silences of a replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.analysis.interaction.timeline import silences
from tests.analysis.visits import cleaned, turn, visit

FIELDS = dict.fromkeys((*summary.TEXT_FIELDS, *turns.TEXT_FIELDS))


def state(at: float, name: str) -> tuple[float, str, dict[str, Any]]:
    return (at, "visibility", {"visibility_state": name})


def click(at: float) -> tuple[float, str, dict[str, Any]]:
    return (at, "click", {})


def numbers(*events: tuple[float, str, dict[str, Any]], end_s: float) -> dict[str, Any]:
    found = Interaction(cleaned([visit("v", *events, end_s=end_s)], FIELDS)).summary()
    return {key: values[0] for key, values in found.items()}


def test_twenty_five_seconds_in_another_tab_are_not_read() -> None:
    # Asked at 0, answered at 2; read 2 s, elsewhere from 4 to 29, read 6 s more until the next prompt at 35.
    found = numbers(*turn(0), state(4, "hidden"), state(29, "visible"), *turn(35), end_s=37)
    assert (found["reading_s"], found["active_s"], found["waiting_s"], found["away_s"]) == (8, 8, 4, 25)


def test_the_example_of_the_definition() -> None:
    # 0 to 10, 10 to 25, 25 to 30 (hidden), 90 (shown) to 100.
    found = numbers(*map(click, (0, 10, 25)), state(30, "hidden"), state(90, "visible"), click(100), end_s=100)
    assert (found["active_s"], found["away_s"]) == (40, 60)


@pytest.mark.parametrize(
    ("events", "active_s"),
    [
        ([click(5), state(8, "hidden")], 8),  # closed without coming back
        ([state(0, "hidden"), state(50, "visible"), click(53)], 3),  # opened in the background
        ([click(1), state(2, "hidden"), (9, "note", {}), (11, "note", {}), state(40, "visible"), click(45)], 7),
        (
            [click(1), state(2, "hidden"), state(3, "hidden"), state(9, "visible"), state(10, "visible"), click(12)],
            4,
        ),  # shown twice: hidden between
        ([state(3, "visible"), click(7)], 4),  # shown: nothing is known of the time before
    ],
)
def test_active_time_is_that_of_a_page_that_is_seen(events: list[Any], active_s: float) -> None:
    assert numbers(*events, end_s=60)["active_s"] == active_s


def test_what_was_on_the_screen_is_nothing_that_a_person_did() -> None:
    # The page notes at 50 s that the answer has left the screen: nobody did anything between 5 s and 60 s.
    told = (50, "view", {"turn_id": "t1", "visible_ms": 48_000, "seen_share": 1})
    with_view = numbers(click(0), click(5), told, click(60), end_s=60)
    without = numbers(click(0), click(5), click(60), end_s=60)
    same = [key for key in without if key not in ("session_id", "events") and with_view[key] == with_view[key]]
    assert {key: with_view[key] for key in same} == {key: without[key] for key in same}
    assert with_view["active_s"] == 35  # 0 to 5, and 30 s of the gap after it


def test_an_answer_that_comes_to_a_hidden_page_is_waited_for_and_then_not_read() -> None:
    # Waiting 0 to 20; hidden 5 to 60; read 60 to 64.
    asked, answered = (0, "prompt", {"text": "Why?"}), (20, "model_response", {"text": "So."})
    found = numbers(asked, state(5, "hidden"), answered, state(60, "visible"), click(64), end_s=64)
    assert (found["waiting_s"], found["reading_s"], found["active_s"], found["away_s"]) == (20, 4, 4, 40)


def test_hiding_is_no_sign_that_an_answer_was_read_or_acted_on() -> None:
    assert numbers(*turn(0), state(4, "hidden"), end_s=300)["exit_reason"] == "silent"
    assert numbers(*turn(0), click(3), state(4, "hidden"), end_s=300)["exit_reason"] == "after_reading"


@pytest.mark.parametrize(("shown_at", "away"), [(33.9, False), (34, True), (None, True)])
def test_whoever_hides_the_page_for_thirty_seconds_went_away_then(shown_at: float | None, away: bool) -> None:
    back = [] if shown_at is None else [state(shown_at, "visible")]
    document = visit("v", *turn(0), state(4, "hidden"), *back, *turn(50), end_s=60)
    found = Interaction(cleaned([document], FIELDS))
    assert bool(found.summary()["idle"][0]) is away
    assert np.asarray(found.turns()["idle_first"]).tolist()[:1] == [away]


def test_a_replay_calls_it_away() -> None:
    document = visit("v", *turn(0), state(6, "hidden"), state(16, "visible"), click(20), end_s=20)
    told = silences(Evidence(cleaned([document], FIELDS)))
    assert [silence and (silence.kind, silence.seconds) for silence in told] == [
        None,
        None,  # two seconds are not long
        ("read", 4),
        ("away", 10),
        ("read", 4),
    ]
