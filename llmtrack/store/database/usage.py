"""Tokens of models by user and day: one small document each in the collection `usage`.

    { "_id": "<day>:<user_id>", "user_id", "day": Date (midnight UTC), "tokens", "queries" }

A day's documents are of no use when it is over: an index lets MongoDB delete them a week later.
"""

from __future__ import annotations

from datetime import UTC, datetime

from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store

KEPT_S = 7 * 24 * 3600


class Usage:
    """The `usage` collection of a store.

    Every method raises StoreUnavailable when the database does not answer, within `timeout_s` when it is given.
    """

    def __init__(self, store: Store, timeout_s: float | None = None) -> None:
        self._usage, self._timeout_s = store.database["usage"], timeout_s

    def ensure_indexes(self) -> None:
        """Create the index by which MongoDB lets go of days long past."""
        with reachable(within_s=self._timeout_s):
            self._usage.create_index([("day", 1)], expireAfterSeconds=KEPT_S)

    def tokens(self, user_id: str, day: datetime) -> int:
        """Tokens that the user has spent on that day (midnight UTC)."""
        with reachable(within_s=self._timeout_s):
            found = self._usage.find_one({"_id": _key(user_id, day)}, {"tokens": 1})
        return int(found["tokens"]) if found else 0

    def add(self, user_id: str, day: datetime, tokens: int) -> None:
        """Count one question and its tokens."""
        with reachable(within_s=self._timeout_s):
            self._usage.update_one(
                {"_id": _key(user_id, day)},
                {"$inc": {"tokens": tokens, "queries": 1}, "$setOnInsert": {"user_id": user_id, "day": day}},
                upsert=True,
            )


def midnight(moment: datetime) -> datetime:
    """The first moment of the day (UTC)."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _key(user_id: str, day: datetime) -> str:
    return f"{day:%Y-%m-%d}:{user_id}"
