"""The sample sessions: reproducible, plausible, different by the planted amounts, and broken in known ways."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from llmtrack.sample import plan
from llmtrack.sample import visits as sample
from llmtrack.sample.texts import topics
from llmtrack.session.schema import EVENT_TYPES

NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(sample.sessions(now=NOW))


def events(documents: list[dict[str, Any]], kind: str, group: str | None = None) -> list[dict[str, Any]]:
    return [
        event["data"]
        for document in documents
        if group in (None, document["model_group"])
        for event in document["events"]
        if event["type"] == kind
    ]


def words(text: str) -> set[str]:
    return set(text.lower().replace("?", " ").replace(",", " ").replace(".", " ").split())


def similar(one: str, other: str) -> bool:
    return len(words(one) & words(other)) >= 0.5 * len(words(one) | words(other))


def test_same_seed_and_now_give_the_same_bytes(documents: list[dict[str, Any]]) -> None:
    again = sample.sessions(now=NOW)
    assert b"".join(map(bson.encode, again)) == b"".join(map(bson.encode, documents))
    other = next(sample.sessions(now=NOW, seed=2))
    assert other["session_id"] != documents[0]["session_id"]


def test_a_later_now_moves_the_visits_and_changes_nothing_else(documents: list[dict[str, Any]]) -> None:
    later = list(sample.sessions(now=NOW + timedelta(days=40)))
    past = slice(0, -plan.OPEN)
    assert [d["model_group"] for d in later[past]] == [d["model_group"] for d in documents[past]]
    assert [len(d["events"]) for d in later[past]] == [len(d["events"]) for d in documents[past]]


def test_a_few_hundred_visits_of_two_hundred_people_with_every_type_of_event(documents: list[dict[str, Any]]) -> None:
    visits = Counter(document["user_id"] for document in documents)
    assert 500 < len(documents) < 700
    assert len(visits) == 200
    assert statistics.median(visits.values()) < max(visits.values()) / 4
    assert {event["type"] for document in documents for event in document["events"]} > set(EVENT_TYPES) - {"view"}
    assert len({document["session_id"] for document in documents}) == len(documents)


def test_a_person_stays_in_one_group(documents: list[dict[str, Any]]) -> None:
    pairs = {(document["user_id"], document["model_group"]) for document in documents}
    assert len(pairs) == 200


def test_all_visits_lie_in_the_three_weeks_before_now(documents: list[dict[str, Any]]) -> None:
    starts = [d["start_time"] for d in documents if isinstance(d["start_time"], datetime)]
    assert NOW - timedelta(days=plan.DAYS + 1) < min(starts) < NOW - timedelta(days=plan.DAYS - 1)
    assert max(event["t"] for d in documents[-plan.OPEN :] for event in d["events"]) < NOW.timestamp() * 1000
    assert all(d["end_time"] < NOW for d in documents if isinstance(d["end_time"], datetime))


@pytest.mark.parametrize("group", plan.GROUPS, ids=lambda group: group.name)
def test_each_group_shows_what_was_planted(documents: list[dict[str, Any]], group: plan.Group) -> None:
    responses = events(documents, "model_response", group.name)
    answered = [data for data in responses if "text" in data]
    assert statistics.median(data["latency_ms"] for data in answered) == pytest.approx(group.latency_ms, rel=0.1)
    assert 1 - len(answered) / len(responses) == pytest.approx(group.error, abs=0.01)
    copied = {data["turn_id"] for data in events(documents, "copy", group.name)}
    assert len(copied) / len(answered) == pytest.approx(group.copied, abs=0.04)
    chats: dict[str, list[str]] = {}
    for data in events(documents, "prompt", group.name):
        chats.setdefault(data["chat_session_id"], []).append(data["text"])
    assert statistics.mean(map(len, chats.values())) == pytest.approx(group.turns, abs=0.3)
    follow = [(one, two) for texts in chats.values() for one, two in itertools.pairwise(texts)]
    assert sum(similar(*pair) for pair in follow) / len(follow) == pytest.approx(group.reask, abs=0.03)


def test_copies_and_selections_name_an_answer_that_contains_them(documents: list[dict[str, Any]]) -> None:
    answers = {data["turn_id"]: data["text"] for data in events(documents, "model_response") if "text" in data}
    marked = events(documents, "copy") + events(documents, "selection")
    assert len(marked) > 500
    assert all(data["selected_text"] in answers[data["turn_id"]] for data in marked)


def test_scrolls_are_half_a_second_apart_and_plausibly_fast(documents: list[dict[str, Any]]) -> None:
    scrolls = events(documents, "scroll")
    assert all(0 < data["speed"] <= 1280 for data in scrolls)
    assert all(0 <= data["scrollY"] < data["page_height"] for data in scrolls)


def test_what_other_writers_do_wrong_is_there_in_known_amounts(documents: list[dict[str, Any]]) -> None:
    def times(document: dict[str, Any]) -> list[float]:
        return [event["t"] for event in document["events"]]

    def numbers(document: dict[str, Any]) -> list[int]:
        return [event["n"] for event in document["events"] if "n" in event]

    found = {
        "no environment": sum("environment" not in d for d in documents),
        "unsorted": sum(times(d) != sorted(times(d)) for d in documents),
        "ISO start": sum(isinstance(d["start_time"], str) for d in documents),
        "other clock": sum(
            abs(min(times(d)) - d["start_time"].timestamp() * 1000) > 300_000
            for d in documents
            if isinstance(d["start_time"], datetime)
        ),
        "float t": sum(isinstance(times(d)[0], float) for d in documents),
        "lost": sum(max(numbers(d)) != len(set(numbers(d))) for d in documents),
    }
    assert found == dict.fromkeys(found, 6)
    same_n = sum(len(numbers(d)) != len(set(numbers(d))) for d in documents)
    assert same_n <= 6  # a copied event of the server's carries no n
    responses = [data["turn_id"] for data in events(documents, "model_response")]
    assert {data["turn_id"] for data in events(documents, "prompt")} - set(responses)  # unanswered
    assert any("error" in data for data in events(documents, "model_response"))
    assert sum(d["end_time"] is None for d in documents[: -plan.OPEN]) > 10
    assert all(d["end_time"] is None for d in documents[-plan.OPEN :])


def test_the_texts_are_readable_questions_and_answers() -> None:
    turns = [turn for topic in topics() for turn in topic]
    assert len(turns) >= 60
    assert len({turn.question for turn in turns}) == len(turns)
    assert all(turn.question.endswith((".", "?")) for turn in turns)
    assert all(len(turn.answer.split()) > 30 and len(turn.passages) >= 2 for turn in turns)
    assert any("```" in turn.answer for turn in turns)
    assert all(passage in turn.answer for turn in turns for passage in turn.passages)
    for one in turns:  # only a planted re-ask may look like one
        assert not [other for other in turns if other is not one and similar(one.question, other.question)]
