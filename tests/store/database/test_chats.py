from __future__ import annotations

import threading
from typing import Any

import pytest

from llmtrack.errors import StoreUnavailable
from llmtrack.store.database import chats as chats_module
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store


@pytest.fixture
def chats(store: Store) -> Chats:
    chats = Chats(store)
    chats.ensure_indexes()
    return chats


def turn(number: int, text: str = "Why?") -> dict[str, Any]:
    return {"turn_id": f"turn-{number}", "t": 1_800_000_000_000 + number, "text": text}


def turns_of(chats: Chats, last: int = 10) -> list[dict[str, Any]]:
    """The turns of Ann's chat, without what is kept while an answer is being written."""
    return [{key: each[key] for key in each if key != "writing"} for each in chats.turns("ann", "c1", last)]


def test_a_chat_reads_as_it_was_written(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1, "  What is\n a vector? "))
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "An arrow.", "provider": "openai"})
    chats.ask("ann", "c1", turn(2))
    chat = chats.get("ann", "c1")
    assert chat is not None
    assert chat["title"] == "What is a vector?"
    assert chat["created_at"].endswith("Z")
    assert chat["created_at"] <= chat["updated_at"]
    assert chat["messages"] == [
        {"role": "user", "text": "  What is\n a vector? ", "turn_id": "turn-1", "t": 1_800_000_000_001},
        {"role": "assistant", "turn_id": "turn-1", "t": 5, "text": "An arrow.", "provider": "openai"},
        {"role": "user", "text": "Why?", "turn_id": "turn-2", "t": 1_800_000_000_002, "writing": True},
    ]


def test_the_list_is_newest_first_and_only_ones_own(chats: Chats) -> None:
    for chat in ("c1", "c2", "c3"):
        chats.ask("ann", chat, turn(1, f"About {chat}"))
    chats.ask("bob", "c9", turn(1))
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "Yes."})
    listed = chats.newest("ann")
    assert [(chat["sessionId"], chat["title"], chat["turns"]) for chat in listed] == [
        ("c1", "About c1", 1),
        ("c3", "About c3", 1),
        ("c2", "About c2", 1),
    ]
    assert chats.newest("nobody") == []


def test_nobody_reads_or_deletes_anothers_chat(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1))
    assert chats.get("bob", "c1") is None
    assert chats.turns("bob", "c1", 10) == []
    assert not chats.delete("bob", "c1")
    chats.answer("bob", "c1", "turn-1", {"t": 5, "text": "stolen"})
    assert turns_of(chats) == [turn(1)]
    assert chats.delete("ann", "c1")
    assert chats.get("ann", "c1") is None


def test_a_long_first_prompt_makes_a_short_title(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1, "word " * 100))
    title = chats.newest("ann")[0]["title"]
    assert len(title) <= 80
    assert title.endswith("word…")


def test_only_the_last_turns_are_read(chats: Chats) -> None:
    for number in range(5):
        chats.ask("ann", "c1", turn(number))
    assert turns_of(chats, 2) == [turn(3), turn(4)]


def test_a_turn_that_is_asked_again_keeps_its_answers_as_attempts(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1))
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "old"})
    chats.ask("ann", "c1", turn(2))
    chats.ask("ann", "c1", {**turn(1), "t": 9})
    assert turns_of(chats) == [{**turn(1), "attempts": [{"t": 5, "text": "old"}]}, turn(2)]
    chats.answer("ann", "c1", "turn-1", {"t": 6, "text": "new"})
    chat = chats.get("ann", "c1")
    assert chat is not None
    assert chat["messages"][1] == {"role": "assistant", "turn_id": "turn-1", "t": 6, "text": "new", "attempts": 2}


def test_what_has_been_said_so_far_is_shown_until_the_answer_is_there(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats.ask("ann", "c1", turn(1))
    assert chats.writing("ann", "c1", "turn-1", {"text": "Becau", "thinking": "Hm."})
    asked, answer = messages(chats)
    assert asked["writing"] is True
    assert answer == {"role": "assistant", "turn_id": "turn-1", "text": "Becau", "thinking": "Hm.", "writing": True}
    monkeypatch.setattr(chats_module, "LEASE_MS", -1)  # whoever wrote it was killed
    chats.writing("ann", "c1", "turn-1", {"text": "Becau"})
    assert messages(chats) == [{"role": "user", **turn(1)}]
    chats.answer("ann", "c1", "turn-1", {"t": 6, "text": "Because."})
    assert [message.get("writing") for message in messages(chats)] == [None, None]


def test_a_stop_reaches_whoever_writes(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1))
    chats.stop("bob", "c1", "turn-1")
    assert chats.writing("ann", "c1", "turn-1", {"text": "a"})
    chats.stop("ann", "c1", "turn-1")
    assert not chats.writing("ann", "c1", "turn-1", {"text": "ab"})
    chats.delete("ann", "c1")
    assert not chats.writing("ann", "c1", "turn-1", {"text": "abc"})


