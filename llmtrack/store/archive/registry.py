"""Which archives a database has: so that a missing folder is noticed, and a person is forgotten in all of them."""

from __future__ import annotations

import socket
from datetime import datetime

from llmtrack.errors import LlmtrackError
from llmtrack.store.archive.folder import Folder, LocalFolder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.mongo import Document, Store, reachable


class Registry:
    """The `archives` collection: {"_id": the archive's id, "folder", "host", "holds_sessions", "used_at"}."""

    def __init__(self, store: Store) -> None:
        self._archives = store.database["archives"]

    def check(self, folder: Folder, manifest: Manifest) -> None:
        """Raise LlmtrackError when sessions were moved to this folder and its manifest is gone."""
        if manifest.there:
            return
        with reachable():
            known = self._archives.find_one({"folder": location(folder), "holds_sessions": True})
        if known:
            raise LlmtrackError(
                f"The archive {folder.name!r} is gone: {known['host']} moved sessions there, and it has no manifest.",
                "Is it mounted? Nothing was changed.",
            )

    def use(self, folder: Folder, manifest: Manifest, at: datetime) -> None:
        """Note that this is an archive of the database."""
        place = {"folder": location(folder), "host": socket.gethostname(), "used_at": at}
        with reachable():
            self._archives.update_one({"_id": manifest.id}, {"$set": place}, upsert=True)

    def fill(self, manifest: Manifest) -> None:
        """Note that sessions lie there: from now on it may not be missing."""
        with reachable():
            self._archives.update_one({"_id": manifest.id}, {"$set": {"holds_sessions": True}})

    def all(self) -> list[Document]:
        """Every archive of this database."""
        with reachable():
            return list(self._archives.find({}))


def location(folder: Folder) -> str:
    """The folder's whole path, or its URL without options."""
    return str(folder.path) if isinstance(folder, LocalFolder) else folder.name
