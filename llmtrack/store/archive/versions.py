"""Two versions of one session: whether the one holds all of the other."""

from __future__ import annotations

from collections import defaultdict

import bson
from bson.raw_bson import RawBSONDocument

from llmtrack.store.archive.deletion import RAW
from llmtrack.store.database.continuation import split


def continues(new: bytes, old: bytes) -> bool:
    """Whether a document is the same session as an older version of it, with all its events."""
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
