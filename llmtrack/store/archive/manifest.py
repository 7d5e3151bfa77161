"""The manifest: which parts an archive has and which of their rows count. One JSON object a line, only ever added to.

    {"record": "archive", "format": 1, "id"}                       the first line
    {"record": "part", "path", "sessions", "events", …, "drops"}   a part is there from now on
    {"record": "deleted", "path", "sessions", "drops"}             its sessions are gone from the database
    {"record": "rewritten", "instead_of", "path" or null, …}       another part stands in for it, or none

`drops` names rows that no longer count: [{"path", "rows"}]. A line holds its own checksum, so that a flipped byte is
seen; a last line without newline was cut off while it was written and counts as not written. No line holds an id of a
session or of a user.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from llmtrack.errors import LlmtrackError
from llmtrack.session.filters import Filters
from llmtrack.store.archive.folder import Folder
from llmtrack.store.sources.source import MANIFEST
from llmtrack.version import __version__

FORMAT: Final = 1

Record = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part as it was recorded. Times are epoch ms; hashes are SHA-256 in hex."""

    path: str
    sessions: int
    events: int
    first_start: float
    last_start: float
    bytes: int
    sha256: str
    ids_bytes: int
    ids_sha256: str

    @property
    def ids(self) -> str:
        """The path of its index of ids."""
        return ids_path(self.path)

    @property
    def files(self) -> tuple[str, str]:
        """The paths of its files."""
        return self.path, self.ids

    def overlaps(self, filters: Filters) -> bool:
        """Whether any of its sessions began in the time that `filters` want."""
        late = filters.until is not None and _time(self.first_start) >= filters.until
        return not late and (filters.since is None or _time(self.last_start) >= filters.since)

    @property
    def month(self) -> str:
        """The month in which its sessions began: "2026-08"."""
        return self.path.partition("/")[0].removeprefix("month=")


@dataclass
class State:
    """A part, the rows of it that no longer count, and whether its sessions may still lie in the database."""

    part: Part
    dropped: set[int] = field(default_factory=set)
    pending: bool = False

    @property
    def live(self) -> int:
        """How many of its sessions count."""
        return self.part.sessions - len(self.dropped)


def ids_path(path: str) -> str:
    """The path of a part's index; its name starts with _, so that Spark, DuckDB and pandas leave it alone."""
    month, _, name = path.partition("/")
    return f"{month}/_{name.removesuffix('.parquet')}.ids"


class Manifest:
    """What a manifest says, and the way to add to it."""

    def __init__(self, folder: Folder) -> None:
        """Read the manifest of `folder`; without one the archive is empty. Raises LlmtrackError when it is damaged."""
        self.folder = folder
        self.records: list[Record] = []
        self.parts: dict[str, State] = {}
        self.id = ""
        if folder.size(MANIFEST):
            for record in _records(folder.at(MANIFEST), folder.read(MANIFEST)):
                self._take(record)

    def add(self, record: Record, at: datetime) -> None:
        """Add a line, durably, with the time `at` (aware) and llmtrack's version."""
        when = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = record | {"at": when, "by": f"llmtrack {__version__}"}
        line = json.dumps(record | {"check": _check(record)}, ensure_ascii=False) + "\n"
        self.folder.append(MANIFEST, line.encode())
        self._take(record)

    def begin(self, at: datetime) -> None:
        """Add the first line, unless it is there."""
        if not self.there:
            self.add({"record": "archive", "format": FORMAT, "id": secrets.token_hex(8)}, at)

    @property
    def there(self) -> bool:
        """Whether the archive was begun."""
        return bool(self.records)

    @property
    def files(self) -> set[str]:
        """The paths of all files that it names."""
        return {path for state in self.parts.values() for path in state.part.files}

    def latest(self) -> datetime | None:
        """When the last line was added."""
        return datetime.fromisoformat(self.records[-1]["at"]) if self.records else None

    def _take(self, record: Record) -> None:
        self.records.append(record)
        kind = record["record"]
        if kind == "archive" and record["format"] != FORMAT:
            raise LlmtrackError(
                f"{self.folder.at(MANIFEST)!r} has format {record['format']}; this is llmtrack {__version__}.",
                "Update llmtrack.",
            )
        if kind == "archive":
            self.id = record["id"]
        if kind == "rewritten":
            self.parts.pop(record["instead_of"], None)
        if kind in ("part", "rewritten") and record["path"]:
            part = Part(**{key: record[key] for key in Part.__dataclass_fields__})
            self.parts[part.path] = State(part, pending=kind == "part" and not record["keep"])
        if kind == "deleted":
            self.parts[record["path"]].pending = False
        for drop in record.get("drops", ()):
            self.parts[drop["path"]].dropped.update(drop["rows"])


def _records(name: str, content: bytes) -> Iterator[Record]:
    lines = content.split(b"\n")[:-1]  # what follows the last newline was cut off while it was written
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            check = record.pop("check")
        except (ValueError, KeyError, AttributeError, TypeError):
            record, check = {}, None
        if check is None or check != _check(record):
            raise LlmtrackError(
                f"Line {number} of {name!r} is damaged.",
                "Put that file back from a backup; nothing was read and nothing was changed.",
            )
        yield record


def _time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _check(record: Record) -> str:
    canonical = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
