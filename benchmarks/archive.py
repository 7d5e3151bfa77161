"""What archiving costs, beside its floor, and how many bytes it takes.

    python benchmarks/archive.py [sessions]

Sample sessions with texts in the embedded server. The floor of archiving reads the same documents and writes the same
columns with pyarrow, without verifying or recording anything; then it deletes them by their _id. That of restoring is
insert_many of the same documents. The texts of the sample repeat from session to session, which zstd's large window
finds and gzip's small one does not: with --unique every text is one of its own.
"""

from __future__ import annotations

import gzip
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import json_util
from bson.raw_bson import RawBSONDocument

from llmtrack.sample import visits as sample
from llmtrack.store.archive.deletion import raw_documents
from llmtrack.store.archive.folder import LocalFolder, open_folder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import Order, run
from llmtrack.store.archive.part import ROW_GROUP_SESSIONS, _parquet
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.schema import table
from llmtrack.store.database import embedded
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.archive import ArchiveSource

OLD = timedelta(days=90)


def sessions(count: int, unique: bool) -> Iterator[dict[str, Any]]:
    """Sample sessions; `unique` puts each answer's words in an order of its own."""
    rng = random.Random(3)
    for document in islice(sample.sessions(now=datetime.now(UTC) - timedelta(days=120), users=count // 2), count):
        for event in document["events"] if unique else ():
            if text := event["data"].get("text"):
                words = text.split()
                rng.shuffle(words)
                event["data"]["text"] = " ".join(words)
        yield document


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def floor(store: Store, folder: Path) -> None:
    """Read and write the same rows, and nothing else."""
    folder.mkdir()
    with (folder / "part.parquet").open("wb") as sink, _parquet(sink) as writer:
        found = raw_documents(store, {})
        while raws := list(islice(found, ROW_GROUP_SESSIONS)):
            writer.write_table(table([bson.decode(raw, COLUMNS) for raw in raws], raws, 0))


def jsonl_gz(store: Store) -> int:
    """Bytes of the documents as mongoexport writes them, gzipped."""
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(fileobj=file, mode="wb") as packed:
            for raw in raw_documents(store, {}):
                line = json_util.dumps(bson.decode(raw), json_options=json_util.RELAXED_JSON_OPTIONS)
                packed.write(f"{line}\n".encode())
        return file.tell()


def insert(store: Store, raws: list[bytes]) -> None:
    """What restoring cannot do without."""
    for first in range(0, len(raws), 500):
        store.sessions.insert_many([RawBSONDocument(raw) for raw in raws[first : first + 500]], ordered=False)


def delete(store: Store, raws: list[bytes]) -> None:
    """Delete by _id, without a look at what is deleted."""
    ids = [RawBSONDocument(raw)["_id"] for raw in raws]
    for first in range(0, len(ids), 500):
        store.sessions.delete_many({"_id": {"$in": ids[first : first + 500]}})


def main(count: int, unique: bool) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as home:
        with Store(embedded.ensure(Path(home) / "data", 5), "benchmark") as store:
            store.ensure_indexes()
            measure(store, Path(home), count, unique)
        time.sleep(8)  # until the server has ended: its files are about to go


def measure(store: Store, home: Path, count: int, unique: bool) -> None:
    """Run everything once."""
    documents = list(sessions(count, unique))
    events = sum(len(document["events"]) for document in documents)
    for first in range(0, count, 500):
        store.sessions.insert_many(documents[first : first + 500])
    del documents
    print(f"{count:,} sessions, {events:,} events, {'unique' if unique else 'repeated'} texts")
    packed = jsonl_gz(store)
    raws = list(raw_documents(store, {}))
    floor(store, home / "warm")
    least, _ = timed(lambda: floor(store, home / "floor"))
    folder = open_folder(str(home / "archive"))
    copying, _ = timed(lambda: run(store, folder, Order(OLD, keep=True)))
    deleting, _ = timed(lambda: delete(store, raws))
    inserting, _ = timed(lambda: insert(store, raws))
    moving, _ = timed(lambda: run(store, open_folder(str(home / "moved")), Order(OLD)))
    row("floor: read and write", least, least, count)
    row("archive --keep", copying, least, count)
    row("floor: and delete", least + deleting, least + deleting, count)
    row("archive", moving, least + deleting, count)
    restoring, _ = timed(lambda: restore(store, folder))
    row("floor: insert_many", inserting, inserting, count)
    row("restore", restoring, inserting, count)
    sizes(folder, packed, count)
    session_id = RawBSONDocument(raws[count // 2])["session_id"]
    one, _ = timed(lambda: ArchiveSource(folder).get(session_id))
    print(f"one session by its id: {one * 1000:.0f} ms")


def row(name: str, seconds: float, beside: float, count: int) -> None:
    print(f"{name:24}{seconds:8.1f} s {count / seconds:10,.0f} sessions/s {seconds / beside:6.2f} x")


def sizes(folder: LocalFolder, packed: int, count: int) -> None:
    """Bytes a session, beside the gzipped JSONL."""
    parts = [state.part for state in Manifest(folder).parts.values()]
    total = sum(part.bytes + part.ids_bytes for part in parts)
    print(f"bytes a session: archive {total / count:,.0f}, JSONL.gz {packed / count:,.0f}: {total / packed:.2f} x")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 50_000, "--unique" in sys.argv)
