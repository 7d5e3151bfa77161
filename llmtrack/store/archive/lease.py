"""The lease: which process may move sessions of a database. It lies in the database, so that hosts see each other's.

Whoever holds it renews it; one that was not renewed in time is stale and taken over. Times are the database server's,
so that hosts whose clocks differ agree.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from datetime import datetime, timedelta
from typing import Final, Self

from pymongo.errors import DuplicateKeyError

from llmtrack.errors import LlmtrackError
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store

LEASE_S: Final = 300.0
CLOCK_S: Final = 300.0  # clocks that differ by more are wrong
_ID: Final = "archive"


class LeaseTaken(LlmtrackError):
    """Another process is moving sessions of this database."""


def check_clock(store: Store, now: datetime) -> None:
    """Raise LlmtrackError unless `now` (aware) is about the time that the database server has."""
    ahead = (now - store.server_time()).total_seconds()
    if abs(ahead) > CLOCK_S:
        raise LlmtrackError(
            f"This machine's clock is {timedelta(seconds=round(abs(ahead)))} {'ahead of' if ahead > 0 else 'behind'} "
            "the database server's.",
            "Set the clock; nothing was moved.",
        )


class Lease:
    """Held from entering the block until leaving it. Raises LeaseTaken when another process holds it."""

    def __init__(self, store: Store, seconds: float = LEASE_S) -> None:
        self._leases = store.database["leases"]
        self._store = store
        self._seconds = seconds
        self.token = secrets.token_hex(8)

    def __enter__(self) -> Self:
        self._server, self._taken = self._store.server_time(), time.monotonic()
        mine = {"token": self.token, "host": socket.gethostname(), "pid": os.getpid(), "since": self._server}
        stale = {"_id": _ID, "until": {"$lt": self._server}}
        with reachable():
            if not self._leases.update_one(stale, {"$set": mine | {"until": self._until()}}).matched_count:
                try:
                    self._leases.insert_one({"_id": _ID, **mine, "until": self._until()})
                except DuplicateKeyError:
                    raise LeaseTaken(self._who(), "Wait for it, or give --skip-if-running.") from None
        self._renewed = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        with reachable():
            self._leases.delete_one({"_id": _ID, "token": self.token})

    def renew(self, *, now: bool = False) -> None:
        """Renew it when a part of its time is over, or `now`. Raises LlmtrackError when it was lost.

        The write is journalled, and with it every earlier one of this database.
        """
        if not now and time.monotonic() - self._renewed < self._seconds / 5:
            return
        mine = {"_id": _ID, "token": self.token}
        with reachable():
            held = self._leases.update_one(mine, {"$set": {"until": self._until()}}).matched_count
        if not held:
            raise LlmtrackError(
                "This run stood still for so long that another one took its place.", "Nothing is lost; run it again."
            )
        self._renewed = time.monotonic()

    def _until(self) -> datetime:
        return self._server + timedelta(seconds=time.monotonic() - self._taken + self._seconds)

    def _who(self) -> str:
        held = self._leases.find_one({"_id": _ID}) or {}
        since = held.get("since")
        when = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if isinstance(since, datetime) else ""
        who = f"process {held.get('pid')} on {held.get('host')}"
        return f"Another run of archive, restore or forget is at work: {who}{when}."
