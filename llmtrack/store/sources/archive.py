"""An archive as a source: reports read the typed columns they need; documents are decoded where they are asked for.

Parts and row groups that a time filter excludes are not opened. One session is found through the index of ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmtrack.errors import UsageError
from llmtrack.session.cleaning.batch import ENVIRONMENT, NAMES, NUMBERS, Batch, Bools
from llmtrack.session.cleaning.columns import Columns
from llmtrack.session.document import BOT, UNKNOWN, Document, Head
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name
from llmtrack.session.tally import Broken
from llmtrack.session.values import Floats, Objects
from llmtrack.store.archive.folder import Folder
from llmtrack.store.archive.manifest import Manifest, State
from llmtrack.store.archive.part import lookup, open_part, readable, rows, starting_with
from llmtrack.store.archive.schema import EVENT
from llmtrack.store.database.codec import COLUMNS, WHOLE
from llmtrack.store.database.continuation import by_part, decode, joined, split
from llmtrack.store.sources.source import BATCH_EVENTS, BATCH_SESSIONS, EVERYTHING, MANIFEST, Source, head, newest

_NAMED: Final = ("session_id", *NAMES, *ENVIRONMENT)
_SESSION: Final = ["row", *_NAMED, "viewport_height_px", "automation", "start_time", "end_time", "irregular"]
_HEAD: Final = ["row", "session_id", *NAMES, "device", "start_time", "irregular"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ArchiveSource(Source):
    """The sessions that an archive's manifest names. `skip` holds ids that another source has delivered already.

    `parts` holds documents of sessions that came back since they were archived, by id: they are joined, and leave it.
    """

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder.name)
        self.skip: set[str] = set()
        self._folder = folder

    @property
    def id(self) -> str | None:
        """What tells this archive from others, wherever it lies."""
        return Manifest(self._folder).id

    def documents(self, filters: Filters = EVERYTHING) -> Iterator[Document]:
        self.unreadable = Broken()
        for state in self._parts(filters):
            for document in self.usable(self._decoded(state, WHOLE), filters, set()):
                del document["_id"]
                yield document

    def batches(self, filters: Filters = EVERYTHING, fields: Iterable[str] | None = ()) -> Iterator[Batch]:
        self.unreadable = Broken()
        wanted = None if fields is None else tuple(dict.fromkeys(fields))
        rest = Columns(wanted)  # what is read from documents
        for state in self._parts(filters):
            irregular: set[int] | None = None
            if wanted is not None:
                with open_part(self._folder, state.part) as file:
                    if _has(file, wanted):
                        irregular = set()
                        yield from self._typed(file, state, filters, wanted, irregular)
            if irregular is None or irregular:
                for document in self.usable(self._decoded(state, COLUMNS, irregular), filters, set()):
                    rest.add(document)
                    if len(rest) >= BATCH_SESSIONS or rest.events >= BATCH_EVENTS:
                        yield rest.batch(self.unreadable)
                        rest = Columns(wanted)
        yield rest.batch(self.unreadable)

    def find(self, prefix: str, limit: int = 10) -> list[Head]:
        found = (
            _head(session_id, ms)
            for state in self._parts(EVERYTHING)
            for session_id, ms in starting_with(self._folder, state, prefix)
        )
        return newest(found, limit)

    def get(self, session_id: str) -> Document | None:
        wanted = pa.array([session_id], pa.string())
        for state in sorted(self._parts(EVERYTHING), key=lambda state: not _named_time(session_id, state)):
            hits = [row for _, row in lookup(self._folder, state, wanted)]
            for _, document in self._decoded(state, WHOLE, hits):
                del document["_id"]
                return document
        return None

    def heads(self, filters: Filters = EVERYTHING) -> Iterator[Head]:
        for state in self._parts(filters):
            yield from self._heads(state, filters)

    def newest(self, filters: Filters = EVERYTHING, limit: int = 1) -> list[Head]:
        best: list[Head] = []
        for state in sorted(self._parts(filters), key=lambda state: state.part.last_start, reverse=True):
            if len(best) == limit and _head("", state.part.last_start).start_time < best[-1].start_time:
                break
            best = newest((*self._heads(state, filters), *best), limit)
        return best

    def _parts(self, filters: Filters) -> list[State]:
        manifest = Manifest(self._folder)
        if not manifest.there:
            raise UsageError(f"The archive {self.name!r} holds no {MANIFEST}.", "Give the folder of an archive.")
        return [state for state in manifest.parts.values() if state.live and state.part.overlaps(filters)]

    def _decoded(self, state: State, codec: Any, wanted: Iterable[int] | None = None) -> Iterator[tuple[str, Document]]:
        for row in rows(self._folder, state.part, wanted):
            if row.number in state.dropped:
                continue
            document = decode(row.raw, codec)
            session_id = name(document.get("session_id"))
            if self.parts and session_id in self.parts:
                later = self.parts.pop(session_id)
                document = joined(by_part([*later, *(bson.decode(each, codec) for each in split(row.raw))]))
            if session_id not in self.skip:
                yield f"{state.part.path} row {row.number}", document

    def _heads(self, state: State, filters: Filters) -> Iterator[Head]:
        irregular: list[int] = []
        with open_part(self._folder, state.part) as file:
            for group in _groups(file, filters):
                sessions = self._read(state, file, group, _HEAD)
                keep = self._wanted(sessions, state, filters)
                irregular += sessions["row"].to_numpy()[_bools(sessions, "irregular")].tolist()
                ids, starts = sessions["session_id"].to_pylist(), _ms(sessions, "start_time")
                yield from (_head(ids[row], float(starts[row])) for row in np.flatnonzero(keep))
        if irregular:
            yield from map(head, self.usable(self._decoded(state, COLUMNS, irregular), filters, set()))

    def _typed(
        self, file: pq.ParquetFile, state: State, filters: Filters, fields: tuple[str, ...], irregular: set[int]
    ) -> Iterator[Batch]:
        """The regular sessions of a part from its typed columns; rows of the others are added to `irregular`."""
        leaves = [f"{EVENT}{key}" for key in ("t", "type", "n", *fields)]
        for group in _groups(file, filters):
            sessions = self._read(state, file, group, _SESSION)
            irregular.update(sessions["row"].to_numpy()[_bools(sessions, "irregular")].tolist())
            irregular.update(self._came_back(sessions))
            keep = self._wanted(sessions, state, filters)
            if keep.any():
                events = self._read(state, file, group, leaves)["events"].combine_chunks()
                if not keep.all():
                    sessions, events = sessions.filter(pa.array(keep)), events.filter(pa.array(keep))
                yield _batch(sessions, events, fields)

    def _read(self, state: State, file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        with readable(self._folder, state.part.path):
            return file.read_row_group(group, columns)

    def _came_back(self, sessions: pa.Table) -> list[int]:
        """The rows of sessions that have later documents elsewhere."""
        if not self.parts:
            return []
        ids = sessions["session_id"].to_pylist()
        return [row for row, each in zip(sessions["row"].to_pylist(), ids, strict=True) if each in self.parts]

    def _wanted(self, sessions: pa.Table, state: State, filters: Filters) -> Bools:
        """The regular sessions that count, are not skipped, and that the filters want."""
        keep = ~_bools(sessions, "irregular")
        if state.dropped:
            keep &= ~np.isin(sessions["row"].to_numpy(), list(state.dropped))
        if self.skip:
            keep &= np.array([session_id not in self.skip for session_id in sessions["session_id"].to_pylist()])
        keep &= ~np.isin(sessions["row"].to_numpy(), self._came_back(sessions))
        if filters.ids is not None:
            keep &= np.array(
                [session_id in filters.ids for session_id in sessions["session_id"].to_pylist()], dtype=bool
            )
        start = _ms(sessions, "start_time")
        if filters.since is not None:
            keep &= start >= (filters.since - _EPOCH) / timedelta(milliseconds=1)
        if filters.until is not None:
            keep &= start < (filters.until - _EPOCH) / timedelta(milliseconds=1)
        named = {"model_group": filters.group, "experiment_id": filters.experiment}
        for key, wanted in (named | {"user_id": filters.user, "device": filters.device}).items():
            if wanted is not None:
                keep &= np.array([value == wanted for value in _names(sessions, key)], dtype=bool)
        if filters.people:
            keep &= np.array([value != BOT for value in _names(sessions, "device")], dtype=bool)
        return keep


def _named_time(session_id: str, state: State) -> bool:
    """Whether the id names a time of this part, as llmtrack's own ids do: it is looked into first."""
    return any(
        state.part.first_start <= int(ms) <= state.part.last_start
        for ms in re.findall(r"(?<!\d)\d{13}(?!\d)", session_id)
    )


