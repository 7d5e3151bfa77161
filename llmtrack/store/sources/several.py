"""Several sources as one: each session once, from the first source that has it.

Databases are read first and archives last. Sessions move from the one to the other: read in this order, one that moves
meanwhile is met in one of them at least, and counted once if in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from llmtrack.session.cleaning.batch import Batch, Bools, select
from llmtrack.session.document import Document, Head
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.source import EVERYTHING, Away, Source, newest


class SeveralSources(Source):
    """The sessions of all these sources."""

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__(" + ".join(source.name for source in sources))
        self._sources = sorted(sources, key=_turn)

    @property
    def chats(self) -> bool:
        """Whether one of them holds chats."""
        return any(source.chats for source in self._sources)

    def close(self) -> None:
        """Close all of them."""
        for source in self._sources:
            source.close()

    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        seen: set[str] = set()
        for source in self._in_turn(seen):
            for document in source.documents(filters):
                session_id = str(name(document["session_id"]))
                if session_id not in seen:
                    seen.add(session_id)
                    yield document

    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        wanted = None if fields is None else tuple(fields)
        seen: set[str] = set()
        for source in self._in_turn(seen):
            for batch in source.batches(filters, wanted):
                ids = batch.sessions["session_id"]
                known = np.array([session_id in seen for session_id in ids], dtype=bool)
                seen.update(ids)
                yield _without(batch, known) if known.any() else batch

    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        found = {head.session_id: head for source in self._sources for head in source.find(prefix, limit)}
        return newest(found.values(), limit)

    def get(self, session_id: str) -> Document | None:
        for source in self._in_turn(set()):
            if (document := source.get(session_id)) is not None:
                return document
        return None

    def heads(self, filters: Filters = EVERYTHING) -> Iterator[Head]:
        seen: set[str] = set()
        for source in self._sources:
            for head in source.heads(filters):
                if head.session_id not in seen:
                    seen.add(head.session_id)
                    yield head

    def newest(self, filters: Filters = EVERYTHING, limit: int = 1) -> list[Head]:
        found = {head.session_id: head for source in self._sources for head in source.newest(filters, limit)}
        return newest(found.values(), limit)

    def beside(self, ids: Sequence[str]) -> Iterable[str]:
        return (session_id for source in self._sources for session_id in source.beside(ids))

    def away(self, filters: Filters = EVERYTHING) -> Away | None:
        """What lies in archives that are not among these; how much of it, nobody can tell where some are."""
        read = {source.id for source in self._sources if isinstance(source, ArchiveSource)}
        for source in self._sources:
            if found := source.away(filters):
                left = {id: folder for id, folder in found.folders.items() if id not in read}
                known = found.sessions if left == found.folders else None
                return found._replace(sessions=known, folders=left) if left else None
        return None

    def _in_turn(self, seen: set[str]) -> Iterator[Source]:
        """The sources; what one could not read is added when it is done."""
        self.unreadable.clear()
        self.unreadable.named.clear()
        parts: dict[str, list[Document]] = {}  # of sessions that came back since they were archived
        archives = any(isinstance(source, ArchiveSource) for source in self._sources)
        for source in self._sources:
            source.parts = parts if archives else None
            if isinstance(source, ArchiveSource):
                source.skip = seen.copy()
            try:
                yield source
            finally:
                source.parts = None
                if isinstance(source, ArchiveSource):
                    source.skip = set()
            self.unreadable.update(source.unreadable)
            self.unreadable.named += source.unreadable.named
        for session_id in parts:
            self.unreadable.add("part_without_first", f"{session_id}: its first part is in no source")


def _turn(source: Source) -> int:
    return 0 if isinstance(source, MongoSource) else 2 if isinstance(source, ArchiveSource) else 1


def _without(batch: Batch, drop: Bools) -> Batch:
    """The batch without these sessions."""
    kept = select(batch, np.repeat(~drop, batch.counts))
    rows = np.flatnonzero(~drop)
    kept.sessions = {
        key: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
        for key, values in batch.sessions.items()
    }
    kept.counts = kept.counts[rows]
    return kept
