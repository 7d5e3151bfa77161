"""The sessions of a MongoDB database as a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from llmtrack.session.cleaning.batch import NAMES, Batch
from llmtrack.session.cleaning.columns import Columns, has_twins
from llmtrack.session.document import SHORTEST_ID, Document, Head, unusable
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.store.database.codec import COLUMNS, WHOLE
from llmtrack.store.database.continuation import part_of, split
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.query import LAST_CHARACTER, both, is_exact, mongo_query, stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import place
from llmtrack.store.sources.source import BATCH_EVENTS, BATCH_SESSIONS, EVERYTHING, Away, Source, head, newest

_HEAD: Final = dict.fromkeys(("session_id", "start_time", "part", *NAMES, "environment.device", "environment.bot"), 1)
_MARKS: Final = dict.fromkeys(("session_id", "part", "event_count", "rev", "updated_at", "end_time"), 1)
_DATED: Final = {"part": None, "start_time": {"$type": "date"}}
_UNDATED: Final = {"part": None, "start_time": {"$not": {"$type": "date"}}}
_WAITING: Final = 500  # documents that are asked for a second time are asked for so many at once


class MongoSource(Source):
    """The `sessions` of a MongoDB database, read as raw batches.

    A server sends the fields that a report needs and no more, which keeps texts off the wire. It leaves out what is no
    object among the events, so a document is taken only if it has as many events as its `event_count` says; the others
    are asked for once more, whole. Where the first document has no `event_count` (another application's collection),
    and from the embedded server (picking fields costs it more than sending all), documents are read whole at once.
    """

    def __init__(self, store: Store, called: str) -> None:
        super().__init__(called)
        self._store = store
        self._sessions = store.to_read
        self.usual = False  # whether it is the database that commands read when none is named

    @cached_property
    def chats(self) -> bool:
        """Whether chats were imported, as the first and the newest document tell: there is no index of it."""
        with reachable():
            found = (self._sessions.find_one({}, {"is_chat": 1}, sort=order) for order in (None, [("start_time", -1)]))
            return any(document is not None and document.get("is_chat") is True for document in found)

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        self.unreadable = Broken()
        query = mongo_query(filters)
        for document in self.usable(self._read(query, WHOLE), filters, set(), self._store.unmarked(query)):
            del document["_id"]
            yield document

    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        self.unreadable = Broken()
        query, columns = mongo_query(filters), Columns(fields)
        whole = columns.fields is None or self._sends_whole
        found = self._read(query, COLUMNS) if whole else self._picked(query, columns.fields or ())
        for document in self.usable(found, filters, set(), self._store.unmarked(query)):
            columns.add(document)
            if len(columns) >= BATCH_SESSIONS or columns.events >= BATCH_EVENTS:
                yield columns.batch(self.unreadable)
                columns = Columns(columns.fields)
        yield columns.batch(self.unreadable)

    @cached_property
    def _sends_whole(self) -> bool:
        with reachable():
            first = self._sessions.find_one({}, {"event_count": 1})
            return first is None or "event_count" not in first or self._store.is_embedded()

    def _picked(self, query: Document, fields: Iterable[str]) -> Iterator[tuple[str, Document]]:
        """The matching documents with these fields of their events; those that come incomplete, whole."""
        waiting: list[tuple[str, Document]] = []  # an incomplete one, and what came after it: the order stays
        incomplete: list[Any] = []
        for where, document in self._read(query, COLUMNS, _projection(fields)):
            if not _is_complete(document):
                incomplete.append(document["_id"])
            elif not incomplete:
                yield where, document
                continue
            waiting.append((where, document))
            if len(incomplete) == _WAITING or len(waiting) == BATCH_SESSIONS:
                yield from self._completed(waiting, incomplete)
                waiting, incomplete = [], []
        yield from self._completed(waiting, incomplete)

    def _completed(self, waiting: list[tuple[str, Document]], incomplete: list[Any]) -> Iterator[tuple[str, Document]]:
        if incomplete:
            found = self._read({"_id": {"$in": incomplete}}, COLUMNS)
            whole = {repr(document["_id"]): (where, document) for where, document in found}
            missing = set(map(repr, incomplete))
            keyed = ((repr(each[1]["_id"]), each) for each in waiting)
            waiting = [whole.get(key, each) for key, each in keyed if key not in missing or key in whole]  # not deleted
        yield from waiting

    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        starts = {"session_id": {"$gte": prefix, "$lt": prefix + LAST_CHARACTER}}
        other = {"session_id": {"$not": {"$type": "string"}}}  # numbers, UUIDs: a server cannot compare their text
        heads = self._heads({"$or": [starts, other]}, EVERYTHING)
        return newest((found for found in heads if found.session_id.startswith(prefix)), limit)

    def get(self, session_id: str) -> Document | None:
        query = {"session_id": {"$in": stored_names(session_id)}}
        documents = self.usable(self._read(query, WHOLE), EVERYTHING, set(), stored_names(session_id))
        for document in documents:
            del document["_id"]
            return document
        return None

    def heads(self, filters: Filters = EVERYTHING) -> Iterator[Head]:
        return self._heads(mongo_query(filters), filters)

    def newest(self, filters: Filters = EVERYTHING, limit: int = 1) -> list[Head]:
        """The server sorts and limits; documents without a date are all looked at, as their events tell the start."""
        query = mongo_query(filters)
        asked = limit
        while True:
            documents = [document for _, document in self._read(both(query, _DATED), COLUMNS, _HEAD, newest=asked)]
            found = [head(document) for document in documents if _wanted(document, filters)]
            if len(found) >= limit or len(documents) < asked:
                break
            asked *= 4  # what the server let through is not all wanted
        return newest((*found, *self._undated(query, filters)), limit)

    def count(self, filters: Filters = EVERYTHING) -> int:
        query = mongo_query(filters)
        if not is_exact(filters):
            return super().count(filters)
        with reachable():
            if not query and not self._store.allows_parts():
                return self._sessions.estimated_document_count()
            dated = self._sessions.count_documents(both(query, _DATED))
        return dated + sum(1 for _ in self._undated(query, filters))

    def beside(self, ids: Sequence[str]) -> Iterable[str]:
        if not self._store.is_unique():
            return (head.session_id for head in self.heads())
        fields, found = {"session_id": 1, "_id": 0}, set(ids)
        with reachable():
            for each in ids:
                start = each[:SHORTEST_ID]
                after = {"session_id": {"$gt": each, "$lt": start + LAST_CHARACTER}}
                before = {"session_id": {"$gte": start, "$lt": each}}
                for query, way in ((after, 1), (before, -1)):
                    near = self._sessions.find(query, fields).sort("session_id", way).limit(1)
                    found.update(str(document["session_id"]) for document in near)
        return found

    def away(self, filters: Filters = EVERYTHING) -> Away | None:
        """By what `archived` keeps of them; of those restored since, and of other writers, nothing is to be said."""
        query = mongo_query(filters)
        with reachable():
            left = [each["session_id"] for each in self._store.archived.find(query, _HEAD) if filters.matches(each)]
            here: set[Any] = set()
            for first in range(0, len(left), BATCH_SESSIONS):
                some = {"session_id": {"$in": left[first : first + BATCH_SESSIONS]}, "part": None}
                here.update(each["session_id"] for each in self._sessions.find(some, {"session_id": 1}))
        count = len(left) - len(here)
        folders = self.archives() if count else {}
        together = ("all",) if self.usual else (self.name, *folders.values())
        return Away(count, folders, together) if folders else None

    def archives(self) -> dict[str, str]:
        """Where the archives of this database are that hold sessions, by their ids."""
        from llmtrack.store.archive.registry import Registry  # reads Parquet, which takes a while to import

        return {each["_id"]: each["folder"] for each in Registry(self._store).all() if each.get("holds_sessions")}

    def marks(self, ids: Sequence[str]) -> dict[str, object]:
        """By the index on session_id, without events; sessions that another application wrote have none of these."""
        found: dict[str, object] = {}
        names = [stored for each in ids for stored in stored_names(each)]
        with reachable():
            for document in self._sessions.find({"session_id": {"$in": names}}, _MARKS).sort("_id", 1):
                session_id = str(name(document["session_id"]))
                told = tuple(document.get(key) for key in ("part", "event_count", "rev", "updated_at", "end_time"))
                found[session_id] = (found.get(session_id), told if told[1:4] != (None,) * 3 else object())
        return found

    def _heads(self, query: Document, filters: Filters) -> Iterator[Head]:
        for _, document in self._read(both(query, _DATED), COLUMNS, _HEAD):
            if _wanted(document, filters):
                yield head(document)
        yield from self._undated(query, filters)

    def _undated(self, query: Document, filters: Filters) -> Iterator[Head]:
        """Heads of sessions whose start is no date: as text or a number, or told by their events alone."""
        for _, document in self._read(both(query, _UNDATED), COLUMNS):
            if _wanted(document, filters):
                yield head(document)

    def _read(
        self,
        query: Document,
        codec: CodecOptions[Document],
        projection: dict[str, int] | None = None,
        *,
        newest: int | None = None,
    ) -> Iterator[tuple[str, Document]]:
        """The matching documents, decoded one at a time, so that none is kept; `newest`: so many, last start first."""
        with reachable():
            found: Any = self._sessions.find_raw_batches(query, projection, batch_size=BATCH_SESSIONS)
            if newest is not None:
                found = found.sort([("start_time", -1), ("session_id", -1)]).limit(newest)
            for batch in found:
                for raw in split(batch):
                    try:
                        document = bson.decode(raw, codec)
                    except BSONError as error:
                        self.unreadable.add("unreadable", f"a document of {self.name} ({error})")
                    else:
                        yield place(document), document


def _wanted(document: Document, filters: Filters) -> bool:
    return part_of(document) == 0 and unusable(document) is None and filters.matches(document)


def _is_complete(document: Document) -> bool:
    """Whether the picked fields of a document tell all that the whole one does."""
    events = document.get("events")
    if not isinstance(events, list) or len(events) != document.get("event_count"):
        return False
    try:
        return not has_twins(events)
    except (TypeError, KeyError):  # another writer's shapes
        return False


def _projection(fields: Iterable[str]) -> dict[str, int]:
    session = (
        "session_id",
        *NAMES,
        "start_time",
        "end_time",
        "part",
        "schema_version",  # tells a later part of ours from another writer's `part`
        "ended_by",
        "event_count",
        "last_activity",
        "status",
        "is_chat",
    )
    where = ("device", "bot", "browser", "os", "viewport.height", "automation")
    wanted = set(fields)
    inner = {field for field in wanted if "." in field and field.partition(".")[0] in wanted}  # comes with its root
    also = {"feedback"} if "rating" in wanted else set()  # where some writers keep it
    event = ("t", "type", "n", *(f"data.{field}" for field in (wanted | also) - inner))
    names = (*session, *(f"environment.{key}" for key in where), *(f"events.{key}" for key in event))
    return dict.fromkeys(names, 1)
