"""Session documents into a store: each session once, whoever else loads the same at the same time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from llmtrack.session.ids import name
from llmtrack.store.database.continuation import document_id, part_of
from llmtrack.store.database.sessions import Store, reachable
from llmtrack.store.sources.documents import Document, Found, Unreadable

BATCH = 500  # documents written at a time, or
BATCH_BYTES = 8 * 1024 * 1024
MAX_BSON_BYTES = 16 * 1024 * 1024
NAMED = 100  # of the unreadable ones; the others are counted
_DUPLICATE_KEY = 11000


@dataclass
class Tally:
    """What became of the documents."""

    inserted: int = 0
    known: int = 0  # there already, or twice in the file
    unreadable: int = 0
    named: list[Unreadable] = field(default_factory=list)  # the first NAMED unreadable ones

    def refuse(self, where: str, why: str) -> None:
        self.unreadable += 1
        if len(self.named) < NAMED:
            self.named.append(Unreadable(where, why))


class _Row(NamedTuple):
    where: str
    key: tuple[Any, int]  # session_id and part
    raw: bytes


def load(store: Store, documents: Iterable[Found | Unreadable], *, dry_run: bool = False) -> Tally:
    """Insert the sessions that `store` does not hold yet, as they are; with `dry_run` only count them.

    A session is known by its session_id (and part), which becomes its _id: so it is there once even when several load
    it at the same time. One that is known is left as it is. Raises StoreUnavailable: what was inserted before stays.
    """
    tally = Tally()
    batch: dict[tuple[Any, int], _Row] = {}
    size = 0
    for found in documents:
        row = _row(found)
        if isinstance(row, Unreadable):
            tally.refuse(*row)
        elif row.key in batch:
            tally.known += 1
        else:
            batch[row.key] = row
            size += len(row.raw)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            _insert(store, batch, tally, dry_run)
            batch, size = {}, 0
    _insert(store, batch, tally, dry_run)
    return tally


def _row(found: Found | Unreadable) -> _Row | Unreadable:
    if isinstance(found, Unreadable):
        return found
    session_id = found.document.get("session_id")
    if name(session_id) is None:
        return Unreadable(found.where, "no session_id" if not session_id else "session_id is no id")
    key = session_id, part_of(found.document)
    try:
        raw = bson.encode(found.document | {"_id": document_id(*key)})
    except (BSONError, OverflowError, ValueError, TypeError) as error:
        return Unreadable(found.where, f"cannot be stored: {error}")
    if len(raw) > MAX_BSON_BYTES:
        return Unreadable(found.where, f"{len(raw):,} bytes, more than MongoDB's 16 MB")
    return _Row(found.where, key, raw)


def _insert(store: Store, batch: dict[tuple[Any, int], _Row], tally: Tally, dry_run: bool) -> None:
    if not batch:
        return
    if not dry_run and any(part for _, part in batch):
        store.allow_parts()
    with reachable():
        ids = list(dict.fromkeys(session_id for session_id, _ in batch))
        there = store.sessions.find({"session_id": {"$in": ids}}, {"session_id": 1, "part": 1, "_id": 0})
        known = {(found["session_id"], part_of(found)) for found in there}
        fresh = [row for row in batch.values() if row.key not in known]
        tally.known += len(batch) - len(fresh)
        if not fresh or dry_run:
            tally.inserted += len(fresh)
            return
        documents: list[Any] = [RawBSONDocument(row.raw) for row in fresh]
        try:
            store.sessions.insert_many(documents, ordered=False)
            failures: list[Document] = []
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
    for failure in failures:
        if failure["code"] == _DUPLICATE_KEY:  # somebody else was quicker
            tally.known += 1
        else:
            tally.refuse(fresh[failure["index"]].where, f"refused by the database: {failure['errmsg']}")
    tally.inserted += len(fresh) - len(failures)
