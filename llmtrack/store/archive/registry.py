"""Which archives a database has: so that a missing folder is noticed, and a person is forgotten in all of them."""

from __future__ import annotations

import socket
from datetime import datetime

from llmtrack.errors import LlmtrackError
from llmtrack.store.archive.folder import Folder, LocalFolder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.unknown import unknown_parts
from llmtrack.store.database.driver import Document, reachable
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.source import MANIFEST


class Registry:
    """The `archives` collection: {"_id": the archive's id, "folder", "host", "holds_sessions", "lines", "used_at"}.

    `copies` are other places at which it was used.
    """

    def __init__(self, store: Store) -> None:
        self._archives = store.database["archives"]

    def check(self, folder: Folder, manifest: Manifest) -> None:
        """Raise LlmtrackError when sessions were moved to this archive and its manifest is gone or older than that.

        An archive is told by its id, wherever it lies; one without manifest has none, and is told by its place.
        """
        this = {"_id": manifest.id} if manifest.there else {"folder": location(folder)}
        with reachable():
            known = self._archives.find_one({**this, "holds_sessions": True})
        if not known:
            return
        if not manifest.there:
            raise LlmtrackError(
                f"The archive {folder.name!r} is gone: {known['host']} moved sessions there, and it has no manifest.",
                f"Is it mounted? If only its manifest is lost: llmtrack archive --adopt --to {folder.name}",
            )
        if len(manifest.records) < known.get("lines", 0) and (found := unknown_parts(folder, manifest)):
            raise LlmtrackError(
                f"{folder.at(MANIFEST)!r} is older than the archive: {len(manifest.records):,} of "
                f"{known['lines']:,} lines; it does not name {found[0]!r}.",
                f"Put its newest version back, or: llmtrack archive --adopt --to {folder.name}",
            )

    def use(self, folder: Folder, manifest: Manifest, at: datetime) -> None:
        """Note that this is an archive of the database, and where it lay before: it may have been copied, not moved."""
        here = location(folder)
        place = {"folder": here, "host": socket.gethostname(), "used_at": at}
        with reachable():
            known = self._archives.find_one({"_id": manifest.id}) or {}
            before = {*known.get("copies", []), known.get("folder", here)} - {here}
            places = {"$set": place | {"copies": sorted(before)}}
            self._archives.update_one({"_id": manifest.id}, places, upsert=True)

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
