"""Loading documents into a store: each session once, as it is, and what cannot be stored is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from llmtrack.store import load as loading
from llmtrack.store.database.sessions import Store
from llmtrack.store.load import load
from llmtrack.store.sources.documents import Found, Unreadable

AT = datetime(2024, 10, 27, 10, tzinfo=UTC)


def found(*documents: dict[str, Any]) -> list[Found | Unreadable]:
    return [Found(f"line {line}", document) for line, document in enumerate(documents, 1)]


def visit(session_id: Any, *events: int, **fields: Any) -> dict[str, Any]:
    stored = [{"t": AT.timestamp() * 1000 + at, "type": "click"} for at in events]
    return {"session_id": session_id, "start_time": AT, "events": stored, **fields}


def test_a_document_is_kept_as_it_is(store: Store) -> None:
    document = {"session_id": "a", "start_time": AT, "end_time": "2024-10-27T10:15:30Z", "mine": {"x": [1, None, 2.5]}}
    assert load(store, found(document)).inserted == 1
    assert store.find("a") == document


def test_loading_again_and_twice_in_a_file_changes_nothing(store: Store) -> None:
    documents = found(visit("a"), visit("b"), visit("a"))
    first, second = load(store, documents), load(store, documents)
    assert (first.inserted, first.known) == (2, 1)
    assert (second.inserted, second.known) == (0, 3)
    assert store.find("a") == visit("a")


def test_a_session_that_another_writer_stored_is_known(store: Store) -> None:
    store.sessions.insert_one(visit("a"))  # _id: an ObjectId
    assert load(store, found(visit("a"))).known == 1
    assert store.sessions.count_documents({}) == 1


def test_somebody_who_inserts_the_same_in_between_is_noticed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading.RawBSONDocument

    def late(raw: bytes) -> Any:  # after the question which sessions are there, before the insert
        store.sessions.update_one({"_id": "a"}, {"$set": {"session_id": "a", "by": "the other"}}, upsert=True)
        return real(raw)

    monkeypatch.setattr(loading, "RawBSONDocument", late)
    tally = load(store, found(visit("a"), visit("b")))
    assert (tally.inserted, tally.known, tally.unreadable) == (1, 1, 0)
    assert store.find("a") == {"session_id": "a", "by": "the other"}


def test_a_dry_run_counts_and_writes_nothing(store: Store) -> None:
    tally = load(store, found(visit("a"), {"x": 1}, visit("b"), visit("a")), dry_run=True)
    assert (tally.inserted, tally.known, tally.unreadable) == (2, 1, 1)
    assert store.sessions.count_documents({}) == 0


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"a": 1}, "no session id"),
        ({"session_id": ""}, "no session id"),
        ({"session_id": {"$gt": ""}}, "no session id"),
        ({"session_id": "a"}, "no start time"),
        ({"session_id": "a", "t": 5, "type": "click"}, "no start time"),
        (visit("a") | {"events": {}}, "events not a list"),
        (visit("a") | {"n": 2**70}, "cannot be stored: MongoDB can only handle up to 8-byte ints"),
        (visit("a") | {"text": "x" * 17_000_000}, "17,000,078 bytes, more than MongoDB's 16 MB"),
    ],
)
def test_what_cannot_be_stored_is_named(store: Store, document: dict[str, Any], why: str) -> None:
    tally = load(store, [*found(document), Unreadable("line 9", "not JSON")])
    assert tally.named == [Unreadable("line 1", why), Unreadable("line 9", "not JSON")]
    assert tally.unreadable == 2


def test_ids_that_are_numbers_or_object_ids_are_ids(store: Store) -> None:
    documents = found(visit(7), visit(bson.ObjectId()), visit(7.5), visit(bson.Binary(bytes(16), 4)))
    assert load(store, documents).inserted == 4
    assert load(store, documents).known == 4


def test_batches_are_bounded_by_number_and_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH", 3)
    monkeypatch.setattr(loading, "BATCH_BYTES", 200)
    documents = found(*(visit(str(k)) | {"text": "x" * (90 if k % 4 else 300)} for k in range(20)))
    assert load(store, documents).inserted == 20
    assert store.sessions.count_documents({}) == 20


GONE_ON = {
    "more events": (visit("a", 1, 2, end_time=None), visit("a", 1, 2, 3, end_time=None)),
    "an end": (visit("a", 1, end_time=None), visit("a", 1, end_time=AT)),
    "stored without events": ({"session_id": "a", "start_time": AT}, visit("a", 1)),
    "an event in between": (visit("a", 1, 3), visit("a", 1, 2, 3)),
}
DIFFERENT = {
    "fewer events": (visit("a", 1, 2), visit("a", 1)),
    "other events": (visit("a", 1), visit("a", 2, 3)),
    "another user": (visit("a", 1, user_id="u"), visit("a", 1, user_id="v")),
    "another start": (visit("a", 1), visit("a", 1, 2, start_time=AT.replace(day=1))),
}


@pytest.mark.parametrize(("stored", "given"), GONE_ON.values(), ids=GONE_ON)
def test_a_visit_that_has_gone_on_is_completed(store: Store, stored: dict[str, Any], given: dict[str, Any]) -> None:
    store.sessions.insert_one(dict(stored))  # _id: an ObjectId
    assert load(store, found(given), dry_run=True).completed == 1
    assert store.find("a") == stored
    assert load(store, found(given)).completed == 1
    assert store.find("a") == given
    assert load(store, found(given)).known == 1
    assert store.sessions.count_documents({}) == 1


@pytest.mark.parametrize(("stored", "given"), DIFFERENT.values(), ids=DIFFERENT)
def test_other_content_is_left_unless_it_is_to_be_replaced(
    store: Store, stored: dict[str, Any], given: dict[str, Any]
) -> None:
    load(store, found(stored))
    assert load(store, found(given)).differing == ["a"]
    assert store.find("a") == stored
    assert load(store, found(given), overwrite=True).different == 1
    assert store.find("a") == given


def test_one_document_that_a_server_refuses_costs_itself_only(store: Store) -> None:
    documents = [visit(f"s{number}") for number in range(40)]
    documents[17]["mine"] = DatetimeMS(999_999_999_999_999)  # the year 33658
    tally = load(store, found(*documents))
    assert tally.inserted + tally.unreadable == 40
    assert [named.where for named in tally.named] in (["line 18"], [])  # MongoDB itself takes it
