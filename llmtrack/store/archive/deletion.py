"""Deleting from the database what the archive holds, and only what is unchanged since it was read.

Each document is read again and compared byte by byte with the archived one; one that differs stays. What is deleted is
named by a filter that a late write fails: its `rev`, which every write of llmtrack raises, with `updated_at` and the
number of events; for documents of other writers every field with its whole value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, ReplaceOne, WriteConcern

from llmtrack.store.archive.folder import Step, nothing
from llmtrack.store.archive.lease import Lease
from llmtrack.store.archive.part import Row
from llmtrack.store.archive.versions import continues
from llmtrack.store.database.codec import RAW
from llmtrack.store.database.continuation import ARCHIVED, left_behind, split
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store

CHUNK: Final = 500  # documents deleted with one call, or
CHUNK_BYTES: Final = 4 * 1024 * 1024
_WHOLE_FILTER: Final = 8 * 1024 * 1024  # a filter must fit into a message beside its frame


@dataclass
class Deleted:
    """What became of documents that were to be deleted; rows by their number.

    `changed`: the database holds all of them, with later events. `kept`: it holds something else, or only the last
    part of a session that came back; the row still counts. `gone`: it holds none of them.
    """

    sessions: int = 0
    changed: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    @property
    def late(self) -> int:
        """How many stay in the database."""
        return len(self.changed) + len(self.kept)


def delete_unchanged(store: Store, rows: Iterable[Row], lease: Lease, step: Step = nothing) -> Deleted:
    """Delete the documents of these rows that still are as archived; `archived` keeps how their sessions would go on.

    Durable when it returns: the deletions themselves are not waited for one by one, the renewal of the lease that
    follows them is.
    """
    done = Deleted()
    for chunk in chunks(rows):
        lease.renew()
        there = _there(store, chunk)
        equal = []
        for row in chunk:
            found = [(there.get(_key(raw)), raw) for raw in split(row.raw)]
            present = [raw for raw, _ in found if raw is not None]
            if not present:
                (done.kept if len(found) > 1 else done.gone).append(row.number)
            elif all(raw is None or _same(raw, read) for raw, read in found):
                equal.append((row, [read for raw, read in found if raw is not None]))
            elif all(raw is not None and continues(raw, read) for raw, read in found):
                done.changed.append(row.number)
            else:
                done.kept.append(row.number)
        _leave_behind(store, [row for row, _ in equal])
        step("left behind")
        _delete(store, equal, done)
        step("some deleted")
    lease.renew(now=True)
    return done


def _leave_behind(store: Store, rows: list[Row]) -> None:
    """Keep what these sessions need to go on, before they are deleted."""
    found = (left_behind([dict(RawBSONDocument(raw, RAW)) for raw in split(row.raw)]) for row in rows)
    notes: list[Any] = [ReplaceOne({"_id": left["_id"]}, left, upsert=True) for left in found if left]
    if notes:
        with reachable():
            store.archived.bulk_write(notes, ordered=False)


def _there(store: Store, rows: list[Row]) -> dict[bytes, bytes]:
    """What the database has of the documents of these rows, by their _id."""
    found = raw_documents(store, {"_id": {"$in": [_id(raw) for row in rows for raw in split(row.raw)]}})
    return {_key(raw): raw for raw in found}


def _delete(store: Store, rows: list[tuple[Row, list[bytes]]], done: Deleted) -> None:
    """Delete the documents of the rows that are there. Of several the last one decides: only it is written to.

    Marked first, it takes no further events and readers leave the session out; deleted last, it stays marked until
    the others are gone.
    """
    fast = WriteConcern(w=store.sessions.write_concern.document.get("w", "majority"))
    sessions = store.sessions.with_options(write_concern=fast)
    single: list[Row] = []
    for row, documents in rows:
        *closed, last = documents
        if len(row.raw) == len(last):
            single.append(row)
            continue
        with reachable():
            sessions.update_one(_unchanged(last), {"$set": {"ended_by": ARCHIVED}, "$inc": {"rev": 1}})
            if sessions.count_documents({"_id": _id(last), "ended_by": {"$ne": ARCHIVED}}, limit=1):
                whole = sum(map(len, documents)) == len(row.raw)
                (done.changed if whole else done.kept).append(row.number)
                continue
            if closed:
                sessions.delete_many({"_id": {"$in": [_id(raw) for raw in closed]}})
            done.sessions += sessions.delete_one({"_id": _id(last)}).deleted_count
    if not single:
        return
    with reachable():
        unchanged: list[Any] = [DeleteOne(_unchanged(row.raw)) for row in single]
        deleted = sessions.bulk_write(unchanged, ordered=False).deleted_count
    done.sessions += deleted
    if deleted < len(single):  # somebody wrote in the moment after the comparison
        left = _there(store, single)
        done.changed += [row.number for row in single if _key(row.raw) in left]


def _same(raw: bytes, read: bytes) -> bool:
    """Whether a document is as it was read, or marked since then by a run that was killed."""
    if raw == read:
        return True
    found, before = RawBSONDocument(raw, RAW), RawBSONDocument(read, RAW)
    return found.get("ended_by") == ARCHIVED and found.get("rev") == before.get("rev", 0) + 1


def _unchanged(raw: bytes) -> dict[str, Any]:
    document = RawBSONDocument(raw, RAW)
    events = document.get("events")
    count = {"events": {"$size": len(events)}} if isinstance(events, list) else {}
    if "rev" in document:
        return {"_id": document["_id"], "rev": document["rev"], "updated_at": document.get("updated_at"), **count}
    large = len(raw) > _WHOLE_FILTER
    keys = [key for key in document if key and not (key == "_id" or "." in key or key.startswith("$"))]
    values = {key: {"$eq": document[key]} for key in keys if not (large and key == "events")}
    return {"_id": document["_id"], **(count if large else {}), **values}


def raw_documents(store: Store, query: dict[str, Any]) -> Iterator[bytes]:
    """The matching documents as BSON, exactly as they are stored."""
    with reachable():
        batches: Any = store.sessions.find_raw_batches(query, batch_size=CHUNK)
        for batch in batches:
            yield from split(batch)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of bounded number and size."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) >= CHUNK or size + len(row.raw) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row.raw)
    if chunk:
        yield chunk


def _id(raw: bytes) -> Any:
    return RawBSONDocument(raw, RAW)["_id"]


def _key(raw: bytes) -> bytes:
    return bson.encode({"_id": _id(raw)})
