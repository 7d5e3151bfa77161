"""Visits too large for one document: exact for writers, one session for every reader, movable like any other."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from llmtrack.config import Settings
from llmtrack.errors import UnknownSession
from llmtrack.session.jsonable import jsonable
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.move import run
from llmtrack.store.archive.restore import restore
from llmtrack.store.database.continuation import ARCHIVED, CONTINUED, joined
from llmtrack.store.database.sessions import Store
from llmtrack.store.load import load
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.documents import Found
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.open import open_source
from tests.store.archive.world import move, small

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
T0 = round(START.timestamp() * 1000)
OLD = START + timedelta(minutes=5)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are full after ten events or so."""
    monkeypatch.setattr("llmtrack.store.database.sessions.PART_BYTES", 2_000)


def events(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"n": n, "t": T0 + n * 10, "type": "prompt", "data": {"text": f"{n} " + "x" * 100}}
        for n in range(first, last + 1)
    ]


def begin(store: Store, session_id: str = "large") -> None:
    who = {"user_id": "u", "model_group": "a", "experiment_id": "e", "environment": {"device": "desktop"}}
    store.start({"session_id": session_id, **who, "start_time": START})


def fill(store: Store, session_id: str = "large", count: int = 60) -> None:
    begin(store, session_id)
    for first in range(1, count, 4):
        store.append(session_id, events(first, first + 3))
    store.append(session_id, [], end=OLD)
    store.sessions.update_many({"session_id": session_id}, {"$set": {"updated_at": OLD}})


def numbers(document: dict[str, Any] | None) -> list[int]:
    assert document is not None
    return [event["n"] for event in document["events"]]


def raws(store: Store) -> dict[Any, bytes]:
    found: Any = store.sessions.find_raw_batches({})
    return {bson.decode(raw)["_id"]: raw for batch in found for raw in _split(batch)}


