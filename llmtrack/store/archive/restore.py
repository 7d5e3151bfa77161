"""Putting archived sessions back into the database, exactly as they were. The archive stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
import pyarrow as pa
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from llmtrack.errors import LlmtrackError
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.store.archive.deletion import chunks, raw_documents
from llmtrack.store.archive.folder import Folder, Step, nothing
from llmtrack.store.archive.lease import LEASE_S, Lease
from llmtrack.store.archive.manifest import State
from llmtrack.store.archive.part import Row, lookup, rows
from llmtrack.store.archive.verify import open_manifest
from llmtrack.store.database.codec import COLUMNS, RAW
from llmtrack.store.database.continuation import decode, part_of, split
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.query import stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import refuse_foreign
from llmtrack.store.sources.source import EVERYTHING


@dataclass
class Restored:
    """What became of the sessions: put back, there already and equal, there and different (left unless overwritten)."""

    restored: int = 0
    equal: int = 0
    different: list[str] = field(default_factory=list)
    overwritten: int = 0


def restore(
    store: Store,
    folder: Folder,
    *,
    session_id: str | None = None,
    filters: Filters = EVERYTHING,
    overwrite: bool = False,
    dry_run: bool = False,
    lease_s: float = LEASE_S,
    step: Step = nothing,
    progress: Callable[[int], None] = lambda sessions: None,
) -> Restored:
    """Put back the session with this id, or all that `filters` want. Running it again changes nothing.

    Raises LeaseTaken, StoreUnavailable, and LlmtrackError when a part is damaged; what was put back until then stays.
    """
    done, seen = Restored(), 0
    with reachable():
        refuse_foreign(store.sessions, with_sessions=False)  # from there they came
    with Lease(store, lease_s) as lease:
        for chunk in chunks(_wanted(folder, session_id, filters)):
            lease.renew()
            _put(store, chunk, done, overwrite, dry_run, step)
            step("some put back")
            seen += len(chunk)
            progress(seen)
    return done


def _wanted(folder: Folder, session_id: str | None, filters: Filters) -> Iterator[Row]:
    for state in open_manifest(folder).parts.values():
        if not state.part.overlaps(filters):
            continue
        for row in rows(folder, state.part, _numbers(folder, state, session_id)):
            if row.number not in state.dropped and filters.matches(decode(row.raw, COLUMNS)):
                yield row


def _numbers(folder: Folder, state: State, session_id: str | None) -> Iterable[int] | None:
    if session_id is None:
        return None
    return [row for _, row in lookup(folder, state, pa.array([session_id], pa.string()))]


def _put(store: Store, chunk: list[Row], done: Restored, overwrite: bool, dry_run: bool, step: Step) -> None:
    several = [[RawBSONDocument(raw, RAW) for raw in split(row.raw)] for row in chunk]
    documents = [parts[0] for parts in several if len(parts) == 1]
    for parts in several:
        if len(parts) > 1:
            _put_large(store, parts, done, overwrite, dry_run, step)
    there: dict[Any, Any] = {}
    for key in ("_id", "session_id"):  # one after the other: not every server uses indexes for $or
        missing = [document for document in documents if _key(document["_id"]) not in there]
        ids = [each for document in missing for each in ([document[key]] if key == "_id" else _stored(document))]
        for raw in raw_documents(store, {key: {"$in": ids}}) if ids else ():
            found = RawBSONDocument(raw, RAW)
            there[_key(found["_id"])] = there[name(found.get("session_id"))] = found
    fresh: list[Any] = []
    other: list[tuple[Any, Any]] = []
    for document in documents:
        known = there.get(_key(document["_id"])) or there.get(name(document["session_id"]))
        if known is None:
            fresh.append(document)
        elif part_of(dict(known)):  # the session came back since it was archived
            _put_large(store, [document], done, overwrite, dry_run, step)
        elif known.raw == document.raw:
            done.equal += 1
        else:
            done.different.append(str(name(document["session_id"])))
            other.append((known["_id"], document))
    if dry_run:
        done.restored += len(fresh)
        return
    _insert(store, fresh, done)
    if overwrite:
        _replace(store, other, done)


def _put_large(store: Store, parts: list[Any], done: Restored, overwrite: bool, dry_run: bool, step: Step) -> None:
    """Put back a session of several documents; one of which some are there, and equal, is completed.

    Later documents are those of a session that came back since: they stay, and go on after what is put back.
    """
    session_id, last = parts[0]["session_id"], part_of(dict(parts[-1]))
    archived = {_key(part["_id"]): part.raw for part in parts}
    found_there = raw_documents(store, {"session_id": {"$in": _stored(parts[0])}})
    there = [found for raw in found_there if part_of(dict(found := RawBSONDocument(raw, RAW))) <= last]
    if any(archived.get(_key(found["_id"])) != found.raw for found in there):
        done.different.append(str(name(session_id)))
        if dry_run or not overwrite:
            return
        with reachable():
            store.sessions.delete_many({"_id": {"$in": [found["_id"] for found in there]}})
        step("different ones deleted")
        there = []
        done.overwritten += 1
    elif len(there) == len(parts):
        done.equal += 1
        return
    else:
        done.restored += 1
    if not dry_run:
        store.allow_parts()
        known = {_key(found["_id"]) for found in there}
        with reachable():
            for part in reversed(parts):  # readers see it once the first one is there: whole
                if _key(part["_id"]) not in known:
                    store.sessions.insert_one(part)
                    step("a part put back")


def _insert(store: Store, fresh: list[Any], done: Restored) -> None:
    if fresh:
        with reachable():
            try:
                store.sessions.insert_many(fresh, ordered=False)
            except BulkWriteError as error:
                first = error.details["writeErrors"][0]["errmsg"]
                raise LlmtrackError(f"The database refused some sessions: {first[:200]}.", "Run it again.") from None
        done.restored += len(fresh)


def _replace(store: Store, other: list[tuple[Any, Any]], done: Restored) -> None:
    for _id, document in other:
        with reachable():
            if _key(_id) == _key(document["_id"]):
                store.sessions.bulk_write([ReplaceOne({"_id": _id}, document)])
            else:  # the same session under another _id, which no update can change
                store.sessions.delete_one({"_id": _id})
                store.sessions.insert_one(document)
        done.overwritten += 1


def _stored(document: Any) -> list[Any]:
    return stored_names(str(name(document["session_id"])))


def _key(value: object) -> bytes:
    return bson.encode({"": value})
