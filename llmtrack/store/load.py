"""Session documents into a store: each session once, whoever else loads the same at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, ConnectionFailure, DuplicateKeyError, ExecutionTimeout, PyMongoError

from llmtrack.session.document import unusable
from llmtrack.session.ids import name
from llmtrack.session.times import epoch_ms
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.continuation import document_id, part_of
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.query import stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import known
from llmtrack.store.sources.documents import Document, Found, Unreadable

BATCH = 500  # documents written at a time, or
BATCH_BYTES = 8 * 1024 * 1024
MAX_BSON_BYTES = 16 * 1024 * 1024
NAMED = 100  # of the unreadable ones; the others are counted
_DUPLICATE_KEY = 11000

Key = tuple[str, int]  # session_id as text, and part


@dataclass
class Tally:
    """What became of the documents."""

    inserted: int = 0
    known: int = 0  # there already, or twice in the file
    completed: int = 0  # there already, and gone on since
    different: int = 0  # there already with other content, and left; or put in its place, with `overwrite`
    unreadable: int = 0
    named: list[Unreadable] = field(default_factory=list)  # the first NAMED unreadable ones
    differing: list[str] = field(default_factory=list)  # the first NAMED different ones

    def refuse(self, where: str, why: str) -> None:
        self.unreadable += 1
        if len(self.named) < NAMED:
            self.named.append(Unreadable(where, why))

    def differ(self, session_id: str) -> None:
        self.different += 1
        if len(self.differing) < NAMED:
            self.differing.append(session_id)


class _Row(NamedTuple):
    where: str
    key: Key
    raw: bytes


def load(
    store: Store, documents: Iterable[Found | Unreadable], *, dry_run: bool = False, overwrite: bool = False
) -> Tally:
    """Insert the sessions that `store` does not hold yet, as they are; with `dry_run` only count them.

    A session is known by its session_id (and part), which becomes its _id: so it is there once even when several load
    it at the same time. One that is known and has gone on since is completed; one that differs otherwise is left, or
    replaced with `overwrite`. Raises StoreUnavailable: what was inserted before stays.
    """
    tally = Tally()
    batch: dict[Key, _Row] = {}
    size = 0
    counted: set[Key] = set()  # by a dry run, after which no store knows them
    for found in documents:
        row = _row(found)
        if isinstance(row, Unreadable):
            tally.refuse(*row)
            continue
        if row.key in counted:
            tally.known += 1
            continue
        if dry_run:
            counted.add(row.key)
        if row.key in batch:  # the file holds it twice: the second one may differ
            _store(store, batch, tally, dry_run, overwrite)
            batch, size = {}, 0
        batch[row.key] = row
        size += len(row.raw)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            _store(store, batch, tally, dry_run, overwrite)
            batch, size = {}, 0
    _store(store, batch, tally, dry_run, overwrite)
    return tally


def _row(found: Found | Unreadable) -> _Row | Unreadable:
    if isinstance(found, Unreadable):
        return found
    if reason := unusable(found.document):
        what = known(found.document)
        return Unreadable(found.where, f"this is {what}" if what else reason.replace("_", " "))
    session_id, part = found.document["session_id"], part_of(found.document)
    try:
        raw = bson.encode({"_id": None} | found.document | {"_id": document_id(session_id, part)})
    except (BSONError, OverflowError, ValueError, TypeError) as error:
        return Unreadable(found.where, f"cannot be stored: {error}")
    if len(raw) > MAX_BSON_BYTES:
        return Unreadable(found.where, f"{len(raw):,} bytes, more than MongoDB's 16 MB")
    return _Row(found.where, (str(name(session_id)), part), raw)


def _store(store: Store, batch: dict[Key, _Row], tally: Tally, dry_run: bool, overwrite: bool) -> None:
    if not batch:
        return
    if not dry_run and any(part for _, part in batch):
        store.allow_parts()
    there = _there(store, batch)
    fresh = [row for row in batch.values() if row.key not in there]
    for row in batch.values():
        if row.key in there:
            _compare(store, row, there[row.key], tally, dry_run, overwrite)
    if dry_run:
        tally.inserted += len(fresh)
    elif fresh:
        _insert(store, fresh, tally)


def _there(store: Store, batch: Iterable[Key]) -> dict[Key, bytes]:
    """What the store holds of these sessions, whichever type holds their ids."""
    ids = dict.fromkeys(session_id for session_id, _ in batch)
    forms = [form for session_id in ids for form in stored_names(session_id)]
    found = {}
    with reachable():
        cursor: Any = store.sessions.find_raw_batches({"session_id": {"$in": forms}}, batch_size=BATCH)
        for each in cursor:
            for document in bson.decode_all(each, _RAW):
                found[str(name(document["session_id"])), part_of(document)] = document.raw
    return found


def _compare(store: Store, row: _Row, stored: bytes, tally: Tally, dry_run: bool, overwrite: bool) -> None:
    """Complete or replace what is there, where it is to be."""
    if stored == row.raw or _content(stored) == _content(row.raw):
        tally.known += 1
        return
    before = bson.decode(stored, COLUMNS)
    goes_on = _goes_on(before, bson.decode(row.raw, COLUMNS))
    if not goes_on and not overwrite:
        tally.differ(row.key[0])
        return
    if not dry_run and not _replace(store, before, RawBSONDocument(_with_id(row.raw, before["_id"]))):
        tally.differ(row.key[0])  # somebody wrote to it in this moment
    elif goes_on:
        tally.completed += 1
    else:
        tally.differ(row.key[0])


def _content(raw: bytes) -> dict[str, Any]:
    """All fields but _id, each as its BSON: equal when nothing differs but the order of fields."""
    return {key: bson.encode({"": value}) for key, value in bson.decode(raw, COLUMNS).items() if key != "_id"}


def _goes_on(before: Document, after: Document) -> bool:
    """Whether `after` is the same session later on: the same start, and every event of `before` among its own."""
    old, new = before.get("events") or [], after.get("events") or []
    if not isinstance(old, list) or not isinstance(new, list):
        return False
    if old and epoch_ms(before.get("start_time")) != epoch_ms(after.get("start_time")):
        return False
    if len(new) == len(old) and not (before.get("end_time") is None and after.get("end_time") is not None):
        return False
    lost = Counter(map(_bytes, old))
    lost.subtract(map(_bytes, new))
    return all(count <= 0 for count in lost.values())


def _bytes(value: Any) -> bytes:
    return bson.encode({"": value})


def _with_id(raw: bytes, _id: Any) -> bytes:
    return bson.encode(bson.decode(raw, COLUMNS) | {"_id": _id})


def _replace(store: Store, before: Document, after: Any) -> bool:
    """Put a document in the place of the one that was read; False when that one has changed meanwhile."""
    events = before.get("events")
    unchanged = {"events": {"$size": len(events)}} if isinstance(events, list) else {}
    same = {"_id": before["_id"], "rev": before.get("rev"), "updated_at": before.get("updated_at"), **unchanged}
    with reachable():
        return store.sessions.replace_one(same, after).matched_count > 0


def _insert(store: Store, fresh: Sequence[_Row], tally: Tally) -> None:
    """Insert these; where the server refuses all of them for one, halve until that one is named."""
    documents: list[Any] = [RawBSONDocument(row.raw) for row in fresh]
    failures: list[Document] = []
    try:
        store.sessions.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
    except (ConnectionFailure, ExecutionTimeout):
        with reachable():
            raise
    except (PyMongoError, BSONError, OverflowError, ValueError) as error:
        if len(fresh) == 1:
            _refuse(fresh[0], error, tally)
        else:
            for half in _halves(fresh):
                _insert(store, half, tally)
        return
    for failure in failures:
        if failure["code"] == _DUPLICATE_KEY:  # somebody else was quicker
            tally.known += 1
        else:
            tally.refuse(fresh[failure["index"]].where, f"refused by the database: {failure['errmsg']}")
    tally.inserted += len(fresh) - len(failures)


def _halves(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    middle = len(rows) // 2
    yield from (rows[:middle], rows[middle:])


def _refuse(row: _Row, error: Exception, tally: Tally) -> None:
    if isinstance(error, DuplicateKeyError):
        tally.known += 1
    else:
        tally.refuse(row.where, f"refused by the database: {str(error).partition(', full error')[0][:200]}")


_RAW = COLUMNS.with_options(document_class=RawBSONDocument)