def _split(batch: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(batch):
        size = int.from_bytes(batch[at : at + 4], "little")
        yield batch[at : at + size]
        at += size


@pytest.mark.usefixtures("small_parts")
def test_a_full_document_goes_on_in_the_next_and_every_n_counts_once(store: Store) -> None:
    begin(store)
    for first, last in [(1, 10), (1, 20), (30, 40), (15, 45), (1, 45), (21, 29)]:
        store.append("large", events(first, last))
    documents = list(store.sessions.find({}).sort([("part", 1)]))
    assert [document.get("part") for document in documents] == [None, 1, 2, 3]
    assert [document.get("ended_by") for document in documents] == [CONTINUED, CONTINUED, CONTINUED, None]
    assert sum(len(document["events"]) for document in documents) == 45
    whole = store.find("large")
    assert numbers(whole) == list(range(1, 46))
    assert (whole["event_count"], whole["last_n"], whole["received"], whole["end_time"]) == (45, 45, [[1, 45]], None)
    assert "part" not in whole


@pytest.mark.usefixtures("small_parts")
def test_writers_at_the_same_time_store_each_n_once_across_documents(store: Store) -> None:
    begin(store)
    batches = [events(first, first + 9) for first in range(1, 90, 5)] * 2
    random.Random(1).shuffle(batches)
    threads = [threading.Thread(target=store.append, args=("large", batch)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(store.find("large")) == list(range(1, 96))
    assert store.sessions.count_documents({"part": {"$gt": 2}}) > 0


@pytest.mark.usefixtures("small_parts")
def test_whoever_dies_between_closing_and_going_on_is_replaced_by_the_next_writer(store: Store) -> None:
    begin(store)
    store.append("large", events(1, 10))
    store.sessions.update_one({}, {"$set": {"ended_by": CONTINUED, "end_time": OLD}})
    assert numbers(MongoSource(store, "db").get("large")) == list(range(1, 11))
    store.append("large", events(5, 12))
    assert numbers(store.find("large")) == list(range(1, 13))


@pytest.mark.usefixtures("small_parts")
def test_a_batch_with_a_key_counts_once_also_in_the_next_document(store: Store) -> None:
    begin(store)
    event = {"t": T0, "type": "prompt", "data": {"text": "x" * 500}}
    for key in ("a", "b", "a", "c", "d", "e", "a", "b", "e"):
        store.append("large", [event], once=key)
    assert len(store.find("large")["events"]) == 5
    assert store.sessions.count_documents({}) == 2


def test_the_servers_own_limit_closes_a_document_whose_size_nobody_counted(store: Store) -> None:
    theirs = {
        "session_id": "large",
        "user_id": "u",
        "start_time": START,
        "events": [{"t": T0, "type": "x", "data": {"text": "x" * 16_700_000}}],
    }
    store.sessions.insert_one(theirs)
    store.append("large", [{"n": 1, "t": T0 + 5, "type": "prompt", "data": {"text": "y" * 100_000}}])
    whole = MongoSource(store, "db").get("large")
    assert [event["type"] for event in whole["events"]] == ["x", "prompt"]


@pytest.mark.usefixtures("small_parts")
def test_silence_ends_the_last_document_only(store: Store) -> None:
    begin(store)
    for first in range(1, 40, 4):
        store.append("large", events(first, first + 3))
    assert store.end_silent(-1) == 1
    whole = store.find("large")
    assert (whole["ended_by"], whole["end_time"]) == ("timeout", START + timedelta(milliseconds=400))


@pytest.mark.usefixtures("small_parts")
def test_every_source_gives_one_session(store: Store, mongodb_uri: str, settings: Settings, tmp_path: Path) -> None:
    fill(store)
    begin(store, "other")
    wanted = store.find("large")
    stored = list(store.sessions.find({}))
    random.Random(2).shuffle(stored)
    (tmp_path / "dump.bson").write_bytes(b"".join(map(bson.encode, stored)))
    (tmp_path / "dump.jsonl").write_bytes(b"\n".join(_json(document) for document in stored))
    for named in (mongodb_uri, str(tmp_path / "dump.bson"), str(tmp_path / "dump.jsonl")):
        with open_source(named, settings) as source:
            assert numbers(source.get("large")) == numbers(wanted), named
            assert sorted(document["session_id"] for document in source.documents()) == ["large", "other"]
            batches = list(source.batches(fields=["text"]))
            counts = {
                sid: n for b in batches for sid, n in zip(b.sessions["session_id"], b.counts.tolist(), strict=True)
            }
            assert counts == {"large": 60, "other": 0}
            assert [each.session_id for each in source.find("large")] == ["large"]
            assert not source.unreadable, named


def test_parts_that_another_application_wrote_are_joined_without_a_mark(store: Store) -> None:
    store.allow_parts()
    store.sessions.insert_many(
        {
            "session_id": "theirs",
            "start_time": START,
            "events": [{"t": T0 + part, "type": "x"}],
            **({"part": part} if part else {}),
        }
        for part in (2, 0, 1)
    )
    store.sessions.insert_one({"session_id": "odd", "part": 7, "start_time": START, "events": []})
    source = MongoSource(store, "db")
    found = {document["session_id"]: document for document in source.documents()}
    assert [event["t"] for event in found["theirs"]["events"]] == [T0, T0 + 1, T0 + 2]
    assert found.keys() == {"theirs", "odd"}
    assert [event["t"] for event in source.get("theirs")["events"]] == [T0, T0 + 1, T0 + 2]
    assert not source.unreadable


@pytest.mark.usefixtures("small_parts")
def test_importing_a_dump_with_parts_is_idempotent(store: Store) -> None:
    fill(store)
    dump = [Found(f"line {i}", document) for i, document in enumerate(store.sessions.find({}))]
    wanted = store.find("large")
    assert load(store, dump).known == len(dump)
    store.sessions.drop()
    store.ensure_indexes()
    assert load(store, dump).inserted == len(dump)
    assert load(store, dump).known == len(dump)
    assert store.find("large") == wanted


@pytest.mark.usefixtures("small_parts")
def test_archive_and_restore_move_all_documents_as_they_are(store: Store, tmp_path: Path) -> None:
    fill(store)
    fill(store, "second", 13)
    before, wanted = raws(store), store.find("large")
    moved = move(store, tmp_path / "archive")
    assert (moved.sessions, moved.events, moved.deleted, moved.conflicts) == (2, 72, 2, [])
    assert raws(store) == {}
    folder = open_folder(str(tmp_path / "archive"))
    source = ArchiveSource(folder)
    assert jsonable(source.get("large")) == jsonable(wanted)
    assert sum(int(batch.counts.sum()) for batch in source.batches(fields=["text"])) == 72
    assert restore(store, folder).restored == 2
    assert raws(store) == before
    assert restore(store, folder).equal == 2
    store.sessions.delete_one({"session_id": "large", "part": 1})
    assert (restore(store, folder).restored, raws(store)) == (1, before)
    store.sessions.update_one({"session_id": "large", "part": 1}, {"$set": {"rev": 99}})
    assert restore(store, folder).different == ["large"]
    assert restore(store, folder, overwrite=True).overwritten == 1
    assert raws(store) == before
    again = move(store, tmp_path / "archive")
    assert (again.sessions, again.deleted, raws(store)) == (0, 2, {})


@pytest.mark.usefixtures("small_parts")
def test_a_late_event_keeps_all_documents_in_the_database(store: Store, tmp_path: Path) -> None:
    fill(store)
    before = len(raws(store))

    def write_late(name: str) -> None:
        if name == "recorded":
            store.append("large", events(99, 99))

    moved = run(store, open_folder(str(tmp_path / "archive")), small(), step=write_late)
    assert (moved.late, len(raws(store))) == (1, before)
    assert numbers(store.find("large"))[-1] == 99
    assert list(ArchiveSource(open_folder(str(tmp_path / "archive"))).documents()) == []


@pytest.mark.usefixtures("small_parts")
def test_activity_in_any_document_keeps_the_session(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.sessions.update_one({"part": 2}, {"$set": {"updated_at": datetime.now(UTC)}})
    assert move(store, tmp_path / "archive").sessions == 0


@pytest.mark.usefixtures("small_parts")
def test_killed_while_it_deletes_a_large_session_the_rest_is_no_session_and_the_next_run_ends_it(
    store: Store, tmp_path: Path
) -> None:
    fill(store)
    move(store, tmp_path / "archive", keep=True)
    whole = raws(store)
    last = max(document.get("part", 0) for document in store.sessions.find({}))
    for gone in itertools.chain([()], itertools.combinations(range(last), 1), itertools.combinations(range(last), 2)):
        store.sessions.delete_many({})
        store.sessions.insert_many([bson.decode(raw) for raw in whole.values()])
        store.sessions.update_one({"part": last}, {"$set": {"ended_by": ARCHIVED}, "$inc": {"rev": 1}})
        store.sessions.delete_many({"$or": [{"part": part or None} for part in gone] or [{"part": -1}]})
        assert list(MongoSource(store, "db").documents()) == [], gone
        with pytest.raises(UnknownSession):
            store.append("large", events(100, 100))


def test_forget_counts_a_session_once_and_erases_every_document(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtrack.store.database.sessions.PART_BYTES", 2_000)
    fill(store)
    receipt = forget(store, "u")
    assert receipt.database["sessions"] == 1
    assert raws(store) == {}


def test_joining_one_document_changes_nothing() -> None:
    document = {"_id": 1, "session_id": "s", "events": [{"t": 2}, {"t": 1}]}
    assert joined([document]) is document


def _json(document: dict[str, Any]) -> bytes:
    from bson import json_util

    return json_util.dumps(document).encode()
