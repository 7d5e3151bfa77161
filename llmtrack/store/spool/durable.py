"""The collector's way to the store: what it accepts is stored, or waits in the spool until the database takes it."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeVar

from llmtrack.errors import StoreUnavailable, UnknownSession
from llmtrack.session.claim import Claim
from llmtrack.session.document import Document
from llmtrack.store.database.driver import within
from llmtrack.store.database.sessions import Appended, Store
from llmtrack.store.spool.drain import STARTS_S, Drain
from llmtrack.store.spool.queue import APPEND, START, Spool

RETRY_S: Final = 1.0
READ_S: Final = 5.0  # a session is read within
PATIENCE: Final = 10  # a write from the spool may take so many times as long as one that somebody waits for

log = logging.getLogger("llmtrack")
Result = TypeVar("Result")


class DurableStore:
    """Writes to `store`; when it does not take it within `after_s`, to `spool`, drained in order when it does again.

    A write whose answer was lost may be stored already: each n counts once, and events without n get a key that
    counts once. Starts a thread when something waits, and ends it when nothing does.
    """

    def __init__(self, store: Store, spool: Spool, after_s: float = 2, starts_s: float = STARTS_S) -> None:
        self.store, self.spool, self._after_s = store, spool, after_s
        self._away = False
        self._lock = threading.Lock()
        self._drainer: threading.Thread | None = None
        self._stopped = threading.Event()
        self._drain = Drain(store, spool, PATIENCE * after_s, self._stored_in, starts_s)
        if spool.exists:  # left by a process that was killed
            self._drain_soon()

    def close(self) -> None:
        """Stop draining. What waits stays in the spool."""
        self._stopped.set()
        if drainer := self._drainer:
            drainer.join()
        self.spool.close()

    def start(self, document: Document, claim: Claim) -> Document:
        """As Store.start; what waits is a start of its own for each who may not open the other's.

        Raises SpoolFull, StoreUnavailable.
        """
        with contextlib.suppress(StoreUnavailable):
            return self._direct(lambda: self.store.start(document))
        session_id = document["session_id"]
        known = next(filter(claim.opens, self.spool.starts_of(session_id)), None)
        if known is None:
            self._keep(START, session_id, document)
        return known or document

    def append(
        self,
        session_id: str,
        events: Iterable[Document],
        claim: Claim,
        *,
        end: datetime | None = None,
        extra: Document | None = None,
        once: str | None = None,
    ) -> Appended:
        """As Store.append; of what waits, nobody knows yet whether it is a duplicate: it counts as accepted.

        Nor whether `claim` opens the session: if not, it is left out when it arrives there.
        Raises UnknownSession, NotTheirs, SpoolFull, StoreUnavailable.
        """
        batch = list(events)
        if once is None and any("n" not in event for event in batch):
            once = secrets.token_hex(8)
        try:
            return self._direct(
                lambda: self.store.append(session_id, batch, end=end, extra=extra, once=once, claim=claim)
            )
        except StoreUnavailable:
            pass
        except UnknownSession:
            if not self.spool.holds(session_id):  # else its start is still on its way
                raise
        if batch or end or extra:
            body = {"events": batch, "end": end, "extra": extra, "once": once, "claim": claim._asdict()}
            self._keep(APPEND, session_id, body)
        return Appended(len(batch), 0)

    def owner(self, session_id: str, claim: Claim) -> Document | None:
        """As Store.owner; else of a start that waits, which `claim` opens if there is one. Raises StoreUnavailable."""
        try:
            found = self._direct(lambda: self.store.owner(session_id))
        except StoreUnavailable:
            found = next(filter(claim.opens, self.spool.starts_of(session_id)), None)
            if found is None:
                raise
        starts = [] if found else self.spool.starts_of(session_id)
        return found or next(filter(claim.opens, starts), None) or next(iter(starts), None)

    def find(self, session_id: str) -> Document | None:
        """As Store.find: what waits is not seen yet. Raises StoreUnavailable, at once while the database is away."""
        if self._away:
            raise StoreUnavailable("The database does not answer.")
        with within(READ_S):
            return self.store.find(session_id)

    def check(self, within_s: float) -> None:
        """Raise StoreUnavailable unless a write is stored within this time, and none was refused just now."""
        with within(within_s):
            self.store.probe()
        if self._away:
            raise StoreUnavailable("The database does not take what it is given.")

    def _direct(self, write: Callable[[], Result]) -> Result:
        if self._away:
            raise StoreUnavailable("The database does not answer.")
        try:
            with within(self._after_s):
                return write()
        except StoreUnavailable as error:
            if not self._away:
                log.warning("%s. What arrives waits in the spool.", error.brief)
            self._away = True
            self._drain_soon()
            raise

    def _stored_in(self, seconds: float) -> None:
        """A write of the drain went through: as fast as somebody may wait for, then nobody needs the spool."""
        if seconds <= self._after_s:
            self._away = False

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
                if self._away:
                    with within(self._after_s):
                        self.store.probe()
                    # what was refused before is the better probe: a write from the spool, of this process or another
                    self._away = self.spool.depth > 0 and self.spool.behind_s is None
                if self.drain():
                    continue
                with self._lock:  # whoever puts something in from now on starts the next one
                    if self.spool.depth == 0:
                        self._drainer = None
                        return
            except StoreUnavailable:
                self._away = True
            except Exception:
                log.exception("the spool cannot be drained")
            self._stopped.wait(RETRY_S)

    def drain(self) -> bool:
        """Store what waits, as far as it can be stored now; whether it was anything. Raises StoreUnavailable."""
        return self._drain.run(self._stopped.is_set)
