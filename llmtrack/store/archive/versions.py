"""Versions of one session: whether one holds all of another, and what two of them hold together."""

from __future__ import annotations

from collections import defaultdict

import bson
from bson.raw_bson import RawBSONDocument

from llmtrack.store.database.codec import RAW
from llmtrack.store.database.continuation import part_of, split


def continues(new: bytes, old: bytes) -> bool:
    """Whether the documents in `new` are the session of those in `old`, with all its events."""
    documents = [[RawBSONDocument(raw, RAW) for raw in split(raws)] for raws in (new, old)]
    if documents[0][0].get("_id") != documents[1][0].get("_id"):
        return False
    events, before = (
        [bson.encode({"": event}) for each in parts for event in each.get("events") or ()] for parts in documents
    )
    left: dict[bytes, int] = defaultdict(int)
    for event in events:
        left[event] += 1
    for event in before:
        left[event] -= 1
    return min(left.values(), default=0) >= 0


def merged(new: bytes, old: bytes) -> bytes | None:
    """The session with the documents of both, part by part; a part that is in both as it is in `new`.

    None when `new` lacks events of a part that `old` has: then nobody knows which of them is right.
    """
    if new == old or continues(new, old):
        return new
    documents, before = _parts(new), _parts(old)
    if all(number not in before or continues(raw, before[number]) for number, raw in documents.items()):
        both = before | documents
        return b"".join(both[number] for number in sorted(both))
    return None


def first_part(raws: bytes) -> int:
    """Which part of its session the first document is: not 0 when the session came back after it was archived."""
    return part_of(dict(RawBSONDocument(next(split(raws)), RAW)))


def _parts(raws: bytes) -> dict[int, bytes]:
    return {first_part(raw): raw for raw in split(raws)}
