"""Files of an archive that its manifest does not name: left by a killed run, or the only copy of sessions.

A manifest may be lost, empty, or older than the archive; then whole parts are in no line of it. Nothing that holds
sessions is removed unless the manifest says that a run began to write it, and every session of it is in the database or
in a part that the manifest names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from llmtrack.errors import LlmtrackError
from llmtrack.session.ids import name
from llmtrack.store.archive.folder import LOCK, UNKNOWN, Folder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.part import lookup, open_file, readable
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.query import stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.source import MANIFEST

OURS: Final = re.compile(r"month=[\d-]+/[._]{0,2}part-[^/]+\.(parquet|ids)(\.writing)?")
_AT_ONCE: Final = 500  # ids that the database is asked for


def unnamed(folder: Folder, manifest: Manifest) -> list[str]:
    """The files that the manifest does not name, without those that were set aside."""
    named = {MANIFEST, LOCK} | manifest.files
    return [path for path in folder.files() if path not in named and not path.startswith(UNKNOWN)]


def unknown_parts(folder: Folder, manifest: Manifest, store: Store | None = None) -> list[str]:
    """Of these the parts that may hold the only copy of sessions; `store` is asked for what killed runs left."""
    parts = [path for path in unnamed(folder, manifest) if path.endswith(".parquet") and OURS.fullmatch(path)]
    return [path for path in parts if not _is_left_over(folder, manifest, path, store)]


def refuse_unknown(store: Store, folder: Folder, manifest: Manifest) -> None:
    """Raise LlmtrackError when there are such parts."""
    if found := unknown_parts(folder, manifest, store):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise LlmtrackError(
            f"{folder.at(found[0])!r}{more}: the manifest does not name it, and it may hold the only copy of sessions.",
            f"Put the newest {MANIFEST} back, or: llmtrack archive --adopt --to {folder.name}",
        )


def _is_left_over(folder: Folder, manifest: Manifest, path: str, store: Store | None) -> bool:
    """Whether a run began to write this part and was killed, so that every session of it is somewhere else."""
    if path in manifest.replaced:
        return True
    if path not in manifest.begun or store is None:
        return False
    try:
        ids = _ids(folder, path)
    except LlmtrackError:
        return False
    left = ids - set(_in_database(store, ids))
    wanted = pa.array(sorted(left), pa.string())
    for state in manifest.parts.values() if left else ():
        left -= {session_id for session_id, _ in lookup(folder, state, wanted)}
    return not left


def _ids(folder: Folder, path: str) -> set[str]:
    with open_file(folder, path) as file, readable(folder, path):
        return set(file.read(["session_id"])["session_id"].to_pylist())


def _in_database(store: Store, ids: set[str]) -> Iterator[str]:
    everything = sorted(ids)
    for first in range(0, len(everything), _AT_ONCE):
        stored = [each for session_id in everything[first : first + _AT_ONCE] for each in stored_names(session_id)]
        with reachable():
            for found in store.sessions.find({"session_id": {"$in": stored}}, {"session_id": 1, "_id": 0}):
                yield str(name(found["session_id"]))
