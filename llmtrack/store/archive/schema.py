"""The columns of a part: what a session document says, typed, and the document itself.

The typed columns hold what `Columns` reads out of a document, so that a report from them equals one from the
documents. Where they cannot say all of it (events that share a time and have no number, times finer than µs, events
that are no events) the session is `irregular`, and readers take its document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from bson.datetime_ms import DatetimeMS

from llmtrack.session.cleaning.batch import ENVIRONMENT, NAMES, NUMBERS, TEXTS, Batch, Bools, Ints
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.document import Document, device, environment
from llmtrack.session.ids import name, unnamed
from llmtrack.session.values import Floats

_SIGNS: Final = frozenset({"last_activity", "status", "is_chat"})  # as other writers leave them
FIELDS: Final = (*sorted(NUMBERS), *sorted(TEXTS))  # of an event's data; the others are JSON in `other`
TIME: Final = pa.timestamp("us", tz="UTC")
SESSION_FIELDS: Final = ("session_id", *NAMES, *ENVIRONMENT)

_EVENT: Final = pa.struct(
    [
        pa.field("t", TIME),
        pa.field("type", pa.string()),
        pa.field("n", pa.int64()),
        *(pa.field(key, pa.float64() if key in NUMBERS else pa.string()) for key in FIELDS),
        pa.field("other", pa.string()),
    ]
)
SCHEMA: Final = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        *(pa.field(key, pa.string()) for key in SESSION_FIELDS),
        pa.field("viewport_height_px", pa.float64()),
        pa.field("automation", pa.bool_()),
        pa.field("start_time", TIME),
        pa.field("end_time", TIME),
        pa.field("irregular", pa.bool_(), nullable=False),
        pa.field("events", pa.list_(pa.field("element", _EVENT))),
        pa.field("document", pa.binary(), nullable=False),
    ]
)
EVENT: Final = "events.list.element."  # how Parquet names a field of the events
_KNOWN: Final = frozenset(FIELDS)


def table(documents: Sequence[Document], raws: Sequence[bytes], first_row: int) -> pa.Table:
    """Usable session documents (dates as DatetimeMS) and their BSON as rows of a part, numbered from `first_row`."""
    columns = Columns(FIELDS)
    for document in documents:
        columns.add(document)
    batch = columns.batch()
    values: dict[str, Any] = {
        "row": np.arange(first_row, first_row + len(raws), dtype=np.int32),
        **_names(documents),
        "viewport_height_px": pa.array(batch.sessions["viewport_height_px"], from_pandas=True),
        "automation": batch.sessions["automation"],
        "start_time": _times(batch.sessions["start_ms"]),
        "end_time": _times(batch.sessions["end_ms"]),
        "irregular": _irregular(documents, batch),
        "events": _events(documents, batch),
        "document": raws,
    }
    return pa.table([pa.array(values[each.name], each.type) for each in SCHEMA], schema=SCHEMA)


def _names(documents: Sequence[Document]) -> dict[str, list[str | None]]:
    found = {key: [name(document.get(key)) for document in documents] for key in ("session_id", *NAMES)}
    where = [environment(document) for document in documents]
    found |= {key: [name(each.get(key)) for each in where] for key in ENVIRONMENT}
    return found | {"device": [name(device(each)) for each in where]}


def _events(documents: Sequence[Document], batch: Batch) -> pa.Array:
    types = pa.DictionaryArray.from_arrays(batch.type_codes, pa.array(batch.types, pa.string())).cast(pa.string())
    fields = [_times(batch.t), types, pa.array(batch.n, from_pandas=True).cast(pa.int64(), safe=False)]
    for key in FIELDS:
        fields.append(pa.array(batch.data[key], pa.float64() if key in NUMBERS else pa.string(), from_pandas=True))
    fields.append(pa.array(list(_others(documents, batch)), pa.string()))
    offsets = np.concatenate([[0], np.cumsum(batch.counts)]).astype(np.int32)
    struct = pa.StructArray.from_arrays(fields, fields=list(_EVENT))
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=SCHEMA.field("events").type)


def _others(documents: Sequence[Document], batch: Batch) -> Iterator[str | None]:
    """The data that has no column of its own, as JSON, for each event of the batch."""
    first = 0
    for document, count in zip(documents, batch.counts.tolist(), strict=True):
        events = document.get("events") or []
        if count < len(events):
            events = [events[place] for place in batch.pos[first : first + count]]
        first += count
        for event in events:
            data = event.get("data")
            if not isinstance(data, dict) or data.keys() <= _KNOWN:
                yield None
                continue
            other = {key: value for key, value in data.items() if key not in _KNOWN}
            yield orjson.dumps(other, default=_plain).decode()


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, DatetimeMS) else str(value)


def _irregular(documents: Sequence[Document], batch: Batch) -> Bools:
    """The sessions of which the typed columns do not say all that the batch says."""
    sessions = len(documents)
    stored = np.array([len(document.get("events") or ()) for document in documents])
    start, end = batch.sessions["start_ms"], batch.sessions["end_ms"]
    irregular = (batch.counts != stored) | np.isnan(start) | ~_exact(start) | ~_exact(end)
    whole = np.isnan(batch.n) | ((batch.n == np.rint(batch.n)) & (np.abs(batch.n) < 2**53))
    odd = (batch.same != 0) | ~_exact(batch.t) | ~whole
    session: Ints = np.repeat(np.arange(sessions), batch.counts)[odd]
    irregular |= np.array([any(unnamed(document.get(key)) for key in NAMES) for document in documents], dtype=bool)
    irregular |= np.array([not _SIGNS.isdisjoint(document) for document in documents], dtype=bool)
    found: Bools = irregular | (np.bincount(session, minlength=sessions) > 0)
    return found


def _exact(ms: Floats) -> Bools:
    found: Bools = np.isnan(ms) | (np.rint(ms * 1000) / 1000 == ms)
    return found


def _times(ms: Floats) -> pa.Array:
    missing = np.isnan(ms)
    us = np.rint(np.where(missing, 0, ms) * 1000).astype(np.int64)
    return pa.array(us, mask=missing).cast(TIME)
