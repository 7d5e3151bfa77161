"""The collector's way to the store: what it accepts is stored, or waits in the spool until the database is back."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeVar

import pymongo
from filelock import FileLock, Timeout

from llmtrack.errors import LlmtrackError, StoreUnavailable, UnknownSession
from llmtrack.session.document import Document
from llmtrack.store.database.sessions import Appended, Store
from llmtrack.store.spool.queue import APPEND, START, Record, Spool

RETRY_S: Final = 1.0
TRIES: Final = 5  # of a record that an answering database does not take

log = logging.getLogger("llmtrack")
Result = TypeVar("Result")


class DurableStore:
    """Writes to `store`; when it does not answer within `after_s`, to `spool`, drained in order when it does again.

    A write whose answer was lost may be stored already: each n counts once, and events without n get a key that
    counts once. Starts a thread when something waits, and ends it when nothing does.
    """

    def __init__(self, store: Store, spool: Spool, after_s: float = 2) -> None:
        self.store, self.spool, self._after_s = store, spool, after_s
        self._away = False
        self._lock = threading.Lock()
        self._drainer: threading.Thread | None = None
        self._stopped = threading.Event()
        if spool.exists:  # left by a process that was killed
            self._drain_soon()

    def close(self) -> None:
        """Stop draining. What waits stays in the spool."""
        self._stopped.set()
        if drainer := self._drainer:
            drainer.join()
        self.spool.close()

    def start(self, document: Document) -> Document:
        """As Store.start. Raises SpoolFull, StoreUnavailable."""
        with contextlib.suppress(StoreUnavailable):
            return self._direct(lambda: self.store.start(document))
        session_id = document["session_id"]
        self._keep(START, session_id, document)
        return self.spool.start_of(session_id) or document

    def append(
        self,
        session_id: str,
        events: Iterable[Document],
        *,
        end: datetime | None = None,
        extra: Document | None = None,
        once: str | None = None,
    ) -> Appended:
        """As Store.append; of what waits, nobody knows yet whether it is a duplicate: it counts as accepted.

        Raises UnknownSession, SpoolFull, StoreUnavailable.
        """
        batch = list(events)
        if once is None and any("n" not in event for event in batch):
            once = secrets.token_hex(8)
        try:
            return self._direct(lambda: self.store.append(session_id, batch, end=end, extra=extra, once=once))
        except StoreUnavailable:
            pass
        except UnknownSession:
            if not self.spool.holds(session_id):  # else its start is still on its way
                raise
        if batch or end or extra:
            self._keep(APPEND, session_id, {"events": batch, "end": end, "extra": extra, "once": once})
        return Appended(len(batch), 0)

    def owner(self, session_id: str) -> Document | None:
        """As Store.owner, also of a session that waits to be started. Raises StoreUnavailable."""
        try:
            found = self._direct(lambda: self.store.owner(session_id))
        except StoreUnavailable:
            found = self.spool.start_of(session_id)
            if found is None:
                raise
        return found or self.spool.start_of(session_id)

    def find(self, session_id: str) -> Document | None:
        """As Store.find: what waits is not seen yet."""
        return self.store.find(session_id)

    def _direct(self, write: Callable[[], Result]) -> Result:
        if self._away:
            raise StoreUnavailable("The database does not answer.")
        try:
            with pymongo.timeout(self._after_s):
                return write()
        except StoreUnavailable as error:
            if not self._away:
                log.warning("%s What arrives waits in the spool.", error.message)
            self._away = True
            self._drain_soon()
            raise

    def _keep(self, kind: str, session_id: str, body: Document) -> None:
        self.spool.put(kind, session_id, body)
        self._drain_soon()

    def _drain_soon(self) -> None:
        with self._lock:
            if self._drainer is None:
                self._drainer = threading.Thread(target=self._drain_until_empty, name="drainer", daemon=True)
                self._drainer.start()

    def _drain_until_empty(self) -> None:
        while not self._stopped.is_set():
            try:
                with pymongo.timeout(self._after_s):
                    self.store.ping()
                self._away = False
                self.drain()
                with self._lock:  # whoever puts something in from now on starts the next one
                    if self.spool.depth == 0:
                        self._drainer = None
                        return
            except StoreUnavailable:
                self._away = True
            except Exception:
                log.exception("the spool %s cannot be drained", self.spool.path)
            self._stopped.wait(RETRY_S)

    def drain(self) -> None:
        """Store what waits, in order. Raises StoreUnavailable.

        Several processes share the spool: one drains at a time.
        """
        began, stored, tries = time.monotonic(), 0, 0
        with contextlib.suppress(Timeout), FileLock(f"{self.spool.path}.lock", timeout=0):
            while (record := self.spool.oldest()) and not self._stopped.is_set():
                try:
                    self._store(record)
                except StoreUnavailable as error:
                    with pymongo.timeout(self._after_s):
                        self.store.ping()  # raises, unless it is this record that it does not take
                    tries += 1
                    if tries < TRIES:
                        self._stopped.wait(RETRY_S)
                        continue
                    self._refuse(record, error)
                except LlmtrackError as error:
                    self._refuse(record, error)
                else:
                    self.spool.remove(record)
                    stored += 1
                tries = 0
        if stored:
            log.info("stored %d records of the spool in %.1f s", stored, time.monotonic() - began)

    def _refuse(self, record: Record, error: LlmtrackError) -> None:
        self.spool.refuse(record, error.message)
        log.warning("put aside a record of the spool: %s", error.message)

    def _store(self, record: Record) -> None:
        body = record.body
        with pymongo.timeout(10 * self._after_s):
            if record.kind == START:
                self.store.start(body)
            else:
                more = {key: body[key] for key in ("end", "extra", "once")}
                self.store.append(record.session_id, body["events"], **more)
