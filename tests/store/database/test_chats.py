from __future__ import annotations

import threading
from typing import Any

import pytest

from llmtrack.errors import StoreUnavailable
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store


@pytest.fixture
def chats(store: Store) -> Chats:
    chats = Chats(store)
    chats.ensure_indexes()
    return chats


def turn(number: int, text: str = "Why?") -> dict[str, Any]:
    return {"turn_id": f"turn-{number}", "t": 1_800_000_000_000 + number, "text": text}


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
        {"role": "user", "text": "Why?", "turn_id": "turn-2", "t": 1_800_000_000_002},
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
    assert chats.turns("ann", "c1", 10) == [turn(1)]
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
    assert chats.turns("ann", "c1", 2) == [turn(3), turn(4)]


def test_a_repeated_turn_takes_the_place_of_the_first(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1))
    chats.answer("ann", "c1", "turn-1", {"t": 5, "text": "old"})
    chats.ask("ann", "c1", turn(2))
    chats.ask("ann", "c1", turn(3), instead_of="turn-1")
    assert chats.turns("ann", "c1", 10) == [turn(3), turn(2)]
    chats.answer("ann", "c1", "turn-1", {"t": 6, "text": "too late"})
    assert chats.turns("ann", "c1", 10) == [turn(3), turn(2)]


def test_a_turn_that_repeats_an_unknown_one_is_added(chats: Chats) -> None:
    chats.ask("ann", "c1", turn(1), instead_of="gone")
    assert chats.turns("ann", "c1", 10) == [turn(1)]


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
