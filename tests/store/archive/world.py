"""Sessions, writers and readers for the tests of the archive."""

from __future__ import annotations

import copy
import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson

from llmtrack.errors import UnknownSession
from llmtrack.store.archive.completion import Moved
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.move import Order, run
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.several import SeveralSources

OLD = timedelta(days=90)
Document = dict[str, Any]


def small(**options: Any) -> Order:
    """An order whose parts and row groups are small, so that there are several."""
    return Order(OLD, **{"row_group_sessions": 6, "part_bytes": 1, **options})


def session(number: int, *, age_days: float = 100, own: bool = True, **fields: Any) -> Document:
    """A session that ended `age_days` ago, of llmtrack's own writer or of another one."""
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=age_days, seconds=number)
    start_ms = round((end.timestamp() - 60) * 1000)
    events = [
        {"n": 1, "t": start_ms + 1000, "type": "prompt", "data": {"text": f"Question {number}?", "turn_id": "t"}},
        {"t": start_ms + 3000, "type": "model_response", "data": {"text": "An answer.", "latency_ms": 2000 + number}},
        {"n": 2, "t": start_ms + 4000, "type": "scroll", "data": {"scrollY": 100.5, "odd": [1, None]}},
    ]
    document: Document = {
        "_id": f"s{number}" if own else bson.ObjectId(),
        "session_id": f"s{number}",
        "user_id": f"user-{number % 5}",
        "model_group": "AB"[number % 2],
        "experiment_id": "e",
        "start_time": end - timedelta(seconds=60),
        "end_time": end,
        "environment": {"device": "desktop", "viewport": {"width": 1280, "height": 800}},
        "events": events,
    }
    if own:
        document |= {
            "schema_version": 1,
            "event_count": 3,
            "last_n": 2,
            "last_t": start_ms + 4000,
            "received": [[1, 2]],
        }
        document |= {"rev": 2, "updated_at": end}
    return document | fields


def sessions(count: int, **options: Any) -> list[Document]:
    """Sessions of both kinds of writers, begun in two months."""
    return [
        session(number, own=number % 3 > 0, age_days=100 if number % 2 else 140, **options) for number in range(count)
    ]


def raw(store: Store) -> dict[str, bytes]:
    """session_id → BSON as it is stored."""
    found: Any = store.sessions.find_raw_batches({})
    documents = [document for batch in found for document in bson.decode_iter(batch, RAW)]
    return {document["session_id"]: document.raw for document in documents}


RAW: Any = bson.codec_options.CodecOptions(bson.raw_bson.RawBSONDocument)


def archived(folder: Path) -> list[str]:
    """The ids that the archive counts; none when there is no archive."""
    there = (folder / "_manifest.jsonl").exists() and (folder / "_manifest.jsonl").read_bytes().count(b"\n")
    return [document["session_id"] for document in ArchiveSource(open_folder(str(folder))).documents()] if there else []


def both(store: Store, folder: Path) -> SeveralSources:
    """Database and archive, read together."""
    sources: list[Any] = [MongoSource(store, "database")]
    if (folder / "_manifest.jsonl").exists() and (folder / "_manifest.jsonl").read_bytes().count(b"\n"):
        sources.insert(0, ArchiveSource(open_folder(str(folder))))
    return SeveralSources(sources)


def counted(store: Store, folder: Path) -> Counter[str]:
    """How often a reader of database and archive meets each session, as documents and in batches alike."""
    several = both(store, folder)
    documents = Counter(document["session_id"] for document in several.documents())
    batches = Counter(session_id for batch in several.batches() for session_id in batch.sessions["session_id"])
    assert documents == batches
    return documents


def move(store: Store, folder: Path, **options: Any) -> Moved:
    """Run it in this process."""
    return run(store, open_folder(str(folder)), small(**options))


class Visitors:
    """Applications that write to sessions and start new ones; they remember what the database acknowledged."""

    def __init__(self, store: Store, ids: list[str], seed: int = 0) -> None:
        self.acknowledged: dict[str, list[int]] = {}
        self.started: set[str] = set()
        self._store, self._ids, self._rng, self._mark = store, ids, random.Random(seed), 10

    def act(self) -> Visitors:
        """Write once; what is known by now."""
        self._mark += 1
        session_id = self._rng.choice(self._ids)
        if self._mark % 5 == 0:
            session_id = f"new{self._mark}"
            self._store.start({"session_id": session_id, "start_time": datetime.now(UTC)})
            self.started.add(session_id)
        elif self._push(session_id, self._mark):
            self.acknowledged.setdefault(session_id, []).append(self._mark)
        return copy.deepcopy(self, {id(self._store): self._store})

    def _push(self, session_id: str, mark: int) -> bool:
        document = self._store.sessions.find_one({"session_id": session_id}, {"rev": 1, "end_time": 1})
        if document is None:
            return False
        t = round(document["end_time"].timestamp() * 1000) if document.get("end_time") else 1_790_000_000_000
        event = {"t": t, "type": "late", "data": {"mark": mark}}
        if "rev" not in document:  # another writer, that knows nothing of rev
            pushed = self._store.sessions.update_one({"_id": document["_id"]}, {"$push": {"events": event}})
            return pushed.matched_count > 0
        try:
            return self._store.append(session_id, [{**event, "n": mark}]).accepted == 1
        except UnknownSession:
            return False


class Writers:
    """Visitors who write in a thread of their own while sessions are moved."""

    def __init__(self, uri: str, ids: list[str], seed: int) -> None:
        self._store = Store(uri)
        self.visitors = Visitors(self._store, ids, seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        while not self._stop.wait(0.004):
            self.visitors.act()

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self.visitors

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._store.close()


def check_all_there(store: Store, folder: Path, expected: set[str], visitors: Visitors | None = None) -> None:
    """Every session is in one place, or goes on in the database; no acknowledged event is lost or there twice."""
    here, there = raw(store), archived(folder)
    assert len(set(there)) == len(there)
    assert {*here, *there} == set(expected)
    if visitors:
        documents = {document["session_id"]: document for document in both(store, folder).documents()}
        for session_id, marks in visitors.acknowledged.items():
            found = [e["data"]["mark"] for e in documents[session_id]["events"] if e["type"] == "late"]
            assert sorted(found) == sorted(marks), session_id
