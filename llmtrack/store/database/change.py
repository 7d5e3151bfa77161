"""What one write changes in a session's document, from its head: the fields that say what it holds already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import bson

from llmtrack.session.claim import Claim
from llmtrack.session.document import Document
from llmtrack.store.database import ranges
from llmtrack.store.database.continuation import CONTINUED

HEAD: Final = (
    "session_id",
    "user_id",
    "start_proof",
    "part",
    "rev",
    "received",
    "applied",
    "bytes",
    "last_t",
    "start_time",
    "end_time",
    "ended_by",
)
KEYS: Final = 100  # keys of batches that a document remembers


class Given(NamedTuple):
    """What is to be stored: events, when the session ended, further fields, a key that makes the batch count once.

    `claim`: what the sender showed; None is somebody who may write everywhere.
    """

    events: list[Document]
    end: datetime | None = None
    extra: Document | None = None
    once: str | None = None
    claim: Claim | None = None


class Change(NamedTuple):
    """How many of the events are new, the bytes they add, and the update (None: nothing to write).

    `allowed`: how many of the batches may write to this session.
    """

    fresh: int
    size: int
    update: Document | None
    allowed: int


def change(head: Document, batches: Sequence[Given], now: datetime) -> Change:
    """The change that stores the batches, one after the other, in a document with this head."""
    allowed = [given for given in batches if given.claim is None or given.claim.opens(head)]
    applied = set(head.get("applied") or ())
    given = []
    for each in allowed:
        if each.once is None or each.once not in applied:
            applied |= {each.once}
            given.append(each)
    fresh, received = _new_events(head, [event for each in given for event in each.events])
    ends = [each.end for each in given if each.end is not None]
    extras = [each.extra for each in given if each.extra is not None]
    if not fresh and not ends and not extras:
        return Change(0, 0, None, len(allowed))
    size = len(bson.encode({"": fresh}))
    last_t = head.get("last_t")
    values: Document = {"updated_at": now}
    for extra in extras:
        values |= extra
    update: Document = {"$set": values, "$inc": {"rev": 1}}
    if keys := [each.once for each in given if each.once is not None]:
        update["$push"] = {"applied": {"$each": keys, "$slice": -KEYS}}
    if fresh:
        push: Document = {"$each": fresh}
        if last_t is None or fresh[0]["t"] < last_t:  # else they go to the end: no need to move what is there
            push["$sort"] = {"t": 1, "n": 1}
        update.setdefault("$push", {})["events"] = push
        update["$inc"] |= {"event_count": len(fresh), "bytes": size}
        values["last_t"] = max(last_t or 0, fresh[-1]["t"])
        values["received"] = received
        values["last_n"] = received[-1][1] if received else 0
    if ends:
        before = head.get("end_time") if head.get("ended_by") == "page" else None
        values["end_time"] = max([*ends, before] if isinstance(before, datetime) else ends)
        values["ended_by"] = "page"
    elif fresh and head.get("ended_by") == "timeout":
        values["end_time"] = None
        update["$unset"] = {"ended_by": ""}
    return Change(len(fresh), size, update, len(allowed))


def closing(head: Document, now: datetime) -> Document:
    """The update that closes a document which is full: to every reader of this one alone it has ended."""
    values = {"ended_by": CONTINUED, "end_time": last_sign(head), "updated_at": now}
    return {"$set": values, "$inc": {"rev": 1}}


def last_sign(head: Document) -> datetime | None:
    """The last event's time, else the start."""
    last_t = head.get("last_t")
    return datetime.fromtimestamp(last_t / 1000, UTC) if last_t else head.get("start_time")


def _new_events(head: Document, events: Iterable[Document]) -> tuple[list[Document], ranges.Ranges]:
    """The events that are not stored yet, in order of t, and the ranges of n with them."""
    received = head.get("received") or []
    seen: set[int] = set()
    fresh = []
    for event in events:
        n = event.get("n")
        if n is not None:
            if n in seen or ranges.contains(received, n):
                continue
            seen.add(n)
        fresh.append(event)
    fresh.sort(key=lambda event: (event["t"], event.get("n", 0)))
    return fresh, ranges.add(received, seen)
