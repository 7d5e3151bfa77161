"""The sessions of a MongoDB database as a source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from llmtrack.session.batch import NAMES, Batch
from llmtrack.session.columns import Columns
from llmtrack.session.document import Document, Head, unusable
from llmtrack.session.filters import Filters
from llmtrack.session.tally import Broken
from llmtrack.session.times import epoch_ms
from llmtrack.store.database.codec import COLUMNS, WHOLE
from llmtrack.store.database.continuation import CONTINUED, part_of, split
from llmtrack.store.database.query import mongo_query, stored_names
from llmtrack.store.database.sessions import Store, reachable
from llmtrack.store.sources.source import BATCH_EVENTS, BATCH_SESSIONS, EVERYTHING, Source, head, newest

_IDS: Final = {"_id": 1, "session_id": 1, "part": 1}
# Projecting a field of the events drops the members that are no objects; documents with some are read whole.
_SCALARS: Final = [
    "double", "string", "binData", "objectId", "bool", "date", "null", "regex", "javascript", "int", "timestamp",
    "long", "decimal", "minKey", "maxKey",
]  # fmt: skip
MAX_ODD: Final = 1_000  # more documents with such members than this: read all of them whole


class MongoSource(Source):
    """The `sessions` of a MongoDB database, read as raw batches."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(name)
        self._store = store
        self._sessions = store.sessions

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        self.unreadable = Broken()
        query = mongo_query(filters)
        unmarked = self._unusual(query)[1]
        for document in self.usable(self._read(query, None, WHOLE), filters, set(), unmarked):
            del document["_id"]
            yield document

    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        self.unreadable = Broken()
        query, seen = mongo_query(filters), set[str]()
        odd, unmarked = self._unusual(query)
        odd = odd if fields is not None else set()
        columns = Columns(fields, projected=fields is not None and len(odd) <= MAX_ODD)
        projection = _projection(columns.fields or ()) if columns.projected else None
        documents = self._read(query, projection, COLUMNS)
        if columns.projected and odd:
            documents = self._with_whole(documents, odd)
        again: list[Any] = []
        for document in self.usable(documents, filters, seen, unmarked):
            columns.add(document)
            if len(columns) >= BATCH_SESSIONS or columns.events >= BATCH_EVENTS:
                yield columns.batch(self.unreadable)
                again += columns.again
                columns = Columns(columns.fields, projected=columns.projected)
        again += columns.again
        yield columns.batch(self.unreadable)
        for first in range(0, len(again), BATCH_SESSIONS):
            columns = Columns(columns.fields)
            some = again[first : first + BATCH_SESSIONS]
            ids = [_id for each in some for _id in (each if isinstance(each, list) else [each])]  # a list: joined
            for document in self.usable(self._read({"_id": {"$in": ids}}, None, COLUMNS), filters, set(), unmarked):
                columns.add(document)
            yield columns.batch(self.unreadable)

    def _with_whole(self, documents: Iterable[tuple[str, Document]], odd: set[str]) -> Iterator[tuple[str, Document]]:
        for where, document in documents:
            if repr(document["_id"]) in odd:
                yield from self._read({"_id": document["_id"]}, None, COLUMNS)
            else:
                yield where, document

    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        other = {"session_id": {"$not": {"$type": "string"}}}  # numbers, UUIDs: a server cannot compare their text
        heads = self._heads({"$or": [{"session_id": {"$regex": "^" + re.escape(prefix)}}, other]}, EVERYTHING)
        return newest((found for found in heads if found.session_id.startswith(prefix)), limit)

    def get(self, session_id: str) -> Document | None:
        query = {"session_id": {"$in": stored_names(session_id)}}
        documents = self.usable(self._read(query, None, WHOLE), EVERYTHING, set(), stored_names(session_id))
        for document in documents:
            del document["_id"]
            return document
        return None

    def newest(self, filters: Filters = EVERYTHING) -> Head | None:
        query = mongo_query(filters)
        dated = {"$and": [query, {"part": None, "start_time": {"$type": "date"}}]}
        undated = {"$and": [query, {"part": None, "start_time": {"$not": {"$type": "date"}}}]}
        with reachable():
            last = self._sessions.find(dated, {"_id": 1}).sort([("start_time", -1), ("session_id", -1)]).limit(1)
            ids = [found["_id"] for found in last]
        heads = (head for part in ({"_id": {"$in": ids}}, undated) for head in self._heads(part, filters))
        return next(iter(newest(heads, 1)), None)

    def _heads(self, query: Document, filters: Filters) -> Iterator[Head]:
        """Heads of the matching sessions; events are fetched for those only that have no start_time."""
        where = ("environment.device", "environment.bot")
        fields = dict.fromkeys(("session_id", "start_time", "part", *NAMES, *where), 1)
        for _, document in self._read(query, fields, COLUMNS):
            if part_of(document):
                continue
            if epoch_ms(document.get("start_time")) is None:
                document = next((d for _, d in self._read({"_id": document["_id"]}, None, COLUMNS)), document)
            if unusable(document) is None and filters.matches(document):
                yield head(document)

    def _unusual(self, query: Document) -> tuple[set[str], list[Any]]:
        """The _ids of documents with events that are no objects, and the session_ids of several documents of which
        the first does not say so."""
        scalars = {"events": {"$type": _SCALARS}}
        with reachable():
            found = list(self._sessions.find({"$and": [query, {"$or": [scalars, {"part": 1}]}]}, _IDS))
            second = [each for each in found if part_of(each)]
            odd = [each for each in found if not part_of(each)]
            if not second:
                return {repr(each["_id"]) for each in odd}, []
            odd += self._sessions.find({"$and": [{"_id": {"$in": [each["_id"] for each in second]}}, scalars]}, _IDS)
            first = {"session_id": {"$in": [each["session_id"] for each in second]}, "part": None}
            unmarked = self._sessions.find(first | {"ended_by": {"$ne": CONTINUED}}, _IDS)
            return {repr(each["_id"]) for each in odd}, [each["session_id"] for each in unmarked]

    def _read(
        self, query: Document, projection: dict[str, int] | None, codec: CodecOptions[Document]
    ) -> Iterator[tuple[str, Document]]:
        """The matching documents, decoded one at a time, so that none is kept."""
        for batch in self._raw(query, projection):
            for raw in split(batch):
                try:
                    document = bson.decode(raw, codec)
                except BSONError as error:
                    self.unreadable.add("unreadable", f"a document of {self.name} ({error})")
                else:
                    yield f"_id {document['_id']}", document

    def _raw(self, query: Document, projection: dict[str, int] | None) -> Iterator[bytes]:
        with reachable():
            found: Any = self._sessions.find_raw_batches(query, projection, batch_size=BATCH_SESSIONS)
            yield from found


def _projection(fields: Iterable[str]) -> dict[str, int]:
    session = ("session_id", *NAMES, "start_time", "end_time", "part", "ended_by")
    where = ("device", "bot", "browser", "os", "viewport.height", "automation")
    event = ("t", "type", "n", *(f"data.{field}" for field in fields))
    names = (*session, *(f"environment.{key}" for key in where), *(f"events.{key}" for key in event))
    return dict.fromkeys(names, 1)
