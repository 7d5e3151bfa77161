"""Reading a whole archive again, against its manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.store.archive.folder import LOCK, Folder
from llmtrack.store.archive.manifest import Manifest, Part
from llmtrack.store.archive.part import damage, rows
from llmtrack.store.sources.source import MANIFEST


@dataclass
class Verified:
    """What was found: sessions that count, what is wrong, named by file, and files that the manifest does not name."""

    parts: int = 0
    sessions: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def open_manifest(folder: Folder) -> Manifest:
    """The manifest of an archive that is there. Raises UsageError when there is none."""
    manifest = Manifest(folder)
    if not manifest.there:
        raise UsageError(f"There is no archive at {folder.name!r}: it holds no {MANIFEST}.", "Give its folder.")
    return manifest


def verify(folder: Folder, progress: Callable[[int], None] = lambda sessions: None) -> Verified:
    """Read every byte and every document of every part. Raises LlmtrackError when the manifest itself is damaged."""
    found, manifest = Verified(), open_manifest(folder)
    for state in manifest.parts.values():
        found.parts += 1
        found.sessions += state.live
        found.bytes += state.part.bytes + state.part.ids_bytes
        found.damaged += damage(folder, state.part) or _unreadable(folder, state.part)
        progress(found.sessions)
    found.unnamed = sorted(set(folder.files()) - manifest.files - {MANIFEST, LOCK})
    return found


def _unreadable(folder: Folder, part: Part) -> list[str]:
    try:
        count = sum(1 for _ in rows(folder, part))
    except LlmtrackError as error:
        return [error.message]
    return [] if count == part.sessions else [f"{part.path}: {count:,} sessions instead of {part.sessions:,}"]
