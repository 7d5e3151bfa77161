"""What a run did, and the end of what an earlier one left undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from llmtrack.errors import LlmtrackError
from llmtrack.session.tally import Broken
from llmtrack.store.archive.deletion import delete_unchanged
from llmtrack.store.archive.folder import Folder, Step, nothing
from llmtrack.store.archive.lease import CLOCK_S, Lease
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.part import damage, rows
from llmtrack.store.archive.unknown import OURS, refuse_unknown, unnamed
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.source import MANIFEST


@dataclass
class Moved:
    """What a run did, with sessions without activity since `cutoff`.

    Those that were archived already are deleted only; late ones stay in the database.
    """

    sessions: int = 0
    events: int = 0
    bytes: int = 0
    parts: int = 0
    deleted: int = 0
    late: int = 0
    conflicts: list[str] = field(default_factory=list)
    unreadable: Broken = field(default_factory=Broken)
    cleaned: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    completed: int = 0  # parts of an earlier run
    stopped: str | None = None
    cutoff: datetime | None = None
    seconds: float = 0.0


def tidy(store: Store, folder: Folder, moved: Moved, now: datetime) -> None:
    """Remove what killed runs left. Files that are not llmtrack's are left and noted.

    Raises LlmtrackError when there are parts of which nobody knows whether they hold the only copy of sessions.
    """
    manifest = Manifest(folder)
    latest = manifest.latest()
    if latest is not None and (latest - now).total_seconds() > CLOCK_S:
        raise LlmtrackError(
            f"{folder.at(MANIFEST)!r} was last written at {latest:%Y-%m-%d %H:%M} UTC, which is in the future.",
            "Set this machine's clock; nothing was moved.",
        )
    refuse_unknown(store, folder, manifest)
    for path in unnamed(folder, manifest):
        if OURS.fullmatch(path):
            folder.remove(path)
        (moved.cleaned if OURS.fullmatch(path) else moved.foreign).append(path)


def complete(
    store: Store, folder: Folder, lease: Lease, clock: Callable[[], datetime], moved: Moved, step: Step = nothing
) -> None:
    """Delete from the database what parts of a killed run hold. A session that is gone already was deleted by it."""
    manifest = Manifest(folder)
    for state in [state for state in manifest.parts.values() if state.pending]:
        if wrong := damage(folder, state.part):
            raise LlmtrackError(f"{folder.at(wrong[0])}.", "Nothing was deleted from the database.")
        live = (row for row in rows(folder, state.part) if row.number not in state.dropped)
        deleted = delete_unchanged(store, live, lease, step)
        note_deletion(manifest, state.part.path, deleted.sessions, deleted.changed, clock(), step)
        moved.completed += 1
        moved.deleted += deleted.sessions
        moved.late += deleted.late


def note_deletion(manifest: Manifest, path: str, sessions: int, drops: list[int], at: datetime, step: Step) -> None:
    dropped = [{"path": path, "rows": sorted(drops)}] if drops else []
    manifest.add({"record": "deleted", "path": path, "sessions": sessions, "drops": dropped}, at)
    step("deletion recorded")
