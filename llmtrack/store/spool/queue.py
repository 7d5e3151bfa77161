"""What could not be stored yet, on disk: durable when `put` returns, shared by every process of the collector.

A record is there whole or not at all, and a checksum tells when it is not what was written. Records of a session leave
in the order they came, once the database has them.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import bson
from bson.codec_options import CodecOptions

from llmtrack.errors import StoreUnavailable
from llmtrack.session.document import Document
from llmtrack.store.spool.file import SpoolFile

if TYPE_CHECKING:
    from llmtrack.config import Settings

START: Final = "start"
APPEND: Final = "append"
CATCH_UP_S: Final = 300  # of work: more is not taken while the database stores, it would come too late
PACE_S: Final = 10  # how long it is known how fast the database stores

_CODEC: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
_FIELDS: Final = "id, at, kind, session_id, body"
_DONE: Final = "delete from records where id in ({})"
_DROP: Final = "delete from refused where id in ({})"


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


class Spool(SpoolFile):
    """The records that wait. Opened at first use; safe to share between threads and processes.

    Every method raises StoreUnavailable when the disk or the file does not do it.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        super().__init__(path)
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s

    def put(self, kind: str, session_id: str, body: Document) -> None:
        """Keep a record.

        Raises SpoolFull when the file, its oldest record, or what the database stores in a while has reached its limit.
        """
        packed = bson.encode(body)
        with self._possible():
            self._check_room(len(packed))
            values = (time.time(), kind, session_id, zlib.crc32(packed).to_bytes(4) + packed)
            self._write("insert into records (at, kind, session_id, body) values (?, ?, ?, ?)", values)

    def check(self) -> None:
        """Raise what `put` would raise now: something is written."""
        with self._possible():
            self._check_room(0)
            self._write("insert or replace into pace values (0, ?, 0, 0)", (time.time(),))

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
        with self._possible():
            self._write("insert or replace into pace values (1, ?, ?, ?)", (time.time(), per_s, depth))

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
