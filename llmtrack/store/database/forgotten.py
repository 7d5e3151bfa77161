"""Whom `forget` erased: what of theirs still waits in a spool somewhere is not stored any more.

The collection `forgotten` holds a hash of each user's and each session's id and when it was erased. MongoDB lets go of
them after KEPT_S: no spool keeps a record longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store

COLLECTION: Final = "forgotten"
KEPT_S: Final = 90 * 24 * 3600
_AT_ONCE: Final = 1000


class Forgotten:
    """The `forgotten` collection of a store. Every method raises StoreUnavailable when the database does not answer."""

    def __init__(self, store: Store) -> None:
        self._forgotten = store.database[COLLECTION]

    def add(self, users: Iterable[str], session_ids: Iterable[str], at: datetime) -> None:
        """What was written of these until now is not wanted any more."""
        from pymongo import UpdateOne

        keys = [*(_key("user", each) for each in users), *(_key("session", each) for each in session_ids)]
        with reachable():
            self._forgotten.create_index([("at", 1)], expireAfterSeconds=KEPT_S)
            for first in range(0, len(keys), _AT_ONCE):
                some = keys[first : first + _AT_ONCE]
                self._forgotten.bulk_write([UpdateOne({"_id": key}, {"$set": {"at": at}}, upsert=True) for key in some])

    def is_empty(self) -> bool:
        """Whether nobody was forgotten."""
        with reachable():
            return self._forgotten.find_one({}, {"_id": 1}) is None

    def since(self, session_id: str, users: Iterable[str]) -> datetime | None:
        """When the session or one of the users was erased last; None when none was."""
        keys = [_key("session", session_id), *(_key("user", each) for each in users)]
        with reachable():
            found = [each["at"] for each in self._forgotten.find({"_id": {"$in": keys}})]
        return max(found).astimezone(UTC) if found else None


def _key(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "replace")).hexdigest()
