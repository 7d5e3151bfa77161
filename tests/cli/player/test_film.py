"""What the keys of the player do to a film, without a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate
from llmtrack.cli.player.bar import AWAY, COPIED, FAILED, QUESTION, marks, place
from llmtrack.cli.player.keys import table
from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.clean import one
from tests.cli.player.session import NOW, document, film


def test_it_plays_with_waits_shortened_and_stops_at_the_end() -> None:
    steered = film(idle_limit=2)
    steered.play()
    steered.advance(0)
    assert (steered.index, steered.at_s) == (1, 0)
    steered.advance(1.9)
    assert (steered.index, round(steered.at_s, 3)) == (1, 3.8), "4 s pass evenly in 2"
    steered.advance(0.2)
    assert steered.index == 2
    steered.advance(1000)
    assert (steered.index, steered.at_s, steered.ended, steered.playing) == (11, 620, True, False)
    steered.play()
    assert (steered.index, steered.playing) == (0, True), "from the beginning again"


def test_a_pace_is_of_the_clock() -> None:
    steered = film(idle_limit=2, speed=3.0)
    steered.play()
    steered.advance(1)
    assert steered.at == 3
    steered.faster(1)
    assert steered.pace == 4
    steered.faster(-1)
    steered.faster(-1)
    assert steered.pace == 1.5
    for _ in range(20):
        steered.faster(1)
    assert steered.pace == 32


def test_steps_stay_within_the_session() -> None:
    steered = film()
    steered.step(-1)
    assert (steered.index, steered.at_s) == (0, 0)
    for number in range(1, 12):
        steered.step(1)
        assert (steered.index, steered.current and steered.current.number) == (number, number)
    steered.step(1)
    assert (steered.ended, steered.at_s) == (True, 620)
    steered.step(1)
    steered.step(-1)
    assert (steered.index, steered.at_s, steered.ended) == (11, 617, False), "back from the end to the last event"
    steered.step(-1)
    assert steered.at_s == 616


def test_from_question_to_question() -> None:
    steered, seen = film(), []
    for way in (1, 1, 1, 1, -1, -1, -1):
        steered.question(way)
        seen.append(steered.at_s)
    assert seen == [4, 613, 615, 615, 613, 4, 4]


def test_tenths_are_of_what_plays() -> None:
    steered = film(idle_limit=2)
    steered.jump(10)
    assert steered.ended
    steered.jump(0)
    assert (steered.index, steered.at) == (1, 0)
    steered.jump(5)
    assert steered.at == steered.length / 2


@pytest.mark.parametrize(
    ("when", "index", "at_s"),
    [("10", 3, 10), ("11.5", 4, 11.5), ("10:13", 7, 613), ("prompt#2", 7, 613), ("#4", 4, 11)],
)
def test_it_goes_where_it_is_told(when: str, index: int, at_s: float) -> None:
    steered = film(idle_limit=2)
    steered.go(when)
    assert (steered.index, round(steered.at_s, 6)) == (index, at_s)


def test_an_unknown_place_is_refused_and_it_stays() -> None:
    steered = film()
    steered.go("10")
    with pytest.raises(LlmtrackError, match="No event 'bogus'"):
        steered.go("bogus")
    assert steered.at_s == 10


def test_words_are_found_round_the_end_in_either_case() -> None:
    steered, seen = film(), []
    steered.query = "RYE"
    for way in (1, 1, 1, -1):
        assert steered.find(way)
        seen.append(steered.at_s)
    assert seen == [613, 615, 613, 615]
    steered.query = "list<salt>"
    assert (steered.find(), steered.at_s) == (True, 10)
    steered.query = "nowhere"
    assert (steered.find(), steered.at_s) == (False, 10)


def test_kinds_are_chosen_where_it_stands() -> None:
    steered = film()
    steered.go("613")
    steered.choose({"prompt"})
    assert (len(steered.moments), steered.index, steered.at_s) == (3, 2, 613)
    steered.choose(())
    assert (steered.moments, steered.index, round(steered.at_s, 6)) == ([], 0, 613)
    steered.choose(steered.kinds)
    assert (steered.index, steered.at_s) == (7, 613)


def test_a_part_begins_and_ends_where_it_should() -> None:
    steered = film(begin_s=10.0, end_s=613.0, only=frozenset({"prompt", "copy"}))
    assert (steered.index, round(steered.at_s, 3), steered.whole) == (1, 10, False)
    steered.play()
    steered.advance(100)
    assert (steered.at_s, steered.ended) == (613, True)


def test_a_session_without_events_is_over_at_once() -> None:
    visit = one(document(events=[], end_time=None), NOW)
    steered = type(film())(visit, [], 0.0, film_manner())
    assert (steered.ended, steered.at_s, steered.find(), steered.current) == (True, 0, False, None)
    steered.step(-1)
    steered.question(1)
    steered.jump(5)
    assert len(marks(steered, 10)) == 10


def film_manner() -> object:
    from llmtrack.cli.player.film import Manner

    return Manner()


@pytest.mark.parametrize("width", [1, 7, 40, 300])
def test_the_timeline_has_a_mark_for_each_column(width: int) -> None:
    steered = film(idle_limit=2)
    found = marks(steered, width)
    assert len(found) == width
    assert QUESTION in found, "the first of several marks is seen"
    if width >= 40:
        assert {COPIED, FAILED, AWAY} <= set(found)
        assert found.count(QUESTION) == 3
    steered.jump(10)
    assert place(steered, width) == width - 1


def test_the_docs_have_all_keys() -> None:
    page = (Path(generate.__file__).parent / "replay.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`.+`) \| (.+) \|$", page.partition("## The player")[2].partition("The timeline")[0], re.MULTILINE
    )
    assert [(names.replace("`", ""), does) for names, does in rows] == table()
