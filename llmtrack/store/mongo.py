"""Sessions in MongoDB: start, append, end, find, delete; indexes.

Every write of a session is one conditional update: it holds only if the document's `rev` is still the one that was
read, else it is tried anew. So each event number n is stored once, whatever is retried, overtaken or sent twice.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pymongo import MongoClient, WriteConcern
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from llmtrack.errors import LlmtrackError, StoreUnavailable, UnknownSession, UsageError
from llmtrack.model import SCHEMA_VERSION
from llmtrack.store import ranges

if TYPE_CHECKING:
    from llmtrack.config import Settings

DEFAULT_DATABASE = "llm_experiment"
INDEXES: tuple[tuple[list[tuple[str, int]], bool], ...] = (  # keys, unique
    ([("session_id", 1)], True),
    ([("user_id", 1)], False),
    ([("model_group", 1), ("start_time", 1)], False),
    ([("end_time", 1)], False),
    ([("experiment_id", 1)], False),
)
_HEAD = ("rev", "received", "event_count", "last_n", "last_t", "start_time", "end_time", "ended_by", "applied")
_TRIES = 100
_KEYS_KEPT = 100  # of batches that are stored once; a sender tries again long before as many others came

Document = dict[str, Any]


class Appended(NamedTuple):
    """How many events an append stored, and how many it had already."""

    accepted: int
    duplicates: int


def connect(settings: Settings) -> Store:
    """The store that `settings` name: MONGODB_URI, else the embedded server (started or joined)."""
    if settings.mongodb_uri is not None:
        return Store(settings.mongodb_uri.get_secret_value(), settings.database)
    from llmtrack.store import embedded

    return Store(embedded.ensure(settings.data_dir, settings.embedded_linger_s), settings.database)


class Store:
    """One database: its `sessions`, and its `chats` for chats.py. Safe to share between threads."""

    def __init__(self, uri: str, database: str | None = None, *, timeout_s: float = 5) -> None:
        """Connects on first use. Raises UsageError when `uri` is not a MongoDB URI."""
        try:
            options: dict[str, Any] = {"tz_aware": True, "tzinfo": UTC, "appname": "llmtrack"}
            if "serverselectiontimeoutms" not in uri.lower():
                options["serverSelectionTimeoutMS"] = round(timeout_s * 1000)
            self.client: MongoClient[Document] = MongoClient(uri, **options)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise UsageError(f"This is not a MongoDB URI that works: {error}.", "Check MONGODB_URI.") from None
        chosen = self.client.get_default_database(database or DEFAULT_DATABASE)
        if database:
            chosen = self.client[database]
        # journalled: what was acknowledged survives a killed server
        self.database = chosen.with_options(write_concern=_journalled(chosen.write_concern.document))
        self.sessions = self.database["sessions"]

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ping(self) -> None:
        """Raise StoreUnavailable unless the server answers."""
        with reachable():
            self.client.admin.command("ping")

    def ensure_indexes(self) -> None:
        """Create what is missing; several processes may do so at the same time.

        Raises LlmtrackError when the data already there forbids the unique index on session_id.
        """
        for keys, unique in INDEXES:
            try:
                with reachable():
                    self.sessions.create_index(keys, unique=unique)
            except DuplicateKeyError as error:
                raise LlmtrackError(
                    f"Some session_id stands more than once in {self.database.name}.sessions: {_first_line(error)}.",
                    "Remove or rename the copies, then start again.",
                ) from None
            except OperationFailure as error:
                if error.code not in (85, 86):  # an equal index under another name or with other options serves too
                    raise

    def start(self, document: Document) -> Document:
        """Insert a session; return it, or the one that is there already under this session_id."""
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
            "rev": 0,
            "updated_at": now,
        }
        with reachable():
            try:
                self.sessions.insert_one(new)
            except DuplicateKeyError:
                known = self.sessions.find_one({"session_id": document["session_id"]}, {"_id": 0, "events": 0})
                return known or new
        return new

    def append(
        self,
        session_id: str,
        events: Iterable[Document],
        *,
        end: datetime | None = None,
        extra: Document | None = None,
        once: str | None = None,
    ) -> Appended:
        """Store the events that are new, in order of t, and end the session when `end` is given.

        An event with `n` is stored once; one without (the server's own) always, but a batch with the key `once` is
        stored once as a whole. A session that had ended by silence is open again. `extra` holds further fields to
        set. Raises UnknownSession, StoreUnavailable.
        """
        batch = list(events)
        for attempt in range(_TRIES):
            with reachable():
                head = self.sessions.find_one({"session_id": session_id}, dict.fromkeys(_HEAD, 1))
                if head is None:
                    raise UnknownSession(f"No session {session_id!r}.", "Start it first: POST /api/session/start.")
                if once and once in (head.get("applied") or []):
                    return Appended(0, len(batch))
                fresh, received = _new_events(head, batch)
                done = Appended(len(fresh), len(batch) - len(fresh))
                if not fresh and end is None and extra is None:
                    return done
                update = _update(head, fresh, received, end, extra or {})
                if once:
                    update.setdefault("$push", {})["applied"] = {"$each": [once], "$slice": -_KEYS_KEPT}
                same = {"_id": head["_id"], "rev": head.get("rev")}
                if self.sessions.update_one(same, update).matched_count:
                    return done
            time.sleep(random.uniform(0, 0.002 * min(attempt, 25)))  # noqa: S311 - somebody else wrote: step aside
        raise StoreUnavailable(f"Session {session_id!r} is written to by too many at once.", "Try again.")

    def find(self, session_id: str) -> Document | None:
        """The whole document without _id, events in order of t; None when there is none."""
        with reachable():
            found = self.sessions.find_one({"session_id": session_id}, {"_id": 0})
        return found

    def owner(self, session_id: str) -> Document | None:
        """user_id, model_group and experiment_id of a session; None when there is none."""
        with reachable():
            fields = {"_id": 0, "session_id": 1, "user_id": 1, "model_group": 1, "experiment_id": 1}
            return self.sessions.find_one({"session_id": session_id}, fields)

    def delete(self, session_id: str) -> bool:
        """Delete a session; whether there was one."""
        with reachable():
            return self.sessions.delete_one({"session_id": session_id}).deleted_count > 0

    def end_silent(self, silent_after_s: float) -> int:
        """End sessions of llmtrack's own collector that have been silent this long; return how many.

        Their end_time is their last event, or their start. A later event opens them again.
        """
        cutoff = datetime.fromtimestamp(time.time() - silent_after_s, UTC)
        silent = {"end_time": None, "schema_version": {"$gte": 1}, "updated_at": {"$lt": cutoff}}
        ended = 0
        with reachable():
            for head in self.sessions.find(silent, dict.fromkeys(_HEAD, 1)):
                last_t = head.get("last_t")
                end = datetime.fromtimestamp(last_t / 1000, UTC) if last_t else head.get("start_time")
                change = {"$set": {"end_time": end, "ended_by": "timeout"}, "$inc": {"rev": 1}}
                same = {"_id": head["_id"], "rev": head.get("rev"), "end_time": None}
                ended += self.sessions.update_one(same, change).modified_count
        return ended


def _journalled(given: Document) -> WriteConcern:
    return WriteConcern(w=given.get("w", "majority"), j=True, wtimeout=given.get("wtimeout"))


def _new_events(head: Document, batch: list[Document]) -> tuple[list[Document], ranges.Ranges]:
    """The events of the batch that are not stored yet, in order of t, and the ranges of n with them."""
    received = head.get("received") or []
    seen: set[int] = set()
    fresh = []
    for event in batch:
        n = event.get("n")
        if n is not None:
            if n in seen or ranges.contains(received, n):
                continue
            seen.add(n)
        fresh.append(event)
    fresh.sort(key=lambda event: (event["t"], event.get("n", 0)))
    return fresh, ranges.add(received, seen)


def _update(
    head: Document, fresh: list[Document], received: ranges.Ranges, end: datetime | None, extra: Document
) -> Document:
    last_t = head.get("last_t")
    values: Document = {"updated_at": _now(), **extra}
    update: Document = {"$set": values, "$inc": {"rev": 1}}
    if fresh:
        push: Document = {"$each": fresh}
        if last_t is None or fresh[0]["t"] < last_t:  # else they go to the end: no need to move what is there
            push["$sort"] = {"t": 1, "n": 1}
        update["$push"] = {"events": push}
        update["$inc"]["event_count"] = len(fresh)
        values["last_t"] = max(last_t or 0, fresh[-1]["t"])
        values["received"] = received
        values["last_n"] = received[-1][1] if received else 0
    if end is not None:
        before = head.get("end_time") if head.get("ended_by") == "page" else None
        values["end_time"] = max(end, before) if isinstance(before, datetime) else end
        values["ended_by"] = "page"
    elif fresh and head.get("ended_by") == "timeout":
        values["end_time"] = None
        update["$unset"] = {"ended_by": ""}
    return update


def _now() -> datetime:
    return datetime.now(UTC)


def _first_line(error: Exception) -> str:
    """The driver's words without its timeouts and its whole topology."""
    return re.split(r" \(configured timeouts|, Timeout: |\n", str(error))[0][:200]


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Turns a database that does not answer into StoreUnavailable."""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout) as error:
        raise StoreUnavailable(
            f"The database does not answer: {_first_line(error)}.", "Check MONGODB_URI and that the server runs."
        ) from None
    except OperationFailure as error:
        if isinstance(error, DuplicateKeyError) or error.code in (85, 86):
            raise
        raise StoreUnavailable(
            f"The database refused: {_first_line(error)}.", "Check the user and its rights in MONGODB_URI."
        ) from None
    except PyMongoError as error:
        raise LlmtrackError(f"The database could not do it: {_first_line(error)}.") from None
