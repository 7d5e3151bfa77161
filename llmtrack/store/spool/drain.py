"""From the spool to the database: session by session, each in order, all of what waits of one in one write.

What can never be stored is put aside, record by record. All else waits: a session that the database refuses is tried
again later and later, and holds up no other.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from filelock import FileLock, Timeout

from llmtrack.errors import LlmtrackError, NeverStored, StoreUnavailable, UnknownSession
from llmtrack.session.claim import Claim
from llmtrack.session.document import Document
from llmtrack.store.database.change import Given
from llmtrack.store.database.driver import DatabaseError, within
from llmtrack.store.database.forgotten import Forgotten
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.queue import START, Damaged, Record, Spool

HOLD_S: Final = (1.0, 60.0)  # a session that was refused waits so long, then twice as long, up to this
GIVE_UP: Final = 5  # sessions refused in a row, and none stored: it is the database
STARTS_S: Final = 300  # the start of a session may wait in another collector's spool
REPORT_S: Final = 1.0
PASS_S: Final = 5.0  # then it begins with the oldest again: who was held may be due
LAST_TRIES: Final = 0.9  # of the age at which the spool takes no more
FLUSH: Final = 200  # stored records are deleted so many at once

log = logging.getLogger("llmtrack")
WAIT: Final = (LlmtrackError, DatabaseError, sqlite3.Error, OSError, MemoryError)  # no fault of the record


class Drain:
    """Stores what waits in `spool`. `stored_in` is told how long each write took, in seconds."""

    def __init__(
        self, store: Store, spool: Spool, write_s: float, stored_in: Callable[[float], None], starts_s: float = STARTS_S
    ) -> None:
        self.store, self.spool = store, spool
        self._write_s, self._stored_in, self._starts_s = write_s, stored_in, starts_s
        self._held: dict[str, tuple[float, float]] = {}  # session: until when, and for how long
        self._unknown: dict[str, float] = {}  # session: since when nobody has started it
        self._stored: set[int] = set()  # records that are stored and could not be deleted
        self._counts = Counter[str]()

    def run(self, stopped: Callable[[], bool]) -> bool:
        """Store what can be stored now; whether it was anything. Of several processes one drains at a time.

        Raises StoreUnavailable when the database stores nothing.
        """
        began, self._counts = time.monotonic(), Counter()
        try:
            with contextlib.suppress(Timeout), FileLock(f"{self.spool.path}.lock", timeout=0):
                self._pass(stopped)
        finally:
            if self._counts:
                told = ", ".join(f"{count} {what}" for what, count in self._counts.items())
                log.info("records of the spool in %.1f s: %s", time.monotonic() - began, told)
        return bool(self._counts)

    def _pass(self, stopped: Callable[[], bool]) -> None:
        with within(self._write_s):
            anybody_forgotten = not Forgotten(self.store).is_empty()
        refused = stored = 0
        began = reported = time.monotonic()
        for session_id in self._due():
            try:
                stored += self._session(session_id, anybody_forgotten)
                refused = 0
            except _Held:
                self._hold(session_id)
            except StoreUnavailable as error:
                self.store.ping(self._write_s)  # raises, unless it is this session that it does not take
                self._hold(session_id)
                self._give_up(session_id, error)
                refused += 1
                if refused >= GIVE_UP and not stored:
                    raise
            now = time.monotonic()
            if now - reported > REPORT_S:
                self._flush()
                self._tell(stored, began)
                reported = now
            if stopped() or now - began > PASS_S:
                break
        self._flush()
        if stored:
            self._tell(stored, began)
        if refused and not stored:
            raise StoreUnavailable("The database takes nothing.")

    def _tell(self, stored: int, began: float) -> None:
        """Let everybody know how fast it goes, and that it goes at all. What is held is not waited for."""
        per_s = stored / max(time.monotonic() - began, 0.001)
        self.spool.told_pace(per_s, max(0, self.spool.depth - len(self._held)))

    def _due(self) -> Iterator[str]:
        """The sessions of which something waits, the one that has waited longest first, without those that are held."""
        seen: set[str] = set()
        after = 0
        while rows := self.spool.sessions(after):
            after = rows[-1][0]
            for _, session_id in rows:
                if session_id not in seen and self._held.get(session_id, (0.0, 0.0))[0] <= time.monotonic():
                    yield session_id
                seen.add(session_id)

    def _hold(self, session_id: str) -> None:
        seconds = min(self._held.get(session_id, (0.0, HOLD_S[0] / 2))[1] * 2, HOLD_S[1])
        self._held[session_id] = (time.monotonic() + seconds, seconds)

    def _give_up(self, session_id: str, error: StoreUnavailable) -> None:
        """Put a session aside that a database which takes all else has refused until the spool would take no more."""
        records = self.spool.of(session_id)
        if records and time.time() - records[0].at > LAST_TRIES * self.spool.max_age_s:
            with within(self._write_s):
                self.store.probe()
            for record in records:
                self._refuse(record, error.message, error.brief)

    def _session(self, session_id: str, anybody_forgotten: bool) -> int:
        """Store all that waits of a session; how many records. Raises StoreUnavailable when it is to be held."""
        count = 0
        while records := self._next(session_id):
            if anybody_forgotten:
                records = self._wanted(session_id, records)
            try:
                self._store(records)
            except UnknownSession:
                since = self._unknown.setdefault(session_id, time.monotonic())
                if time.monotonic() - since < self._starts_s:
                    raise _Held from None
                self._one_by_one(records)
            except NeverStored:
                self._one_by_one(records)
            except WAIT as error:
                raise _unavailable(error) from None
            except Exception:
                self._one_by_one(records)
            count += len(records)
        self._unknown.pop(session_id, None)
        self._held.pop(session_id, None)
        return count

    def _one_by_one(self, records: list[Record]) -> None:
        for record in records:
            try:
                self._store([record])
            except (NeverStored, UnknownSession) as error:
                self._refuse(record, error.message, error.brief)
            except WAIT as error:
                raise _unavailable(error) from None
            except Damaged:
                self._refuse(record, "it is damaged: its checksum is wrong")
            except Exception as error:
                log.exception("a record of the spool cannot be stored")
                self._refuse(record, f"{type(error).__name__} in {_where(error)}")

    def _refuse(self, record: Record, why: str, brief: str = "") -> None:
        """Put a record aside. `why` may name whose it is, as the record does; the log is told what is `brief`."""
        self.spool.refuse(record, why)
        self._counts["put aside"] += 1
        log.warning("put aside a record of the spool: %s", brief or why)

    def _next(self, session_id: str) -> list[Record]:
        """The session's next records that are not stored yet."""
        if len(self._stored) >= FLUSH:
            self._flush()
        for _ in range(2):
            found = self.spool.of(session_id)
            left = [record for record in found if record.id not in self._stored]
            if left or not found:
                return left
            self._flush()
        return []

    def _flush(self) -> None:
        """Delete what is stored. A disk that is too full to delete holds nobody up: it is tried again."""
        with contextlib.suppress(StoreUnavailable):
            self.spool.remove(self._stored)
            self._stored.clear()

    def _wanted(self, session_id: str, records: list[Record]) -> list[Record]:
        """The records without those of whom `forget` erased after they came: these are deleted."""
        users: set[str] = set()
        for record in records:
            with contextlib.suppress(Exception):
                body = record.body
                users |= {body.get("user_id") or "", *(body.get("claim") or {}).get("users", ())} - {""}
        try:
            since = Forgotten(self.store).since(session_id, users)
        except DatabaseError as error:
            raise _unavailable(error) from None
        if since is None:
            return records
        gone = [record.id for record in records if datetime.fromtimestamp(record.at, UTC) <= since]
        self.spool.remove(gone)
        self._counts["of users who were forgotten"] += len(gone)
        return [record for record in records if record.id not in gone]

    def _store(self, records: list[Record]) -> None:
        """Store the records of one session, as few writes as their order allows."""
        began = time.monotonic()
        given: list[Given] = []
        wrong = 0
        for record in records:
            body = record.body
            if record.kind != START:
                claim = Claim.of(body["claim"])
                given.append(Given(body["events"], body["end"], body["extra"], body["once"], claim))
                continue
            wrong += self._append(record.session_id, given)
            given = []
            wrong += not self._start(body)
        if records:
            wrong += self._append(records[0].session_id, given)
        self._stored |= {record.id for record in records}
        self._counts["stored"] += len(records) - wrong
        self._counts["of somebody who may not write there"] += wrong
        self._stored_in(time.monotonic() - began)

    def _start(self, document: Document) -> bool:
        """Whether the session is the one that this start wanted."""
        with within(self._write_s):
            return Claim((str(document.get("start_proof")),)).opens(self.store.start(document))

    def _append(self, session_id: str, given: list[Given]) -> int:
        """How many of the batches are somebody's who may not write there."""
        if not given:
            return 0
        with within(self._write_s):
            return len(given) - self.store.append_all(session_id, given)[1]


class _Held(Exception):
    """The session waits for something that is not the database's."""


def _unavailable(error: BaseException) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"It could not be stored: {error}.")


def _where(error: BaseException) -> str:
    frame, at = error.__traceback__, "?"
    while frame:
        at, frame = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}", frame.tb_next
    return at
