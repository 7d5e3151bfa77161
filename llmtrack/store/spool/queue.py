"""What could not be stored yet, on disk: durable when `put` returns, shared by every process of the collector.

A SQLite file in the data folder, written ahead (WAL) and flushed at each commit: a record is there whole or not at
all, whenever the process is killed, and a checksum tells when it is not what was written. Records of a session leave in
the order they came, once the database has them. Deleting needs room, too: a reserve beside the file is given up for it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import bson
from bson.codec_options import CodecOptions

from llmtrack.errors import StoreUnavailable
from llmtrack.session.document import Document

if TYPE_CHECKING:
    from llmtrack.config import Settings

START: Final = "start"
APPEND: Final = "append"
CATCH_UP_S: Final = 300  # of work: more is not taken while the database stores, it would come too late
PACE_S: Final = 10  # how long it is known how fast the database stores
RESERVE_BYTES: Final = 2**22

_CODEC: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
_BUSY_S: Final = 10  # how long a process waits for another's commit
_AT_ONCE: Final = 500  # values in a statement
_FIELDS: Final = "id, at, kind, session_id, body"
_DONE: Final = "delete from records where id in ({})"
_DROP: Final = "delete from refused where id in ({})"
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


class SpoolFull(StoreUnavailable):
    """The spool takes no more; whoever sent this keeps it and tries again later."""


class Damaged(Exception):
    """A record that is not what was written."""


class Record(NamedTuple):
    """A start or an append that waits; `raw` holds its arguments. `why`: it was put aside."""

    id: int
    at: float
    kind: str
    session_id: str
    raw: bytes
    why: str = ""

    @property
    def body(self) -> Document:
        """Its arguments. Raises Damaged."""
        if len(self.raw) < 4 or zlib.crc32(self.raw[4:]) != int.from_bytes(self.raw[:4]):
            raise Damaged
        return bson.decode(self.raw[4:], _CODEC)


class Spool:
    """The records that wait. Opened at first use; safe to share between threads and processes.

    Every method raises StoreUnavailable when the disk or the file does not do it.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._reserve = path.with_suffix(".reserve")
        self._lock = threading.RLock()
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
        """Keep a record.

        Raises SpoolFull when the file, its oldest record, or what the database stores in a while has reached its limit.
        """
        packed = bson.encode(body)
        with self._possible():
            self._check_room(len(packed))
            with self._db as db:
                db.execute(
                    "insert into records (at, kind, session_id, body) values (?, ?, ?, ?)",
                    (time.time(), kind, session_id, zlib.crc32(packed).to_bytes(4) + packed),
                )

    def check(self) -> None:
        """Raise what `put` would raise now: something is written."""
        with self._possible():
            self._check_room(0)
            with self._db as db:
                db.execute("insert or replace into pace values (0, ?, 0, 0)", (time.time(),))

    @contextlib.contextmanager
    def _possible(self) -> Iterator[None]:
        with self._lock:
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
        if (behind_s := self._behind_s() or 0.0) > CATCH_UP_S:
            raise SpoolFull(f"The spool is {behind_s:,.0f} s of work behind.", "The database is too slow for this.")
        if not self._reserve.exists():
            self._make_reserve()

    def _make_reserve(self) -> None:
        draft = self._reserve.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(bytes(RESERVE_BYTES))
            draft.replace(self._reserve)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    # --- what leaves

    def sessions(self, after: int = 0) -> list[tuple[int, str]]:
        """The next records after this id, oldest first: id and session_id; not all of them."""
        return self._rows("select id, session_id from records where id > ? order by id limit 1000", after)

    def of(self, session_id: str, max_records: int = 200, max_bytes: int = 2**20) -> list[Record]:
        """The session's first records, oldest first: at least one if there is any."""
        found: list[Record] = []
        size = 0
        query = f"select {_FIELDS} from records where session_id = ? order by id limit ?"  # noqa: S608 - ours
        for row in self._rows(query, session_id, max_records):
            record = Record(*row)
            size += len(record.raw)
            if found and size > max_bytes:
                break
            found.append(record)
        return found

    def remove(self, ids: Collection[int]) -> None:
        """Forget records that are stored."""
        self._change([_DONE], ids)

    def refuse(self, record: Record, why: str) -> None:
        """Put a record aside that can never be stored. It stays in the file, in the table `refused`."""
        aside = f"insert or replace into refused ({_FIELDS}, why) select {_FIELDS}, ? from records where id in ({{}})"  # noqa: S608
        self._change([aside, _DONE], [record.id], why)

    def told_pace(self, per_s: float, depth: int) -> None:
        """Let every process know how many records a second the database stores, and how many can be stored."""
        with self._possible(), self._db as db:
            db.execute("insert or replace into pace values (1, ?, ?, ?)", (time.time(), per_s, depth))

    # --- what was put aside

    def aside(self) -> list[Record]:
        """The records that were put aside, oldest first."""
        query = f"select {_FIELDS}, why from refused order by id"  # noqa: S608 - ours
        return [Record(*row) for row in self._rows(query)]

    def retry(self, ids: Collection[int]) -> None:
        """Let records that were put aside wait again, in their old place."""
        back = f"insert or ignore into records ({_FIELDS}) select {_FIELDS} from refused where id in ({{}})"  # noqa: S608
        self._change([back, _DROP], ids)

    def drop(self, ids: Collection[int]) -> None:
        """Delete records that were put aside."""
        self._change([_DROP], ids)

    def erase(self, users: Collection[str], session_ids: Collection[str]) -> int:
        """Delete whatever holds these users' words, also what was put aside; how many records."""
        if not self.exists:
            return 0
        whose, gone = set(session_ids), {"records": list[int](), "refused": list[int]()}
        rows = [
            (table, Record(*row))
            for table in gone
            for row in self._rows(f"select {_FIELDS} from {table}")  # noqa: S608 - ours
        ]
        whose |= {record.session_id for _, record in rows if _is_of(record, users)}
        for table, record in rows:
            if record.session_id in whose:
                gone[table].append(record.id)
        for table, ids in gone.items():
            self._change([f"delete from {table} where id in ({{}})"], ids)  # noqa: S608 - ours
        with self._possible():
            self._db.execute("pragma wal_checkpoint(truncate)")
        return sum(map(len, gone.values()))

    # --- what is known of it

    def starts_of(self, session_id: str) -> list[Document]:
        """The arguments of the starts that wait of a session; several when several senders claim it."""
        query = f"select {_FIELDS} from records where session_id = ? and kind = 'start' order by id"  # noqa: S608 - ours
        starts = []
        for row in self._rows(query, session_id):
            with contextlib.suppress(Damaged):
                starts.append(Record(*row).body)
        return starts

    def holds(self, session_id: str) -> bool:
        """Whether something of the session waits."""
        return bool(self._rows("select 1 from records where session_id = ? limit 1", session_id))

    @property
    def depth(self) -> int:
        """Records that wait."""
        return self._count("records")

    @property
    def refused(self) -> int:
        """Records that were put aside."""
        return self._count("refused")

    @property
    def age_s(self) -> float:
        """How long the oldest record has waited, 0 when there is none."""
        with self._possible():
            return self._age_s() if self.exists else 0.0

    @property
    def behind_s(self) -> float | None:
        """How long it takes to store what waits, as fast as it goes now; None while nothing is stored."""
        with self._possible():
            return self._behind_s() if self.exists else 0.0

    def _count(self, table: str) -> int:
        rows = self._rows(f"select count(*) from {table}")  # noqa: S608 - ours
        return int(rows[0][0]) if rows else 0

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

    def _age_s(self) -> float:
        first: tuple[float] | None = self._db.execute("select at from records order by id limit 1").fetchone()
        return max(0.0, time.time() - first[0]) if first else 0.0

    def _behind_s(self) -> float | None:
        if self._db.execute("select 1 from records limit 1").fetchone() is None:
            return 0.0
        pace = self._db.execute("select at, per_s, depth from pace where id = 1").fetchone()
        if pace is None or abs(time.time() - pace[0]) > PACE_S or pace[1] <= 0:
            return None
        return float(pace[2] / pace[1])

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
            db.execute("pragma secure_delete = on")  # nobody's words stay behind
            db.executescript(_SCHEMA)
            self._opened = db
        return self._opened


def spool_of(settings: Settings) -> Spool:
    """The spool of the collector with these settings."""
    limits = settings.spool
    return Spool(settings.data_dir / "spool.sqlite", round(limits.max_mb * 1e6), limits.max_age_days * 24 * 3600)


def _is_of(record: Record, users: Collection[str]) -> bool:
    try:
        body = record.body
    except Damaged:
        return False  # nobody can tell; it goes with its session
    claim = body.get("claim") or {}
    return body.get("user_id") in users or any(user in users for user in claim.get("users", ()))
