"""What a source is: sessions to read, as documents or as batches of columns. A source never writes."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

from llmtrack.errors import UsageError
from llmtrack.session.cleaning.batch import Batch
from llmtrack.session.document import Document, Head, start_ms, unusable
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.store.database.continuation import whole
from llmtrack.store.database.whose import known

BATCH_SESSIONS: Final = 5_000
BATCH_EVENTS: Final = 200_000
EVERYTHING: Final = Filters()
MANIFEST: Final = "_manifest.jsonl"  # a folder that holds it is an archive

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Away(NamedTuple):
    """Sessions that were moved from a database to archives, whose places are `folders` by their ids.

    `sessions`: how many; None when nobody can tell. `together`: what --source must name to read all.
    """

    sessions: int | None
    folders: dict[str, str]
    together: tuple[str, ...]


class Source(ABC):
    """Sessions to read. `name` is fit to show; `unreadable` counts what the last reading could not use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unreadable = Broken()
        self.remark = ""  # what a reader should know of how it is read
        self.parts: dict[str, list[Document]] | None = None  # collects later documents of archived sessions, by id

    @property
    def chats(self) -> bool:
        """Whether documents are known to be chats, which may hold several sessions."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Close connections and files."""

    @abstractmethod
    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        """Usable session documents as they are stored, without _id; each session_id once."""

    @abstractmethod
    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        """The same sessions as columns, with these data fields (None: whole data objects).

        At least one batch, each bounded in size.
        """

    @abstractmethod
    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        """Sessions whose id starts with `prefix`, newest first."""

    @abstractmethod
    def get(self, session_id: str) -> Document | None:
        """The document with this id, without _id."""

    @abstractmethod
    def heads(self, filters: Filters = EVERYTHING) -> Iterator[Head]:
        """The heads of all wanted sessions, in no order."""

    def newest(self, filters: Filters = EVERYTHING, limit: int = 1) -> list[Head]:
        """The `limit` sessions that started last, the very last one first."""
        return newest(self.heads(filters), limit)

    def count(self, filters: Filters = EVERYTHING) -> int:
        """How many sessions are wanted."""
        return sum(1 for _ in self.heads(filters))

    def beside(self, ids: Sequence[str]) -> Iterable[str]:
        """Among others the session_ids whose start is most like that of one of `ids`: how far each can be cut."""
        del ids
        return (head.session_id for head in self.heads())

    def away(self, filters: Filters = EVERYTHING) -> Away | None:
        """Which wanted sessions were moved to archives that this does not read; None when none were."""
        del filters
        return None

    def marks(self, ids: Sequence[str]) -> dict[str, object]:
        """What is different as soon as one of these sessions is; cheap enough to be asked for every second.

        Raises UsageError where nothing happens: only a database is written while it is read.
        """
        del ids
        raise UsageError(f"{self.name} is no database: nothing happens there.", "Follow with --source mongodb://…")

    def usable(
        self, found: Iterable[tuple[str, Document]], filters: Filters, seen: set[str], unmarked: Iterable[Any] = ()
    ) -> Iterator[Document]:
        """The documents that are sessions and wanted, each once (`seen` grows); the others are counted.

        Sessions of several documents are joined; `unmarked`: see `Joiner`.
        """
        for where, document in whole(found, unmarked, self._headless):
            if not filters.matches(document):
                continue
            if reason := unusable(document):
                what = known(document)
                self.unreadable.add(reason, f"{where}, {what}" if what else where)
                continue
            session_id = str(name(document["session_id"]))
            if session_id in seen:
                self.unreadable.add("duplicate_session", f"{where} ({session_id})")
                continue
            seen.add(session_id)
            yield document

    def _headless(self, where: str, documents: list[Document]) -> None:
        if self.parts is None:
            self.unreadable.add("part_without_first", where)
        else:
            self.parts.setdefault(str(name(documents[0]["session_id"])), []).extend(documents)


def head(document: Document) -> Head:
    """The head of a usable document."""
    started = timedelta(milliseconds=start_ms(document) or 0)
    return Head(str(name(document["session_id"])), _EPOCH + started)


def newest(heads: Iterable[Head], limit: int) -> list[Head]:
    """The heads that started last, the very last one first."""
    return heapq.nlargest(limit, heads, key=lambda head: (head.start_time, head.session_id))
