"""Sources that are read document by document: files, and collections of other applications."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import bson

from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.batch import Batch
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.document import Document, Head
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.store.database.codec import WHOLE
from llmtrack.store.database.continuation import split
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.documents import Found, Unreadable, read_documents
from llmtrack.store.sources.presets import as_sessions
from llmtrack.store.sources.presets.preset import Preset
from llmtrack.store.sources.source import BATCH_EVENTS, BATCH_SESSIONS, EVERYTHING, Source, head, newest


class ReadSource(Source):
    """Documents that are read one after the other, as they are or as a preset reads them."""

    def __init__(self, name: str, preset: Preset | None = None) -> None:
        super().__init__(name)
        self._preset = preset
        self._chats = preset is not None and preset.chats
        self._met = 0  # sessions and what is none, in the last reading

    @property
    def chats(self) -> bool:
        """Whether the preset, also one that was recognised, reads chats."""
        return self._chats

    @abstractmethod
    def found(self) -> Iterator[Found | Unreadable]:
        """The documents as they are stored."""

    def items(self) -> Iterator[Found | Unreadable]:
        """The session documents, usable or not."""
        return as_sessions(self.found(), self._preset, self._recognise)

    def _recognise(self, preset: Preset) -> None:
        self._chats = preset.chats
        self.remark = f"{self.name} is read as {preset.title} (preset {preset.name})."

    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        self.unreadable = Broken()
        self._met, any_usable = 0, False
        for document in self.usable(self._read(), filters, set()):
            any_usable = True
            document.pop("_id", None)
            yield document
        if self._met and not any_usable and self.unreadable.total() >= self._met:
            raise LlmtrackError(f"Nothing in {self.name} can be read: {self.unreadable.named[0]}.")

    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        columns = Columns(fields)
        for document in self.documents(filters):
            columns.add(document)
            if len(columns) >= BATCH_SESSIONS or columns.events >= BATCH_EVENTS:
                yield columns.batch(self.unreadable)
                columns = Columns(columns.fields)
        yield columns.batch(self.unreadable)

    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        return newest((found for found in self.heads() if found.session_id.startswith(prefix)), limit)

    def get(self, session_id: str) -> Document | None:
        for document in self.documents():
            if name(document["session_id"]) == session_id:
                return document
        return None

    def heads(self, filters: Filters = EVERYTHING) -> Iterator[Head]:
        return (head(document) for document in self.documents(filters))

    def _read(self) -> Iterator[tuple[str, Document]]:
        for item in self.items():
            self._met += 1
            if isinstance(item, Found):
                yield item.where, item.document
            else:
                self.unreadable.add("unreadable", f"{item.where} ({item.why})")


class FileSource(ReadSource):
    """Files of documents: JSONL, JSON arrays, Extended JSON or BSON, gzipped or not (documents.py)."""

    def __init__(
        self,
        name: str,
        files: Sequence[tuple[str, Callable[[], IO[bytes]]]],
        kept: IO[bytes] | None = None,
        preset: Preset | None = None,
    ) -> None:
        """`files`: how each is called in remarks, and how it is opened. `kept` is closed with the source."""
        super().__init__(name, preset)
        self._files = files
        self._kept = kept

    def close(self) -> None:
        """Close what was kept of standard input."""
        if self._kept is not None:
            self._kept.close()

    def found(self) -> Iterator[Found | Unreadable]:
        """The documents of all files."""
        for file_name, open_file in self._files:
            prefix = f"{file_name} " if file_name else ""
            with open_file() as stream:
                for item in read_documents(stream):
                    yield item._replace(where=prefix + item.where)


class CollectionSource(ReadSource):
    """The collections of a database that a preset reads. Nothing of it is ever written."""

    def __init__(self, store: Store, name: str, preset: Preset) -> None:
        super().__init__(name, preset)
        self._store = store

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def found(self) -> Iterator[Found | Unreadable]:
        """The documents of the preset's collections, one collection after the other."""
        collections = self._preset.collections if self._preset else None
        for collection, fields in (collections or {}).items():
            with reachable():
                batches: Any = self._store.database[collection].find_raw_batches({}, fields, batch_size=BATCH_SESSIONS)
                for batch in batches:
                    for raw in split(batch):
                        document = bson.decode(raw, WHOLE)
                        yield Found(f"{collection} _id {document.get('_id')}", document)
