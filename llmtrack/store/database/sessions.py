"""Sessions in MongoDB: start, append, end, find, delete; indexes.

Every write of a session is one conditional update: it holds only if the document's `rev` is still the one that was
read, else it is tried anew. So each event number n is stored once, whatever is retried, overtaken or sent twice.
A document that is full is closed by such an update, too; the session goes on in the next one (parts.py).
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pymongo
from pymongo import MongoClient, ReadPreference
from pymongo.errors import (
    DuplicateKeyError,
    OperationFailure,
)

from llmtrack.errors import LlmtrackError, NeverStored, NotTheirs, StoreUnavailable, UnknownSession
from llmtrack.session.claim import Claim
from llmtrack.session.schema import SCHEMA_VERSION
from llmtrack.store.database import indexes
from llmtrack.store.database.change import HEAD, Given, change, closing, last_sign
from llmtrack.store.database.continuation import (
    ARCHIVED,
    CONTINUED,
    PART_BYTES,
    by_part,
    come_back,
    joined,
    next_part,
    part_of,
)
from llmtrack.store.database.driver import TOO_LARGE, Document, client_for, journalled, reachable
from llmtrack.store.database.query import both, stored_names
from llmtrack.store.database.whose import refuse_foreign

if TYPE_CHECKING:
    from llmtrack.config import Settings

DEFAULT_DATABASE = "llm_experiment"
_ENDED = dict.fromkeys(("rev", "last_t", "start_time"), 1)
_TRIES = 100
_NO_SUCH_COMMAND = 59
_chance = SystemRandom()  # leaves the global generator, which a program may have seeded, alone
OTHER_INDEX = "The database refused: another unique index of the collection does not allow it."


class Appended(NamedTuple):
    """How many events an append stored, and how many it had already."""

    accepted: int
    duplicates: int


def connect(settings: Settings) -> Store:
    """The store that `settings` name: MONGODB_URI, else the embedded server (started or joined)."""
    if settings.mongodb_uri is not None:
        return store_at(settings.mongodb_uri.reveal(), settings)
    from llmtrack.store.database import embedded

    return store_at(embedded.ensure(settings.data_dir, settings.embedded_linger_s), settings)


def store_at(uri: str, settings: Settings) -> Store:
    """The store at an address, with the database and the collections that `settings` name."""
    return Store(uri, settings.database, collection=settings.collection, chats=settings.chats_collection)


class Store:
    """One database: its `sessions`, and its `chats` for chats.py. Safe to share between threads."""

    def __init__(
        self,
        uri: str,
        database: str | None = None,
        *,
        collection: str = "sessions",
        chats: str = "chats",
        timeout_s: float = 5,
    ) -> None:
        """Connects on first use. Raises UsageError when `uri` is not a MongoDB URI."""
        self.client: MongoClient[Document] = client_for(uri, timeout_s)
        name = database or self.client.get_default_database(DEFAULT_DATABASE).name
        lasting = journalled(self.client.write_concern.document)
        # what decides a write is read from the primary, whatever the URI prefers; reports read as it says
        self.database = self.client.get_database(name, write_concern=lasting, read_preference=ReadPreference.PRIMARY)
        self.to_read = self.client[name][collection]
        self.sessions = self.database[collection]
        self.chats = self.database[chats]
        self.archived = self.database["archived"]  # what is left of sessions that went to the archive

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self, timeout_s: float | None = None) -> None:
        """Raise StoreUnavailable unless the server answers, within `timeout_s` when it is given."""
        with reachable(), pymongo.timeout(timeout_s):
            self.client.admin.command("ping")

    def probe(self) -> None:
        """Write something and read it. Raises StoreUnavailable when the database does not take it."""
        mark = secrets.token_hex(8)
        with reachable():
            probe = self.database["usage"]  # ours, and emptied by itself
            try:
                probe.update_one({"_id": "probe"}, {"$set": {"mark": mark, "day": _now()}}, upsert=True)
            except DuplicateKeyError as error:  # also of two who make the document at once
                if "_id" not in str(error):
                    raise StoreUnavailable(OTHER_INDEX) from None
            if probe.find_one({"_id": "probe"}) is None:
                raise StoreUnavailable("The database does not keep what is written.")

    def server_time(self) -> datetime:
        """The clock of the database server (aware). Raises StoreUnavailable, LlmtrackError when it does not tell."""
        with reachable():  # a command knows nothing of the client's options: its times would be naive
            told = partial(self.client.admin.command, codec_options=self.client.codec_options)
            try:
                found = told("hello").get("localTime")
            except OperationFailure as error:
                if error.code != _NO_SUCH_COMMAND:
                    raise
                found = told("isMaster").get("localTime")  # its name before MongoDB 4.4
        if not isinstance(found, datetime):
            raise LlmtrackError("The database server does not tell its time.", "Use MongoDB, or the embedded server.")
        return found

    def ensure_indexes(self) -> None:
        """Create what is missing; several processes may do so at the same time.

        Raises LlmtrackError when the documents already there are somebody else's, or a session_id stands twice.
        """
        with reachable():
            refuse_foreign(self.sessions)
        indexes.ensure(self.sessions)

    def allows_parts(self) -> bool:
        """Whether a session may have several documents."""
        return indexes.has_unique(self.sessions, indexes.SEVERAL)

    def is_unique(self) -> bool:
        """Whether an index holds one document a session."""
        return indexes.has_unique(self.sessions, indexes.ONE)

    def allow_parts(self) -> None:
        """Make room for a session's second document, once."""
        indexes.allow_parts(self.sessions)

    def size(self) -> int:
        """Bytes of all documents."""
        with reachable():
            return int(self.database.command("dbStats")["dataSize"])

    def is_embedded(self) -> bool:
        """Whether the server is the embedded one, which reads whole documents fastest."""
        return "secantusVersion" in self.client.admin.command("buildInfo")

    def unmarked(self, query: Document) -> list[Any]:
        """The session_ids of several documents of which the first does not say so.

        Where a unique index holds one document a session there are none.
        """
        if self.is_unique():
            return []
        with reachable():
            second = self.to_read.find(both(query, {"part": {"$gte": 1}}), {"session_id": 1})
            several = [document["session_id"] for document in second if "session_id" in document]
            first = {"session_id": {"$in": several}, "part": None, "ended_by": {"$ne": CONTINUED}}
            return [each["session_id"] for each in self.to_read.find(first, {"session_id": 1})] if several else []

    def start(self, document: Document) -> Document:
        """Insert a session; return it, or the one that is there already under this session_id, or was archived."""
        if left := self._left(document["session_id"]):
            return left
        now = _now()
        new = {
            "_id": document["session_id"],  # unique even where the index on session_id could not be made
            **document,
            "end_time": None,
            "events": [],
            "schema_version": SCHEMA_VERSION,
            "event_count": 0,
            "last_n": 0,
            "received": [],
            "bytes": 0,
            "rev": 0,
            "updated_at": now,
        }
        with reachable(writing=True):
            try:
                self.sessions.insert_one(new)
            except DuplicateKeyError:
                same = {"session_id": document["session_id"], "part": None}
                if known := self.sessions.find_one(same, {"_id": 0, "events": 0}):
                    return known
                raise StoreUnavailable(OTHER_INDEX, "Drop it: session_id alone is unique.") from None
        return new

    def append(
        self,
        session_id: str,
        events: Iterable[Document],
        *,
        end: datetime | None = None,
        extra: Document | None = None,
        once: str | None = None,
        claim: Claim | None = None,
    ) -> Appended:
        """Store the events that are new, in order of t, and end the session when `end` is given.

        An event with `n` is stored once; one without (a server's own) always, or with the key `once` (of the whole
        batch) once. A session that had ended by silence is open again. `extra` holds further fields to set. Raises
        UnknownSession, NotTheirs when `claim` does not open the session, StoreUnavailable.
        """
        appended, allowed = self.append_all(session_id, [Given(list(events), end, extra, once, claim)])
        if not allowed:
            raise NotTheirs("token: it does not belong to this session.", "Start another one.")
        return appended

    def append_all(self, session_id: str, batches: Sequence[Given]) -> tuple[Appended, int]:
        """As `append` of each, in one write; and how many of the batches may write to this session.

        The others are left out.
        """
        count = sum(len(given.events) for given in batches)
        for attempt in range(_TRIES):
            head = self._newest(session_id)
            if head is None or head.get("ended_by") == ARCHIVED:
                left = self._left(session_id)
                if left is None:
                    raise UnknownSession(f"No session {session_id!r}.", "Start it first: POST /api/session/start.")
                wanted = change(left, batches, _now())
                if wanted.update is None:
                    return Appended(0, count), wanted.allowed
                self._come_back(left)
                continue
            if head.get("ended_by") == CONTINUED:  # whoever closed it did not come to write the next one
                self._go_on(head)
                continue
            fresh, size, update, allowed = change(head, batches, _now())
            full = size > 0 and head.get("bytes", 0) > 0 and head["bytes"] + size > PART_BYTES
            written = None if full else update is None or self._write(head, update)
            if written:
                return Appended(fresh, count - fresh), allowed
            if written is None:
                if head.get("bytes") == 0:  # it is empty: the next one would hold no more
                    raise NeverStored(f"Events of {size:,} bytes at once fit into no document.", "Send fewer.")
                if self._write(head, closing(head, _now())):
                    self._go_on(head)
                continue
            time.sleep(_chance.uniform(0, 0.002 * min(attempt, 25)))  # somebody else wrote: step aside
        raise StoreUnavailable("A session is written to by too many at once.", "Try again.")

    def _newest(self, session_id: str) -> Document | None:
        """The head of the document that a session is written to, with what the first one says of its start."""
        with reachable():
            found = list(self.sessions.find({"session_id": session_id}, dict.fromkeys(HEAD, 1)))
        if not found:
            return None
        # few, and not every server sorts without an index
        return max(found, key=part_of) | {"start_proof": min(found, key=part_of).get("start_proof")}

    def _write(self, head: Document, update: Document) -> bool | None:
        """Whether the document was as in `head` and is written now; None when it would become too large."""
        with reachable(writing=True):
            try:
                return self.sessions.update_one({"_id": head["_id"], "rev": head.get("rev")}, update).matched_count > 0
            except DuplicateKeyError:
                raise StoreUnavailable(OTHER_INDEX, "Drop it: session_id alone is unique.") from None
            except OperationFailure as error:
                if error.code in TOO_LARGE:
                    return None
                raise

    def _go_on(self, closed: Document) -> None:
        """Insert the document after one that is closed, unless somebody else did."""
        self.allow_parts()
        with reachable(), contextlib.suppress(DuplicateKeyError):
            full = self.sessions.find_one({"_id": closed["_id"]}, {"events": 0})
            if full is not None:
                self.sessions.insert_one(next_part(full))

    def _left(self, session_id: str) -> Document | None:
        """What is left of a session that went to the archive, without _id."""
        with reachable():
            return self.archived.find_one({"_id": session_id}, {"_id": 0})

    def _come_back(self, left: Document) -> None:
        """Insert the document in which an archived session goes on, unless somebody else did."""
        self.allow_parts()
        with reachable(), contextlib.suppress(DuplicateKeyError):
            self.sessions.insert_one(come_back(left) | {"updated_at": _now()})

    def find(self, session_id: str) -> Document | None:
        """The whole session without _id, events in order of t; None when there is none."""
        with reachable():
            parts = by_part(self.sessions.find({"session_id": {"$in": stored_names(session_id)}}, {"_id": 0}))
        return joined(parts) if parts else None

    def owner(self, session_id: str) -> Document | None:
        """user_id, model_group, experiment_id and start_proof of a session, also of an archived one; None when there
        is none.
        """
        fields = dict.fromkeys(("session_id", "user_id", "model_group", "experiment_id", "start_proof"), 1)
        with reachable():
            found = self.sessions.find_one({"session_id": session_id, "part": None}, {"_id": 0, **fields})
            return found or self.archived.find_one({"_id": session_id}, {"_id": 0, **fields})

    def delete(self, session_id: str) -> bool:
        """Delete a session; whether there was one."""
        with reachable():
            self.archived.delete_one({"_id": session_id})
            return self.sessions.delete_many({"session_id": session_id}).deleted_count > 0

    def end_silent(self, silent_after_s: float) -> int:
        """End sessions of llmtrack's own collector that have been silent this long; return how many.

        Their end_time is their last event, or their start. A later event opens them again.
        """
        cutoff = datetime.fromtimestamp(time.time() - silent_after_s, UTC)
        silent = {"end_time": None, "schema_version": {"$gte": 1}, "updated_at": {"$lt": cutoff}}
        ended = 0
        with reachable():
            for head in self.sessions.find(silent, _ENDED):
                over = {"$set": {"end_time": last_sign(head), "ended_by": "timeout"}, "$inc": {"rev": 1}}
                same = {"_id": head["_id"], "rev": head.get("rev"), "end_time": None}
                ended += self.sessions.update_one(same, over).modified_count
        return ended


def _now() -> datetime:
    return datetime.now(UTC)