def messages(chats: Chats) -> list[dict[str, Any]]:
    chat = chats.get("ann", "c1")
    assert chat is not None
    found: list[dict[str, Any]] = chat["messages"]
    return found


def test_an_answer_that_ends_after_the_chat_was_deleted_does_not_bring_it_back(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1))
    chats.delete("ann", "c1")
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "late"})
    assert chats.newest("ann") == []


def test_many_at_once_in_one_new_chat_lose_nothing(chats: Chats) -> None:
    def ask(number: int) -> None:
        chats.ask("ann", "c1", turn(number))
        chats.answer("ann", "c1", f"turn-{number}", {"t": 5, "text": str(number)})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    turns = chats.turns("ann", "c1", 100)
    assert sorted(turn["turn_id"] for turn in turns) == sorted(f"turn-{number}" for number in range(16))
    assert all(turn["answer"]["text"] == turn["turn_id"].removeprefix("turn-") for turn in turns)


def test_a_database_that_is_away_is_named() -> None:
    with (
        Store("mongodb://127.0.0.1:9/?directConnection=true", timeout_s=0.1) as store,
        pytest.raises(StoreUnavailable, match="does not answer"),
    ):
        Chats(store).newest("ann")


def texts(chats: Chats, chat: str = "c1") -> list[str]:
    found = chats.get("ann", chat)
    return [message["text"] for message in found["messages"]] if found else []


def test_an_edited_question_takes_the_place_of_all_that_followed(chats: Chats) -> None:
    for number, text in enumerate(("One?", "Two?", "Three?")):
        chats.ask("ann", "c1", turn(number, text))
        chats.answer("ann", "c1", f"turn-{number}", {"t": 9, "text": f"To {text}"})
    chats.ask("ann", "c1", turn(7, "Second?"), edits="turn-1")
    assert texts(chats) == ["One?", "To One?", "Second?"]
    assert chats.newest("ann")[0]["title"] == "One?"
    chats.ask("ann", "c1", turn(8, "First?"), edits="turn-0")
    assert texts(chats) == ["First?"]
    assert chats.newest("ann")[0]["title"] == "First?"


def test_an_edit_of_what_is_not_there_is_a_new_question(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1, "One?"), edits="turn-0")
    chats.ask("ann", "c1", turn(2, "Two?"), edits="of another chat")
    assert texts(chats) == ["One?", "Two?"]


def test_a_title_that_was_given_stays(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1, "What is a vector?"))
    chats.ask("ann", "c2", turn(1, "Newer"))
    assert chats.rename("ann", "c1", "Vectors " * 20)
    chats.ask("ann", "c1", turn(2, "What is a matrix?"), edits="turn-1")
    title = next(chat["title"] for chat in chats.newest("ann") if chat["sessionId"] == "c1")
    assert title.startswith("Vectors Vectors")
    assert len(title) <= 80


def test_renaming_changes_no_place_in_the_list_and_no_chat_of_others(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1, "Old"))
    chats.ask("ann", "c2", turn(1, "New"))
    assert chats.rename("ann", "c1", "  The\n old one ")
    assert [chat["title"] for chat in chats.newest("ann")] == ["New", "The old one"]
    assert not chats.rename("bob", "c1", "Mine")
    assert not chats.rename("ann", "c9", "Nothing")


FOUND = {
    "in a title": ("vectors", ["c1"]),
    "in a question": ("ORANGE", ["c1"]),
    "in an answer": ("arrow", ["c1"]),
    "in another alphabet": ("привет", ["c2"]),
    "every word": ("orange  arrow", ["c1"]),
    "one word missing": ("orange nothing", []),
    "signs of patterns": (".*", []),
    "signs as they stand": ("a+b (c)", ["c2"]),
    "a bracket": ("(", ["c2"]),
    "no word": ("   ", ["c2", "c1"]),
    "a zero byte": ("ora\0nge", ["c1"]),
}


@pytest.mark.parametrize(("words", "found"), FOUND.values(), ids=FOUND)
def test_chats_are_found_by_title_question_and_answer(chats: Chats, words: str, found: list[str]) -> None:
    chats.ask("ann", "c1", turn(1, "An orange?"))
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "No, an Arrow."})
    chats.rename("ann", "c1", "About Vectors")
    chats.ask("ann", "c2", turn(1, "Привет, a+b (c)"))
    chats.ask("bob", "c3", turn(1, "orange arrow vectors привет a+b (c)"))
    assert [chat["sessionId"] for chat in chats.newest("ann", words)] == found
