"""The spool's file: SQLite in the data folder, and what is done when the disk or the file fails.

It is written ahead (WAL) and flushed at each commit, so that a record is there whole or not at all, whenever the
process is killed. Deleting needs room, too: a reserve beside the file is given up for it. A damaged file is put beside
a new one, into which goes whatever can be read of it; every process that has it open notices and opens the new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from llmtrack.errors import StoreUnavailable

RESERVE_BYTES: Final = 2**22
_BUSY_S: Final = 10  # how long a process waits for another's commit
_AT_ONCE: Final = 500  # values in a statement
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA: Final = """
create table if not exists records (
    id integer primary key autoincrement, at real not null, kind text not null, session_id text not null,
    body blob not null);
create index if not exists sessions on records (session_id, id);
create table if not exists refused (
    id integer primary key, at real not null, kind text not null, session_id text not null, body blob not null,
    why text not null);
create table if not exists pace (
    id integer primary key, at real not null, per_s real not null, depth integer not null);
"""

log = logging.getLogger("llmtrack")


class SpoolFile:
    """The file. Opened at first use; safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve = path.with_suffix(".reserve")
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._inode = 0

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

    @contextlib.contextmanager
    def _possible(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                if _is_damaged(error):
                    with contextlib.suppress(sqlite3.Error, OSError):  # what was read is tried again, the file is there
                        self._salvage()
                raise StoreUnavailable(
                    f"The spool takes nothing: {self.path}: {error}.", "Free some disk space, or check its permissions."
                ) from None

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        """Run a statement and commit. Once more where another process has put the file aside meanwhile."""
        while True:
            with self._db as db:
                db.execute(statement, values)
            if self._is_current():
                return

    def _make_reserve(self) -> None:
        draft = self._reserve.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(bytes(RESERVE_BYTES))
            draft.replace(self._reserve)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._possible():
            return self._db.execute(query, values).fetchall() if self.exists else []

    def _change(self, statements: list[str], ids: Collection[int], *values: str) -> None:
        """Run the statements on these ids, `values` before them in the first. A full disk gets the reserve."""
        ordered = sorted(ids)
        for at in range(0, len(ordered), _AT_ONCE):
            some = ordered[at : at + _AT_ONCE]
            with self._possible():
                try:
                    self._run(statements, some, values)
                except (sqlite3.OperationalError, OSError):
                    if not self._reserve.exists():
                        raise
                    self._reserve.unlink()
                    self._run(statements, some, values)
                    self._db.execute("pragma wal_checkpoint(truncate)")

    def _run(self, statements: list[str], ids: list[int], values: tuple[str, ...]) -> None:
        with self._db as db:
            for number, statement in enumerate(statements):
                marks = ",".join("?" * len(ids))
                db.execute(statement.format(marks), [*(values if number == 0 else ()), *ids])

    def _bytes(self) -> int:
        """Bytes in use: SQLite keeps what was freed for later."""
        pages, free, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"pragma {name}").fetchone()[0]
        return value

    @property
    def _db(self) -> Any:
        if self._opened is not None and not self._is_current():
            self.close()
        if self._opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._opened = _open(self.path)
            self._inode = self.path.stat().st_ino
        return self._opened

    def _is_current(self) -> bool:
        """Whether the file that is open is still the one at the path."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _salvage(self) -> None:
        """Put the damaged file aside, and what can be read of it into a new one."""
        inode = self._inode if self._opened else self.path.stat().st_ino
        self.close()
        with FileLock(f"{self.path}.salvage"):
            if self.path.stat().st_ino != inode:  # somebody else was quicker
                return
            aside = self.path.with_name(f"{self.path.stem}.damaged-{time.time_ns()}.sqlite")
            fresh = self.path.with_suffix(".salvaged")
            fresh.unlink(missing_ok=True)
            kept = 0
            with contextlib.closing(sqlite3.connect(self.path)) as old, contextlib.closing(_open(fresh)) as new:
                with contextlib.suppress(sqlite3.Error):  # whoever writes meanwhile waits, and finds the new file
                    old.execute("begin immediate")
                for table in ("records", "refused"):
                    for row in _readable(old, table):
                        marks = ",".join("?" * len(row))
                        new.execute(f"insert or ignore into {table} values ({marks})", row)  # noqa: S608 - ours
                        kept += 1
                new.commit()
                new.execute("pragma wal_checkpoint(truncate)")
                for end in ("-wal", "-shm", ""):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{self.path}{end}", f"{aside}{end}")
            for end in ("-wal", "-shm"):
                Path(f"{fresh}{end}").unlink(missing_ok=True)
            fresh.replace(self.path)
        log.error("the spool was damaged: %d records of it could be read, the file is kept as %s", kept, aside.name)


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
    try:
        path.chmod(0o600)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")  # a commit returns when the disk has it
        db.execute("pragma secure_delete = on")  # nobody's words stay behind
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _is_damaged(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def _readable(db: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows that can be read: from the first on, from the last back, and between them each by its number."""
    seen: set[int] = set()
    for order in ("asc", "desc"):
        try:
            for row in db.execute(f"select * from {table} not indexed order by id {order}"):  # noqa: S608 - ours
                if row[0] in seen:
                    return
                seen.add(row[0])
                yield row
            return
        except sqlite3.DatabaseError:
            continue
    low, high = min(seen, default=0), max(seen, default=0)
    for id in set(range(low, high)) - seen:
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from db.execute(f"select * from {table} not indexed where id = ?", (id,))  # noqa: S608 - ours
