"""What a process leaves that is killed between two of its steps: the state of its database and of its archive.

Whatever a step did is in the database or in files by the time the next step begins. So one run, stopped after every
step for a copy of both, shows what every kill leaves, and no process has to be started and killed for each of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from llmtrack.store.database.sessions import Store
from tests.store.archive.world import RAW

COLLECTIONS: Final = ("sessions", "chats", "usage", "archives", "archived", "leases", "forgets")
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
MANIFEST: Final = "_manifest.jsonl"


@dataclass(frozen=True)
class Crash:
    """What is there after a step, and what the database had acknowledged to others by then."""

    after: str
    collections: dict[str, list[RawBSONDocument]]
    files: dict[str, bytes]
    acknowledged: Any = None

    def put(self, store: Store, folder: Path) -> None:
        """Make it so; the lease of the process that died has run out by now."""
        _empty(store, folder)
        for name, documents in self.collections.items():
            if documents:
                store.database[name].insert_many(documents)
        store.database["leases"].update_many({}, {"$set": {"until": _LONG_AGO}})
        folder.mkdir(exist_ok=True)
        for path, content in self.files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)


@dataclass
class Crashes:
    """Takes a copy after every step of a run; `meanwhile` is what others do before it, and what they were told."""

    store: Store
    folder: Path
    meanwhile: Callable[[], Any] = lambda: None
    found: list[Crash] = field(default_factory=list)

    def step(self, name: str) -> None:
        acknowledged = self.meanwhile()
        collections = {each: _documents(self.store, each) for each in COLLECTIONS}
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != ".lock"
        }
        self.found.append(Crash(f"{len(self.found) + 1}, {name}", collections, files, acknowledged))

    @property
    def all(self) -> list[Crash]:
        """Those after each step, and those in the middle of writing a line of the manifest."""
        torn = [_torn(before, crash) for before, crash in pairwise(self.found) if crash.after.endswith("recorded")]
        return [*self.found, *torn]


def _torn(before: Crash, crash: Crash) -> Crash:
    manifest = crash.files[MANIFEST]
    last = len(manifest) - manifest.rfind(b"\n", 0, -1)
    files = before.files | {MANIFEST: manifest[: -last // 2]}
    return Crash(f"{crash.after}, in part", before.collections, files, before.acknowledged)


def fresh(store: Store, folder: Path, documents: list[dict[str, Any]]) -> set[str]:
    """Nothing but these sessions; their ids."""
    _empty(store, folder)
    if documents:
        store.sessions.insert_many(documents)
    return {document["session_id"] for document in documents}


def _empty(store: Store, folder: Path) -> None:
    for name in COLLECTIONS:
        store.database[name].delete_many({})
    shutil.rmtree(folder, ignore_errors=True)


def _documents(store: Store, name: str) -> list[RawBSONDocument]:
    return list(store.database[name].with_options(codec_options=RAW).find({}))
