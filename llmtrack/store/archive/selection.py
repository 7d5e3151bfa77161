"""Which sessions are to be moved: those without activity since the cutoff. One that is still open never is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import bson
from bson.errors import BSONError

from llmtrack.batch import Broken, Document, start_ms, unusable
from llmtrack.model import SILENT_AFTER_S
from llmtrack.shapes import epoch_ms, name
from llmtrack.store.archive.deletion import raw_documents
from llmtrack.store.filters import Filters
from llmtrack.store.mongo import Store
from llmtrack.store.mongo_source import COLUMNS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Candidate(NamedTuple):
    """A session to be moved; `document` is `raw` decoded, with dates as DatetimeMS."""

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
        return {"$and": [*late, self.filters.mongo_query()]}

    def candidates(self, store: Store, unreadable: Broken) -> Iterator[Candidate]:
        """The sessions, in the order in which the database gives them; documents that are none are counted."""
        for raw in raw_documents(store, self.query()):
            try:
                document = bson.decode(raw, COLUMNS)
            except (BSONError, ValueError) as error:
                unreadable.add("damaged BSON", str(error))
                continue
            if not self.filters.matches(document):
                continue
            if reason := unusable(document):
                unreadable.add(reason, f"_id {document['_id']}")
            elif self._is_old(document):
                yield Candidate(raw, document, str(name(document["session_id"])), start_ms(document) or 0)

    def _is_old(self, document: Document) -> bool:
        silent = self.now - timedelta(seconds=SILENT_AFTER_S)
        ended = epoch_ms(document.get("end_time")) is not None
        return last_activity_ms(document) < _ms(self.cutoff if ended else min(self.cutoff, silent))


def last_activity_ms(document: Document) -> float:
    """The latest time in a usable document, epoch ms: start, end, any event, the last write."""
    found = [epoch_ms(document.get(key)) for key in ("start_time", "end_time", "updated_at")]
    for event in document.get("events") or ():
        t: Any = event.get("t") if isinstance(event, dict) else None
        found.append(t if type(t) is int and t > _PLAIN_MS else epoch_ms(t))
    return max(t for t in found if t is not None)


_PLAIN_MS: Final = 10**11  # from here on a number is epoch ms (shapes.py)


def _ms(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(milliseconds=1)
