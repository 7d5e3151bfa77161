"""Naming parts anew that an archive's manifest does not name, as it was lost or is older than they are.

Every document of such a part is read and has to be a session, else the file is set aside in `_unknown/`, as is a part
of which the archive has everything. Nothing is removed. Of two versions of a session the one counts that has all events
of the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from bson.errors import BSONError

from llmtrack.errors import LlmtrackError
from llmtrack.session.document import start_ms, unusable
from llmtrack.session.ids import name
from llmtrack.store.archive.folder import Folder
from llmtrack.store.archive.lease import Lease, check_clock
from llmtrack.store.archive.manifest import Manifest, Part
from llmtrack.store.archive.part import ARCHIVE_ID, file_rows, hashed, lookup, open_file, rows, write_ids
from llmtrack.store.archive.registry import Registry
from llmtrack.store.archive.unknown import unknown_parts
from llmtrack.store.archive.versions import continues
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.continuation import decode
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.source import MANIFEST


@dataclass
class Adopted:
    """What became of unknown parts. `conflicts`: sessions of which the archive holds another version, which counts."""

    parts: list[str] = field(default_factory=list)
    sessions: int = 0
    set_aside: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


@dataclass
class _Read:
    """A part as its file tells it; the documents of a row are read again where they are needed."""

    part: Part
    ids: list[str]
    starts: list[float]


def adopt(store: Store, folder: Folder, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Adopted:
    """Name every unknown part of `folder`, verified, or set it aside.

    A lost manifest is begun anew, under the id that the parts hold. Raises LeaseTaken, StoreUnavailable, LlmtrackError.
    """
    check_clock(store, clock())
    done, registry = Adopted(), Registry(store)
    if not folder.exists():
        raise LlmtrackError(f"There is no folder {folder.name!r}.", "Is it mounted?")
    with Lease(store) as lease, folder.lock():
        manifest = Manifest(folder)
        unknown = unknown_parts(folder, manifest, store)
        if not (unknown or manifest.there):
            raise LlmtrackError(f"{folder.name!r} holds no part of an archive.", "Give the folder of an archive.")
        if unknown and not manifest.there:
            if folder.size(MANIFEST) is not None:
                folder.set_aside(MANIFEST)
            manifest.begin(clock(), _id_of(folder, unknown))
        for path in unknown:
            lease.renew()
            _take(folder, manifest, path, clock, done)
        registry.use(folder, manifest, clock())
        registry.fill(manifest)
    return done


def _take(folder: Folder, manifest: Manifest, path: str, clock: Callable[[], datetime], done: Adopted) -> None:
    try:
        found = _read(folder, path)
    except (LlmtrackError, BSONError, ValueError, TypeError, KeyError):
        done.set_aside.append(folder.set_aside(path))
        return
    drops, conflicts = _versions(folder, manifest, found)
    done.conflicts += conflicts
    if len(drops[path]) == found.part.sessions:
        done.set_aside.append(folder.set_aside(path))
        return
    noted = [{"path": each, "rows": sorted(numbers)} for each, numbers in drops.items() if numbers]
    record = {"record": "part", **asdict(found.part), "keep": True, "adopted": True}
    manifest.add(record | {"drops": noted}, clock())
    done.parts.append(path)
    done.sessions += found.part.sessions - len(drops[path])


def _read(folder: Folder, path: str) -> _Read:
    """Everything that a manifest says of a part, from its file. Raises when it is not one, or damaged."""
    ids: dict[int, str] = {}
    starts: dict[int, float] = {}
    events = 0
    for row in file_rows(folder, path):
        document = decode(row.raw, COLUMNS)
        if row.number in ids or unusable(document):
            raise ValueError(path)
        ids[row.number] = str(name(document["session_id"]))
        starts[row.number] = start_ms(document) or 0
        events += len(document.get("events") or ())
    if not ids or sorted(ids) != list(range(len(ids))):
        raise ValueError(path)
    inorder = [ids[number] for number in sorted(ids)], [starts[number] for number in sorted(starts)]
    size, sha256 = hashed(folder, path)
    index = write_ids(folder, path, *inorder)
    times = min(inorder[1]), max(inorder[1])
    return _Read(Part(path, len(ids), events, *times, size, sha256, index.size, index.sha256), *inorder)


def _versions(folder: Folder, manifest: Manifest, found: _Read) -> tuple[dict[str, list[int]], list[str]]:
    """The rows that do not count, by path, as another version of their session does; and ids that differ."""
    drops: dict[str, list[int]] = defaultdict(list)
    conflicts: list[str] = []
    path, wanted = found.part.path, pa.array(found.ids, pa.string())
    for known, state in manifest.parts.items():
        hits = dict(lookup(folder, state, wanted))
        if not hits:
            continue
        mine = {each: number for number, each in enumerate(found.ids) if each in hits}
        new = {row.number: row for row in rows(folder, found.part, mine.values())}
        old = {row.number: row for row in rows(folder, state.part, hits.values())}
        for session_id, number in mine.items():
            newer, older = new[number], old[hits[session_id]]
            if continues(newer.raw, older.raw) and newer.raw != older.raw:
                drops[known].append(older.number)
                continue
            drops[path].append(number)
            if not continues(older.raw, newer.raw):
                conflicts.append(session_id)
    return drops, conflicts


def _id_of(folder: Folder, paths: list[str]) -> str:
    """The id that all these parts hold; empty when they hold several, or none can be read."""
    found = set()
    for path in paths:
        try:
            with open_file(folder, path) as file:
                found.add((file.schema_arrow.metadata or {}).get(ARCHIVE_ID, b"").decode())
        except (LlmtrackError, UnicodeDecodeError):
            continue
    return found.pop() if len(found) == 1 else ""
