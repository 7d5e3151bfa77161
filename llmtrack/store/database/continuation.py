"""One session in several documents: MongoDB holds 16 MB a document, a very long session needs more.

The first document is like any other. When it is full it is closed (`ended_by` says "continued") and never changes
again; the session goes on in a document of the same session_id with `part` 1, then 2, … Readers see one session.

A session that left for the archive goes on alike: the document that would be its next part waits, without events, in
the collection `archived`. When a visitor comes back, it becomes the session's document in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

import bson

from llmtrack.session.document import Document
from llmtrack.session.times import epoch_ms

PART_BYTES: Final = 12 * 1024 * 1024  # of events; the server refuses documents of more than 16 MB
CONTINUED: Final = "continued"  # ended_by of a document that is full
ARCHIVED: Final = "archived"  # ended_by of the last one while the archive deletes them: whoever reads leaves them out

_KEPT: Final = ("session_id", "user_id", "model_group", "experiment_id", "start_time", "environment", "schema_version")
_CARRIED: Final = ("last_n", "last_t", "received", "applied")  # what makes every n and key count once, and the last t

Item = TypeVar("Item")


def part_of(document: Document) -> int:
    """Which document of its session this is, from 0."""
    part = document.get("part")
    return part if type(part) is int and part > 0 else 0


def document_id(session_id: Any, part: int) -> Any:
    """The _id of a document that llmtrack writes: no two writers can make it twice."""
    return f"{session_id}#{part}" if part else session_id


def next_part(closed: Document) -> Document:
    """The document that goes on where `closed` (all its fields but events) ends."""
    part = part_of(closed) + 1
    start: Document = {"_id": document_id(closed["session_id"], part), "part": part, "end_time": None, "events": []}
    start |= {key: closed[key] for key in (*_KEPT, *_CARRIED) if key in closed}
    return start | {"event_count": 0, "bytes": 0, "rev": 0, "updated_at": closed["updated_at"]}


def left_behind(documents: list[Document]) -> Document | None:
    """What `archived` keeps of a session that leaves with these documents; None when it is not llmtrack's own."""
    first, last = documents[0], documents[-1]
    if not {"session_id", "schema_version", "rev", "updated_at"} <= last.keys():
        return None
    proof = {"start_proof": first["start_proof"]} if "start_proof" in first else {}
    return next_part(last) | {"_id": last["session_id"]} | proof


def come_back(left: Document) -> Document:
    """The document in which a session that left goes on."""
    return left | {"_id": document_id(left["session_id"], part_of(left))}


def by_part(documents: Iterable[Document]) -> list[Document]:
    """Documents of one session in order; of two that are the same part, the first."""
    parts: dict[int, Document] = {}
    for document in documents:
        parts.setdefault(part_of(document), document)
    return [parts[number] for number in sorted(parts)]


def joined(documents: list[Document]) -> Document:
    """The session that these documents (in order of part) hold, its events in order of t.

    `_id` becomes the list of theirs where there are several: no document's own _id is a list.
    """
    first, last = documents[0], documents[-1]
    if first is last:
        return first
    session = first | {key: value for key, value in last.items() if key not in ("part", "environment")}
    if "ended_by" not in last:
        session.pop("ended_by", None)
    if "event_count" in first:
        session["event_count"] = sum(document.get("event_count", 0) for document in documents)
    events = [event for document in documents for event in document.get("events") or ()]
    session["events"] = sorted(events, key=_time)
    if "_id" in first:
        session["_id"] = [document["_id"] for document in documents]
    return session


def decode(raw: bytes, codec: Any) -> Document:
    """The session in the BSON of its documents, one after the other."""
    return joined([bson.decode(each, codec) for each in split(raw)])


def split(raw: bytes) -> Iterator[bytes]:
    """The documents in a run of BSON."""
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        yield raw[at : at + size]
        at += size


class Joiner(Generic[Item]):
    """Brings the documents of a session together, in whatever order they come; holds those of unfinished ones.

    `unmarked` are session_ids of several documents of which the first does not say so: these wait for the end.
    """

    def __init__(self, unmarked: Iterable[Any] = ()) -> None:
        self._unmarked = {repr(session_id) for session_id in unmarked}
        self._waiting: dict[str, dict[int, tuple[Document, Item]]] = {}

    def add(self, document: Document, item: Item) -> list[tuple[Document, Item]]:
        """The documents of a whole session, in order, if this was the last one missing; else none yet."""
        plain = "part" not in document and document.get("ended_by") != CONTINUED
        if plain and not self._unmarked:
            return [(document, item)]
        key = repr(document.get("session_id"))
        if plain and key not in self._unmarked:
            return [(document, item)]
        parts = self._waiting.setdefault(key, {})
        parts.setdefault(part_of(document), (document, item))
        known = [parts[number] for number in range(len(parts)) if number in parts]
        if len(known) < len(parts) or known[-1][0].get("ended_by") == CONTINUED or key in self._unmarked:
            return []
        del self._waiting[key]
        return known if known[-1][0].get("ended_by") != ARCHIVED else []

    def rest(self) -> Iterator[list[tuple[Document, Item]]]:
        """What is there of the sessions that did not become whole."""
        for parts in self._waiting.values():
            yield [parts[number] for number in sorted(parts)]


def whole(
    found: Iterable[tuple[Item, Document]], unmarked: Iterable[Any], headless: Callable[[Item, list[Document]], None]
) -> Iterator[tuple[Item, Document]]:
    """Sessions of documents; of one that is not whole, what is there.

    `headless` is told of documents whose session has no first one: it is in an archive.
    Documents of other writers may have a `part` that means something else: they are sessions.
    """
    joiner = Joiner[Item](unmarked)
    for item, document in found:
        if parts := joiner.add(document, item):
            yield parts[0][1], joined([each for each, _ in parts])
    for parts in joiner.rest():
        if parts[-1][0].get("ended_by") == ARCHIVED:
            continue
        if part_of(parts[0][0]) == 0 or "schema_version" not in parts[0][0]:
            yield parts[0][1], joined([each for each, _ in parts])
        else:
            headless(parts[0][1], [each for each, _ in parts])


def _time(event: Any) -> float:
    t = epoch_ms(event.get("t")) if isinstance(event, dict) else None
    return float("inf") if t is None else t
