"""What could not be stored yet, on disk: durable when `put` returns, shared by every process of the collector.

A SQLite file in the data folder, written ahead (WAL) and flushed at each commit: a record is there whole or not at
all, whenever the process is killed. Records leave in the order they came, once the database has them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import bson
from bson.codec_options import CodecOptions

from llmtrack.errors import StoreUnavailable
from llmtrack.session.document import Document

START: Final = "start"
APPEND: Final = "append"

_CODEC: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
_BUSY_S: Final = 10  # how long a process waits for another's commit
_SCHEMA: Final = """
create table if not exists records (
    id integer primary key, at real not null, kind text not null, session_id text not null, body blob not null);
create unique index if not exists starts on records (session_id) where kind = 'start';
create index if not exists sessions on records (session_id);
create table if not exists refused (
    id integer primary key, at real not null, kind text not null, session_id text not null, body blob not null,
    why text not null);
"""


class SpoolFull(StoreUnavailable):
    """The spool takes no more; whoever sent this keeps it and tries again later."""


class Record(NamedTuple):
    """A start or an append that waits; `body` holds its arguments."""

    id: int
    kind: str
    session_id: str
    body: Document


class Spool:
    """The records that wait. Opened at first use; safe to share between threads and processes."""

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether there may be anything in it: else nothing needs to be opened."""
        return self._opened is not None or self.path.exists()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def put(self, kind: str, session_id: str, body: Document) -> None:
        """Keep a record. A second start of a session changes nothing.

        Raises SpoolFull when the file or its oldest record has reached its limit, StoreUnavailable when the disk does
        not take it.
        """
        packed = bson.encode(body)
        with self._lock, self._possible():
            self._check_room(len(packed))
            with self._db as db:
                db.execute(
                    "insert or ignore into records (at, kind, session_id, body) values (?, ?, ?, ?)",
                    (time.time(), kind, session_id, packed),
                )

    def check(self) -> None:
        """Raise what `put` would raise now."""
        with self._lock, self._possible():
            self._check_room(0)

    @contextlib.contextmanager
    def _possible(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"The spool takes nothing: {self.path}: {error}.", "Free some disk space, or check its permissions."
            ) from None

    def _check_room(self, more: int) -> None:
        size = self._bytes()
        if size + more > self.max_bytes:
            raise SpoolFull(f"The spool holds {size / 1e6:,.0f} MB, its limit.", "The database has to come back first.")
        if (age_s := self._age_s()) > self.max_age_s:
            days = age_s / 86400
            raise SpoolFull(f"The spool waits for {days:,.1f} days, its limit.", "The database has to come back first.")

    def oldest(self) -> Record | None:
        """The record that came first."""
        query = "select id, kind, session_id, body from records order by id limit 1"
        with self._lock:
            row = self._db.execute(query).fetchone() if self.exists else None
        return None if row is None else Record(row[0], row[1], row[2], bson.decode(row[3], _CODEC))

    def remove(self, record: Record) -> None:
        """Forget a record that is stored."""
        with self._lock, self._db as db:
            db.execute("delete from records where id = ?", (record.id,))

    def refuse(self, record: Record, why: str) -> None:
        """Put a record aside that the database will never take. It stays in the file, in the table `refused`."""
        with self._lock, self._db as db:
            columns = "id, at, kind, session_id, body"
            db.execute(
                f"insert into refused ({columns}, why) select {columns}, ? from records where id = ?",  # noqa: S608
                (why, record.id),
            )
            db.execute("delete from records where id = ?", (record.id,))

    def start_of(self, session_id: str) -> Document | None:
        """The session that waits to be started; None when none does."""
        query = "select body from records where kind = 'start' and session_id = ?"
        with self._lock:
            row = self._db.execute(query, (session_id,)).fetchone() if self.exists else None
        return None if row is None else bson.decode(row[0], _CODEC)

    def holds(self, session_id: str) -> bool:
        """Whether something of the session waits."""
        with self._lock:
            query = "select 1 from records where session_id = ? limit 1"
            return self.exists and self._db.execute(query, (session_id,)).fetchone() is not None

    @property
    def depth(self) -> int:
        """Records that wait."""
        return self._count("records")

    @property
    def refused(self) -> int:
        """Records that the database would not take."""
        return self._count("refused")

    @property
    def age_s(self) -> float:
        """How long the oldest record has waited, 0 when there is none."""
        with self._lock:
            return self._age_s() if self.exists else 0.0

    def _count(self, table: str) -> int:
        with self._lock:
            if not self.exists:
                return 0
            count: int = self._db.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
            return count

    def _age_s(self) -> float:
        first: float | None = self._db.execute("select at from records order by id limit 1").fetchone()
        return max(0.0, time.time() - first[0]) if first else 0.0  # type: ignore[index]

    def _bytes(self) -> int:
        """Bytes in use: SQLite keeps what was freed for later."""
        pages, free, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"pragma {name}").fetchone()[0]
        return value

    @property
    def _db(self) -> Any:
        if self._opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            db = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
            self.path.chmod(0o600)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")  # a commit returns when the disk has it
            db.executescript(_SCHEMA)
            self._opened = db
        return self._opened