def _has(file: pq.ParquetFile, fields: Iterable[str]) -> bool:
    """Whether all these fields have columns of their own in this part."""
    event = file.schema_arrow.field("events").type.value_type
    return all(event.get_field_index(key) >= 0 for key in fields)


def _groups(file: pq.ParquetFile, filters: Filters) -> list[int]:
    """The row groups that may hold sessions of the time asked for."""
    groups = range(file.num_row_groups)
    if filters.since is None and filters.until is None:
        return list(groups)
    place, odd = (file.schema_arrow.names.index(key) for key in ("start_time", "irregular"))
    found = []
    for group in groups:
        statistics = file.metadata.row_group(group).column(place).statistics
        early = filters.since is not None and statistics.has_min_max and statistics.max < filters.since
        early = early and file.metadata.row_group(group).column(odd).statistics.max is False  # chats may go on later
        late = filters.until is not None and statistics.has_min_max and statistics.min >= filters.until
        if statistics.null_count or not (early or late):  # null: the first event says when it began
            found.append(group)
    return found


def _batch(sessions: pa.Table, events: pa.Array, fields: tuple[str, ...]) -> Batch:
    counts = np.diff(events.offsets.to_numpy()).astype(np.int64)
    struct = events.flatten()
    first = np.cumsum(counts) - counts
    kinds = struct.field("type")
    return Batch(
        sessions={
            **{key: _names(sessions, key) for key in _NAMED},
            "viewport_height_px": sessions["viewport_height_px"].to_numpy(),
            "automation": _bools(sessions, "automation"),
            "start_ms": _ms(sessions, "start_time"),
            "end_ms": _ms(sessions, "end_time"),
            "last_activity_ms": np.full(len(counts), np.nan),  # a session that has one is read from its document
            "ended": np.zeros(len(counts), dtype=bool),
            "is_chat": np.zeros(len(counts), dtype=bool),
        },
        counts=counts,
        pos=np.arange(len(struct)) - np.repeat(first, counts),
        t=struct.field("t").cast(pa.int64()).to_numpy() / 1000,
        n=struct.field("n").to_numpy(zero_copy_only=False).astype(np.float64),
        type_codes=kinds.indices.to_numpy().astype(np.int64),
        types=kinds.dictionary.to_pylist(),
        same=np.zeros(len(struct), dtype=np.int64),
        data={key: _values(struct.field(key), key) for key in fields},
    )


def _values(column: pa.Array, key: str) -> Floats | Objects:
    if key in NUMBERS:
        found: Floats = column.to_numpy(zero_copy_only=False)
        return found
    # equal texts are one object: most columns have few
    texts = np.array([*column.dictionary.to_pylist(), None], dtype=object)
    chosen: Objects = texts[column.indices.fill_null(len(texts) - 1).to_numpy()]
    return chosen


def _names(sessions: pa.Table, key: str) -> list[str]:
    values: list[str | None] = sessions[key].to_pylist()
    return [UNKNOWN if value is None else value for value in values]


def _bools(sessions: pa.Table, key: str) -> Bools:
    found: Bools = sessions[key].to_numpy()
    return found


def _ms(sessions: pa.Table, key: str) -> Floats:
    us: Any = sessions[key].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    ms: Floats = us / 1000
    return ms


def _head(session_id: str, ms: float) -> Head:
    return Head(session_id, _EPOCH + timedelta(milliseconds=ms))
