"""A part: one Parquet file of sessions and, beside it, the index of their ids. Written, verified, read."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.batch import TEXTS
from llmtrack.session.document import Document, last_activity_ms, start_ms
from llmtrack.store.archive.folder import Folder, Step, nothing
from llmtrack.store.archive.manifest import Part, State, ids_path
from llmtrack.store.archive.schema import EVENT, SCHEMA, TIME, table

PART_BYTES: Final = 100_000_000
ROW_GROUP_SESSIONS: Final = 10_000
ROW_GROUP_BYTES: Final = 32 * 1024 * 1024  # of BSON; what a run holds of a part in memory
READ_ROWS: Final = 500
PAGE_BYTES: Final = 32 * 1024 * 1024  # one page a column and row group: zstd finds what sessions have in common
LEVEL: Final = 9  # of zstd
ARCHIVE_ID: Final = b"llmtrack.archive"  # in a part's metadata: which archive it belongs to

_IDS: Final = pa.schema([("session_id", pa.string()), ("row", pa.int32()), ("start_time", TIME)])
_DICTIONARIES: Final = ["session_id", "user_id", "model_group", "experiment_id", "device", "browser", "os"]


class Row(NamedTuple):
    """A row of a part: its number and the document as BSON (the documents, one after the other, of a large session)."""

    number: int
    raw: bytes


class Writer:
    """Writes the sessions of one month into a part, row group by row group. Holds hashes and ids, no documents."""

    def __init__(self, folder: Folder, path: str, step: Step = nothing, *, archive_id: str = "") -> None:
        self.folder, self.path, self._step = folder, path, step
        self.events = 0
        self.hashes: list[bytes] = []
        self._ids: list[str] = []
        self._starts: list[float] = []
        self._last_start = 0.0
        self._closing = contextlib.ExitStack()
        self._sink = _Hashing(self._closing.enter_context(folder.write(path, step)))
        self._writer = self._closing.enter_context(_parquet(self._sink, archive_id))

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._sink.size

    def add(self, documents: Sequence[Document], raws: Sequence[bytes]) -> None:
        """Write a row group; irregular sessions get one of their own, as readers need the documents of those alone."""
        rows = table(documents, raws, len(self.hashes))
        irregular = rows["irregular"].to_numpy()
        order = np.argsort(irregular, kind="stable")
        numbers = rows["row"]
        rows = rows.take(order).set_column(0, rows.schema.field(0), numbers)
        documents, raws = [documents[row] for row in order], [raws[row] for row in order]
        regular = len(order) - int(irregular.sum())
        with self.folder.possible(self.path, "write"):
            for group in (rows.slice(0, regular), rows.slice(regular)):
                if group.num_rows:
                    self._writer.write_table(group)
        self.events += len(rows["events"].combine_chunks().values)
        self.hashes += [hashlib.sha256(raw).digest() for raw in raws]
        self._ids += rows["session_id"].to_pylist()
        self._starts += [start_ms(document) or 0 for document in documents]
        # A chat that began earlier may hold sessions that began later.
        chats = (document for document in documents if document.get("is_chat") is True)
        self._last_start = max([self._last_start, *self._starts, *map(last_activity_ms, chats)])
        self._step("row group written")

    def abandon(self) -> None:
        """Leave nothing behind."""
        reason = LlmtrackError(f"{self.path} is given up.")
        with contextlib.suppress(LlmtrackError):
            self._closing.__exit__(type(reason), reason, None)

    def finish(self) -> Part:
        """Make the part and its index durable, read both again and compare them with what was written.

        Raises LlmtrackError when anything differs.
        """
        self._closing.close()
        ids = write_ids(self.folder, self.path, self._ids, self._starts, self._step)
        self._step("index written")
        part = Part(
            path=self.path,
            sessions=len(self.hashes),
            events=self.events,
            first_start=min(self._starts),
            last_start=self._last_start,
            bytes=self._sink.size,
            sha256=self._sink.sha256,
            ids_bytes=ids.size,
            ids_sha256=ids.sha256,
        )
        if damage(self.folder, part) or self.hashes != [
            hashlib.sha256(row.raw).digest() for row in rows(self.folder, part)
        ]:
            for path in part.files:  # nothing came of it: its sessions are all in the database
                self.folder.remove(path)
            raise LlmtrackError(
                f"{self.folder.at(self.path)!r} does not hold what was written to it.",
                "Check the disk; nothing of it was deleted from the database.",
            )
        self._step("verified")
        return part


def _parquet(sink: Any, archive_id: str = "") -> pq.ParquetWriter:
    texts = [f"{EVENT}{key}" for key in ("type", "other", *sorted(TEXTS))]
    return pq.ParquetWriter(
        sink,
        SCHEMA.with_metadata({ARCHIVE_ID: archive_id}),
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=[*_DICTIONARIES, *texts],
        write_statistics=[*_DICTIONARIES, "start_time", "end_time", f"{EVENT}t"],  # of documents and texts: only bytes
        write_page_checksum=True,
        data_page_size=PAGE_BYTES,
    )


class _Hashing:
    """A file to write to that knows the SHA-256 of what went through it: what the file on the disk has to have."""

    closed = False

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, content: Any) -> None:
        self._digest.update(content)
        self._sink.write(content)
        self.size += len(content)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """Whoever opened the sink flushes it."""


def write_ids(folder: Folder, path: str, ids: Sequence[str], starts: Sequence[float], step: Step = nothing) -> _Hashing:
    """Write the index of a part: its ids, sorted, each with its row and its start."""
    us = np.rint(np.array(starts) * 1000).astype(np.int64)
    index = pa.table(
        [pa.array(ids, pa.string()), pa.array(np.arange(len(ids)), pa.int32()), pa.array(us).cast(TIME)], _IDS
    )
    index = index.take(pc.sort_indices(index["session_id"]))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with folder.write(ids_path(path), step) as file:
        sink = _Hashing(file)
        with pa.ipc.new_file(pa.PythonFile(sink, "w"), _IDS, options=options) as writer:
            writer.write_table(index.combine_chunks())
    return sink


def _read_ids(folder: Folder, part: Part) -> pa.Table:
    content = folder.read(part.ids)
    if hashlib.sha256(content).hexdigest() != part.ids_sha256:  # else a session that is there would not be found
        raise _damaged(folder, part.ids, "its content has changed (SHA-256)")
    with readable(folder, part.ids):
        return pa.ipc.open_file(pa.BufferReader(content)).read_all().combine_chunks()


def lookup(folder: Folder, state: State, wanted: pa.Array) -> Iterator[tuple[str, int]]:
    """(session_id, row) of the wanted ids that a part holds alive."""
    index = _read_ids(folder, state.part)
    hits = index.filter(pc.is_in(index["session_id"], value_set=wanted))
    for session_id, row in zip(hits["session_id"].to_pylist(), hits["row"].to_pylist(), strict=True):
        if row not in state.dropped:
            yield session_id, row


def starting_with(folder: Folder, state: State, prefix: str) -> Iterator[tuple[str, float]]:
    """(session_id, start in epoch ms) of the part's live sessions whose id starts with `prefix`."""
    index = _read_ids(folder, state.part)
    index = index.filter(pc.starts_with(index["session_id"], prefix))
    starts = index["start_time"].cast(pa.int64()).to_pylist()
    for session_id, row, us in zip(index["session_id"].to_pylist(), index["row"].to_pylist(), starts, strict=True):
        if row not in state.dropped:
            yield session_id, us / 1000


