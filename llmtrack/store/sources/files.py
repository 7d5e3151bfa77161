"""Files of session documents as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

from llmtrack.errors import LlmtrackError
from llmtrack.session.batch import Batch
from llmtrack.session.columns import Columns
from llmtrack.session.document import Document, Head
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.store.sources.documents import Found, read_documents
from llmtrack.store.sources.source import BATCH_EVENTS, BATCH_SESSIONS, EVERYTHING, Source, head, newest


class FileSource(Source):
    """Files of session documents: JSONL, JSON arrays, Extended JSON or BSON, gzipped or not (documents.py)."""

    def __init__(
        self, name: str, files: Sequence[tuple[str, Callable[[], IO[bytes]]]], kept: IO[bytes] | None = None
    ) -> None:
        """`files`: how each is called in remarks, and how it is opened. `kept` is closed with the source."""
        super().__init__(name)
        self._files = files
        self._kept = kept
        self._met = 0  # documents and what is none, in the last reading

    def close(self) -> None:
        """Close what was kept of standard input."""
        if self._kept is not None:
            self._kept.close()

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
        for file_name, open_file in self._files:
            prefix = f"{file_name} " if file_name else ""
            with open_file() as stream:
                for found in read_documents(stream):
                    self._met += 1
                    if isinstance(found, Found):
                        yield prefix + found.where, found.document
                    else:
                        self.unreadable.add("unreadable", f"{prefix}{found.where} ({found.why})")
