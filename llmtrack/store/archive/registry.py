"""Which archives a database has: so that a missing folder is noticed, and a person is forgotten in all of them."""

from __future__ import annotations

import socket
from datetime import datetime

from llmtrack.errors import LlmtrackError
from llmtrack.store.archive.folder import Folder, LocalFolder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.database.sessions import Document, Store, reachable
from llmtrack.store.sources.source import MANIFEST


class Registry:
    """The `archives` collection: {"_id": the archive's id, "folder", "host", "holds_sessions", "lines", "used_at"}."""

    def __init__(self, store: Store) -> None:
        self._archives = store.database["archives"]

    def check(self, folder: Folder, manifest: Manifest) -> None:
        """Raise LlmtrackError when sessions were moved to this folder and its manifest is gone or older than that.

        With one out of a backup, parts that hold the only copy of sessions would look like files of a killed run.
        """
        with reachable():
            known = self._archives.find_one({"folder": location(folder), "holds_sessions": True})
        if not known:
            return
        if not manifest.there:
            raise LlmtrackError(
                f"The archive {folder.name!r} is gone: {known['host']} moved sessions there, and it has no manifest.",
                "Is it mounted? Nothing was changed.",
            )
        if manifest.id == known["_id"] and len(manifest.records) < known.get("lines", 0):
            unnamed = [path for path in folder.files() if path.startswith("month=") and path not in manifest.files]
            if unnamed:
                raise LlmtrackError(
                    f"{folder.at(MANIFEST)!r} is older than the archive: {len(manifest.records):,} of "
                    f"{known['lines']:,} lines; it does not name {unnamed[0]!r}.",
                    "Put its newest version back; nothing was changed.",
                )

    def use(self, folder: Folder, manifest: Manifest, at: datetime) -> None:
        """Note that this is an archive of the database."""
        place = {"folder": location(folder), "host": socket.gethostname(), "used_at": at}
        with reachable():
            self._archives.update_one({"_id": manifest.id}, {"$set": place}, upsert=True)

    def fill(self, manifest: Manifest) -> None:
        """Note that sessions lie there, and how long its manifest is: from now on it may not be missing or older."""
        this = {"_id": manifest.id, "folder": location(manifest.folder)}  # not a copy of it
        with reachable():
            self._archives.update_one(this, {"$set": {"holds_sessions": True, "lines": len(manifest.records)}})

    def all(self) -> list[Document]:
        """Every archive of this database."""
        with reachable():
            return list(self._archives.find({}))


def location(folder: Folder) -> str:
    """The folder's whole path, or its URL without options."""
    return str(folder.path) if isinstance(folder, LocalFolder) else folder.name
