"""The manifest: which parts an archive has and which of their rows count. One JSON object a line, only ever added to.

    {"record": "archive", "format": 1, "id"}                       the first line
    {"record": "writing", "path"}                                  a run begins to write this file
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
import math
import re
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
PART_PATH: Final = re.compile(r"month=[\d-]{1,12}/part-[\w-]{1,100}\.parquet", re.ASCII)

Record = dict[str, Any]


_BACKUP: Final = "Put that file back from a backup; nothing was read and nothing was changed."


class _Odd(Exception):
    """What is wrong with a line."""


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
        self.begun: set[str] = set()  # paths that a run began to write, and did not come to name
        self.replaced: set[str] = set()  # paths of parts in whose place there is another one now
        self.id = ""
        if folder.size(MANIFEST):
            for number, record in enumerate(_records(folder.at(MANIFEST), folder.read(MANIFEST)), 1):
                try:
                    self._take(record)
                except _Odd as odd:
                    where = f"Line {number} of {folder.at(MANIFEST)!r}"
                    raise LlmtrackError(f"{where} cannot be: {odd}.", _BACKUP) from None

    def add(self, record: Record, at: datetime) -> None:
        """Add a line, durably, with the time `at` (aware) and llmtrack's version."""
        when = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = record | {"at": when, "by": f"llmtrack {__version__}"}
        line = json.dumps(record | {"check": _check(record)}, ensure_ascii=False) + "\n"
        self.folder.append(MANIFEST, line.encode())
        self._take(record)

    def begin(self, at: datetime, archive_id: str = "") -> None:
        """Add the first line, unless it is there."""
        if not self.there:
            self.add({"record": "archive", "format": FORMAT, "id": archive_id or secrets.token_hex(8)}, at)

    def writing(self, path: str, at: datetime) -> None:
        """Say that this file is about to be written: if no later line names it, a killed run left it."""
        self.add({"record": "writing", "path": path}, at)

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
        """Add what a line says. Raises _Odd when it cannot be true."""
        kind = record.get("record")
        if kind == "archive" and record.get("format") != FORMAT:
            raise LlmtrackError(
                f"{self.folder.at(MANIFEST)!r} has format {record.get('format')!r:.40}; "
                f"this is llmtrack {__version__}.",
                "Update llmtrack.",
            )
        if (kind == "archive") == self.there:
            raise _Odd("the first line, and no other, begins an archive")
        _moment(record.get("at"))
        if kind == "archive":
            self.id = _text(record, "id")
        if kind == "writing":
            self.begun.add(_path(record.get("path")))
        if kind == "deleted":
            self._named(record.get("path")).pending = False
        if kind == "rewritten":
            old = self._named(record.get("instead_of")).part.path
            del self.parts[old]
            self.replaced.add(old)
        if kind == "part" or (kind == "rewritten" and record.get("path") is not None):
            part = _part(record)
            if part.path in self.parts or part.path in self.replaced:
                raise _Odd(f"it names {part.path!r} a second time")
            self.parts[part.path] = State(part, pending=kind == "part" and not record.get("keep"))
            self.begun.discard(part.path)
        for path, rows in _drops(record):
            state = self._named(path)
            if not all(type(row) is int and 0 <= row < state.part.sessions for row in rows):
                raise _Odd(f"it drops rows that {path!r} does not have")
            state.dropped.update(rows)
        self.records.append(record)

    def _named(self, path: object) -> State:
        if not isinstance(path, str) or path not in self.parts:
            raise _Odd(f"no line before it names {path!r:.80}")
        return self.parts[path]


def _part(record: Record) -> Part:
    """The part that a line names; its path stays inside the archive."""
    part = Part(**{key: record.get(key) for key in Part.__dataclass_fields__})  # type: ignore[arg-type]
    _path(part.path)
    for key in ("sessions", "events", "bytes", "ids_bytes"):
        if type(getattr(part, key)) is not int or getattr(part, key) < 0:
            raise _Odd(f"{key} is {getattr(part, key)!r:.40}")
    for key in ("first_start", "last_start"):
        if type(getattr(part, key)) not in (int, float) or not math.isfinite(getattr(part, key)):
            raise _Odd(f"{key} is {getattr(part, key)!r:.40}")
    for key in ("sha256", "ids_sha256"):
        if not re.fullmatch(r"[0-9a-f]{64}", str(getattr(part, key))):
            raise _Odd(f"{key} is {getattr(part, key)!r:.40}")
    return part


def _path(path: object) -> str:
    if not isinstance(path, str) or not PART_PATH.fullmatch(path):
        raise _Odd(f"{path!r:.80} is no path of a part")
    return path


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"\w{1,64}", value):
        raise _Odd(f"{key} is {value!r:.40}")
    return value


def _drops(record: Record) -> list[tuple[object, list[Any]]]:
    drops = record.get("drops") or []
    try:
        return [(drop["path"], list(drop["rows"])) for drop in drops]
    except (TypeError, KeyError):
        raise _Odd(f"drops is {drops!r:.40}") from None


def _moment(at: object) -> None:
    try:
        zoned = datetime.fromisoformat(str(at)).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise _Odd(f"at is {at!r:.40}")


def _records(name: str, content: bytes) -> Iterator[Record]:
    lines = content.split(b"\n")[:-1]  # what follows the last newline was cut off while it was written
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line.decode())
            whole = record.pop("check") == _check(record)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise LlmtrackError(f"Line {number} of {name!r} is damaged.", _BACKUP)
        yield record


def _time(ms: float) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(9999 if ms > 0 else 1, 1, 1, tzinfo=UTC)


def _check(record: Record) -> str:
    canonical = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