def open_part(folder: Folder, part: Part) -> pq.ParquetFile:
    """The Parquet file of a part; closing it closes the file.

    Raises LlmtrackError when it is damaged, or not the file that the manifest names.
    """
    _must_be_named(folder, part)
    return open_file(folder, part.path)


def _must_be_named(folder: Folder, part: Part) -> None:
    """Raise LlmtrackError unless the file has the size and the hash that the manifest says; read once for many uses."""
    known = part.sha256, folder.stamp(part.path)
    if folder.verified.get(part.path) == known or known[1][0] is None:  # whoever opens it says that it is not there
        return
    if wrong := _difference(folder, part.path, part.bytes, part.sha256):
        raise _damaged(folder, part.path, wrong)
    folder.verified[part.path] = known


def open_file(folder: Folder, path: str) -> pq.ParquetFile:
    """A Parquet file of which no manifest says how it must be."""
    with readable(folder, path):
        return pq.ParquetFile(
            folder.open(path),
            read_dictionary=[f"{EVENT}{key}" for key in ("type", *sorted(TEXTS))],
            page_checksum_verification=True,
            buffer_size=1 << 20,
            pre_buffer=False,
        )


def rows(folder: Folder, part: Part, wanted: Iterable[int] | None = None) -> Iterator[Row]:
    """The rows of a part, or the wanted ones, in order; a few hundred documents are held at a time."""
    chosen = None if wanted is None else set(wanted)
    if chosen is not None and not chosen:
        return  # opening a file costs more than looking into its index
    with open_part(folder, part) as file:
        yield from _rows(folder, part.path, file, chosen)


def file_rows(folder: Folder, path: str) -> Iterator[Row]:
    """The rows of a part of which no manifest says how it must be."""
    with open_file(folder, path) as file:
        yield from _rows(folder, path, file, None)


def _rows(folder: Folder, path: str, file: pq.ParquetFile, chosen: set[int] | None) -> Iterator[Row]:
    first = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if chosen is None or not chosen.isdisjoint(range(first, first + count)):
            for row in _group_rows(folder, path, file, group):
                if chosen is None or row.number in chosen:
                    yield row
        first += count


def _group_rows(folder: Folder, path: str, file: pq.ParquetFile, group: int) -> Iterator[Row]:
    batches = file.iter_batches(READ_ROWS, [group], ["row", "document"], use_threads=False)
    while True:
        with readable(folder, path):
            batch = next(batches, None)
        if batch is None:
            return
        yield from map(Row, batch["row"].to_pylist(), batch["document"].to_pylist())


def damage(folder: Folder, part: Part) -> list[str]:
    """What is wrong with a part's files: nothing when they are what the manifest says."""
    found = []
    for path, size, sha256 in ((part.path, part.bytes, part.sha256), (part.ids, part.ids_bytes, part.ids_sha256)):
        if wrong := _difference(folder, path, size, sha256):
            found.append(f"{path}: {wrong}")
    return found


def _difference(folder: Folder, path: str, size: int, sha256: str) -> str:
    """In what a file is not the one of this size and hash; empty when it is."""
    there = folder.size(path)
    if there is None:
        return "missing"
    if there != size:
        return f"{there:,} bytes instead of {size:,}"
    return "" if hashed(folder, path)[1] == sha256 else "its content has changed (SHA-256)"


def hashed(folder: Folder, path: str) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    with folder.open(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


@contextlib.contextmanager
def readable(folder: Folder, path: str) -> Iterator[None]:
    """Turns what pyarrow says about a damaged file into one line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).partition("\n")[0][:200]
        raise _damaged(folder, path, why) from None


def _damaged(folder: Folder, path: str, why: str) -> LlmtrackError:
    return LlmtrackError(f"{folder.at(path)!r} is damaged: {why}.", "See what else is: llmtrack archive --verify")
