"""Loading documents into a store: each session once, as it is, and what cannot be stored is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from llmtrack.store import load as loading
from llmtrack.store.database.sessions import Store
from llmtrack.store.load import load
from llmtrack.store.sources.documents import Found, Unreadable

AT = datetime(2024, 10, 27, 10, tzinfo=UTC)


def found(*documents: dict[str, Any]) -> list[Found | Unreadable]:
    return [Found(f"line {line}", document) for line, document in enumerate(documents, 1)]


def test_a_document_is_kept_as_it_is(store: Store) -> None:
    document = {"session_id": "a", "start_time": AT, "end_time": "2024-10-27T10:15:30Z", "mine": {"x": [1, None, 2.5]}}
    assert load(store, found(document)).inserted == 1
    assert store.find("a") == document


def test_loading_again_and_twice_in_a_file_changes_nothing(store: Store) -> None:
    documents = found({"session_id": "a", "events": []}, {"session_id": "b"}, {"session_id": "a", "events": [1]})
    first, second = load(store, documents), load(store, documents)
    assert (first.inserted, first.known) == (2, 1)
    assert (second.inserted, second.known) == (0, 3)
    assert store.find("a") == {"session_id": "a", "events": []}


def test_a_session_that_another_writer_stored_is_known(store: Store) -> None:
    store.sessions.insert_one({"session_id": "a", "by": "another writer"})  # _id: an ObjectId
    assert load(store, found({"session_id": "a"})).known == 1
    assert store.sessions.count_documents({}) == 1


def test_somebody_who_inserts_the_same_in_between_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading.RawBSONDocument

    def late(raw: bytes) -> Any:  # after the question which sessions are there, before the insert
        store.sessions.update_one({"_id": "a"}, {"$set": {"session_id": "a", "by": "the other"}}, upsert=True)
        return real(raw)

    monkeypatch.setattr(loading, "RawBSONDocument", late)
    tally = load(store, found({"session_id": "a"}, {"session_id": "b"}))
    assert (tally.inserted, tally.known, tally.unreadable) == (1, 1, 0)
    assert store.find("a") == {"session_id": "a", "by": "the other"}


def test_a_dry_run_counts_and_writes_nothing(store: Store) -> None:
    tally = load(store, found({"session_id": "a"}, {"x": 1}), dry_run=True)
    assert (tally.inserted, tally.unreadable) == (1, 1)
    assert store.sessions.count_documents({}) == 0


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"a": 1}, "no session_id"),
        ({"session_id": ""}, "no session_id"),
        ({"session_id": {"$gt": ""}}, "session_id is no id"),
        ({"session_id": "a", "n": 2**70}, "cannot be stored: MongoDB can only handle up to 8-byte ints"),
        ({"session_id": "a", "text": "x" * 17_000_000}, "17,000,045 bytes, more than MongoDB's 16 MB"),
    ],
)
def test_what_cannot_be_stored_is_named(store: Store, document: dict[str, Any], why: str) -> None:
    tally = load(store, [*found(document), Unreadable("line 9", "not JSON")])
    assert tally.named == [Unreadable("line 1", why), Unreadable("line 9", "not JSON")]
    assert tally.unreadable == 2


def test_ids_that_are_numbers_or_object_ids_are_ids(store: Store) -> None:
    documents = found({"session_id": 7}, {"session_id": bson.ObjectId()})
    assert load(store, documents).inserted == 2
    assert load(store, documents).known == 2


def test_batches_are_bounded_by_number_and_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH", 3)
    monkeypatch.setattr(loading, "BATCH_BYTES", 200)
    documents = found(*({"session_id": str(k), "text": "x" * (90 if k % 4 else 300)} for k in range(20)))
    assert load(store, documents).inserted == 20
    assert store.sessions.count_documents({}) == 20
