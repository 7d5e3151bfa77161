"""Which sessions are to be moved: those without activity since the cutoff. One that is still open never is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import bson
from bson.errors import BSONError

from llmtrack.session.document import Document, last_activity_ms, start_ms, unusable
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.schema import SILENT_AFTER_S
from llmtrack.session.tally import Broken
from llmtrack.session.times import epoch_ms
from llmtrack.store.archive.deletion import raw_documents
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.continuation import ARCHIVED, Joiner, joined, part_of
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.query import mongo_query
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import place

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Candidate(NamedTuple):
    """A session to be moved: the BSON of its documents, and what they hold, with dates as DatetimeMS."""

    raw: bytes
    document: Document
    session_id: str
    start_ms: float

    @property
    def month(self) -> str:
        """The month in which it began: "2026-08"."""
        return f"{_EPOCH + timedelta(milliseconds=self.start_ms):%Y-%m}"


@dataclass(frozen=True)
class Selection:
    """Sessions whose last activity was before `cutoff` (aware) and that `filters` want; `now` says which are open."""

    now: datetime
    cutoff: datetime
    filters: Filters

    def query(self) -> Document:
        """A MongoDB query that no such session fails; times that are no dates pass, `candidates` decides."""
        late = [{key: {"$not": {"$gte": self.cutoff}}} for key in ("start_time", "end_time", "updated_at")]
        return {"$and": [*late, mongo_query(self.filters)]}

    def candidates(self, store: Store, unreadable: Broken) -> Iterator[Candidate]:
        """The sessions, in the order in which the database gives them; documents that are none are counted."""
        joiner = Joiner[bytes](store.unmarked({}))
        for raw in raw_documents(store, self.query()):
            try:
                document = bson.decode(raw, COLUMNS)
            except (BSONError, ValueError) as error:
                unreadable.add("damaged BSON", str(error))
                continue
            yield from self._candidate(joiner.add(document, raw), unreadable)
        for parts in joiner.rest():
            # the parts that the query left out had activity; a last one without successor was closed for one that
            # never came; a first one without predecessor came back after it was archived
            first, last = part_of(parts[0][0]), part_of(parts[-1][0])
            if last - first + 1 != len(parts) or parts[-1][0].get("ended_by") == ARCHIVED:
                continue
            beside = {"part": {"$in": [last + 1, *([first - 1 or None] if first else [])]}}
            with reachable():
                if store.sessions.find_one({"session_id": parts[0][0].get("session_id"), **beside}, {"_id": 1}) is None:
                    yield from self._candidate(parts, unreadable)

    def _candidate(self, parts: list[tuple[Document, bytes]], unreadable: Broken) -> Iterator[Candidate]:
        if not parts:
            return
        document, raw = joined([document for document, _ in parts]), b"".join(raw for _, raw in parts)
        if not self.filters.matches(document):
            return
        if reason := unusable(document):
            unreadable.add(reason, place(document))
        elif self._is_old(document):
            yield Candidate(raw, document, str(name(document["session_id"])), start_ms(document) or 0)

    def _is_old(self, document: Document) -> bool:
        silent = self.now - timedelta(seconds=SILENT_AFTER_S)
        ended = epoch_ms(document.get("end_time")) is not None
        return last_activity_ms(document) < _ms(self.cutoff if ended else min(self.cutoff, silent))


def _ms(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(milliseconds=1)
