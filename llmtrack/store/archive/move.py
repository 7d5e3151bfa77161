"""Moving old sessions out of the database into an archive, in an order that loses none and keeps none twice.

For every part: note that it is about to be written; write it beside, flush, rename, flush the folder; read it again and
compare every document with what was read; name it in the manifest; delete from the database the documents that are
unchanged; note that in the manifest. Killed before the manifest names a part, nothing reads it, and the next run
removes it; killed afterwards, the next run finds the part pending and deletes the rest. In between a session is in both
places: readers read the database first and count it once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import pyarrow as pa

from llmtrack.errors import LlmtrackError
from llmtrack.session.filters import Filters
from llmtrack.session.tally import Broken
from llmtrack.store.archive.completion import Moved, complete, note_deletion, tidy
from llmtrack.store.archive.deletion import delete_unchanged
from llmtrack.store.archive.folder import Folder, Step, nothing
from llmtrack.store.archive.lease import LEASE_S, Lease, check_clock
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.part import (
    PART_BYTES,
    ROW_GROUP_BYTES,
    ROW_GROUP_SESSIONS,
    Row,
    Writer,
    lookup,
    rows,
)
from llmtrack.store.archive.registry import Registry
from llmtrack.store.archive.selection import Candidate, Selection
from llmtrack.store.archive.unknown import refuse_unknown
from llmtrack.store.archive.versions import first_part, merged
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.continuation import decode
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.source import EVERYTHING

MONTHS_AT_ONCE: Final = 4  # parts that are being written; each holds up to a row group in memory
TIMES_READING: Final = 5  # a run takes about so many times as long as reading (benchmarks/archive.py)


@dataclass(frozen=True)
class Order:
    """What is to be moved and how. `keep` copies without deleting; sizes in bytes, times in seconds."""

    older_than: timedelta
    filters: Filters = EVERYTHING
    limit: int | None = None
    max_seconds: float | None = None
    keep: bool = False
    part_bytes: int = PART_BYTES
    row_group_sessions: int = ROW_GROUP_SESSIONS
    lease_s: float = LEASE_S


def run(
    store: Store,
    folder: Folder,
    order: Order,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    step: Step = nothing,
    progress: Callable[[int], None] = lambda sessions: None,
) -> Moved:
    """Move what `order` asks for from `store` to `folder`; first complete what an earlier run left.

    `progress` is told how many sessions were read. Raises LeaseTaken when another run is at work, StoreUnavailable,
    and LlmtrackError when anything is not as it must be; then nothing was deleted that the archive does not hold.
    """
    began = time.monotonic()
    check_clock(store, clock())
    with Lease(store, order.lease_s) as lease:
        step("lease taken")
        registry = Registry(store)
        registry.check(folder, Manifest(folder))
        folder.create()
        with folder.lock():
            manifest = Manifest(folder)
            manifest.begin(clock())
            registry.use(folder, manifest, clock())
            step("begun")
            tidy(store, folder, moved := Moved(), clock())
            complete(store, folder, lease, clock, moved, step)
            _Run(store, folder, order, lease, registry, clock, step, moved).all(progress)
    step("lease given back")
    moved.seconds = time.monotonic() - began
    return moved


@dataclass
class Planned:
    """What a run would move: without activity since `cutoff`, `bytes` of BSON, months in which the sessions began,
    about how many seconds.
    """

    cutoff: datetime
    sessions: int = 0
    events: int = 0
    bytes: int = 0
    months: dict[str, int] = field(default_factory=dict)
    unreadable: Broken = field(default_factory=Broken)
    seconds: float = 0.0


def plan(
    store: Store, folder: Folder, order: Order, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Planned:
    """Read what `run` would move, and write nothing. Raises what `run` raises before it begins."""
    began, now = time.monotonic(), clock()
    found = Planned(now - order.older_than)
    check_clock(store, now)
    folder.check()
    manifest = Manifest(folder)
    Registry(store).check(folder, manifest)
    refuse_unknown(store, folder, manifest)
    selection = Selection(now, found.cutoff, order.filters)
    for candidate in islice(selection.candidates(store, found.unreadable), order.limit):
        found.sessions += 1
        found.events += len(candidate.document.get("events") or ())
        found.bytes += len(candidate.raw)
        found.months[candidate.month] = found.months.get(candidate.month, 0) + 1
    found.seconds = (time.monotonic() - began) * TIMES_READING
    return found


class _Month:
    """What is known of a part while it is written: sessions read and not yet written, ids, older versions."""

    def __init__(self) -> None:
        self.waiting: list[Candidate] = []
        self.waiting_bytes = 0
        self.ids: set[str] = set()
        self.writer: Writer | None = None
        self.replaces: dict[str, list[int]] = defaultdict(list)
        self.document_bytes = 0
        self.last_group_bytes = 0

    def take(self, candidate: Candidate) -> None:
        self.waiting.append(candidate)
        self.waiting_bytes += len(candidate.raw)
        self.ids.add(candidate.session_id)


class _Run:
    def __init__(
        self,
        store: Store,
        folder: Folder,
        order: Order,
        lease: Lease,
        registry: Registry,
        clock: Callable[[], datetime],
        step: Step,
        moved: Moved,
    ) -> None:
        self.store, self.folder, self.order, self.lease, self.registry = store, folder, order, lease, registry
        self.clock, self.step, self.moved = clock, step, moved
        self.manifest = Manifest(folder)
        self.months: dict[str, _Month] = {}  # the one that was added to last comes last
        self.parts = 0

    def all(self, progress: Callable[[int], None]) -> None:
        now = self.clock()
        self.moved.cutoff = now - self.order.older_than
        selection = Selection(now, self.moved.cutoff, self.order.filters)
        deadline = time.monotonic() + (self.order.max_seconds or float("inf"))
        try:
            for count, candidate in enumerate(selection.candidates(self.store, self.moved.unreadable)):
                if count == self.order.limit or time.monotonic() > deadline:
                    self.moved.stopped = "limit" if count == self.order.limit else "time"
                    break
                self.take(candidate)
                self.lease.renew()
                progress(count + 1)
            for name in list(self.months):
                self.finish(name)
        except BaseException:
            for month in self.months.values():
                if month.writer:
                    month.writer.abandon()
            raise

    def take(self, candidate: Candidate) -> None:
        if any(candidate.session_id in month.ids for month in self.months.values()):
            self.moved.conflicts.append(candidate.session_id)
            return
        month = self.months.pop(candidate.month, None)
        if month is None:
            if len(self.months) >= MONTHS_AT_ONCE:
                self.finish(next(iter(self.months)))
            month = _Month()
        self.months[candidate.month] = month
        month.take(candidate)
        if len(month.waiting) >= self.order.row_group_sessions or month.waiting_bytes >= ROW_GROUP_BYTES:
            self.write(candidate.month)
            if month.writer and month.writer.size + month.last_group_bytes > self.order.part_bytes:
                self.finish(candidate.month)

    def write(self, name: str) -> None:
        """Write the waiting sessions of a month as a row group, but those that the archive holds already."""
        month = self.months[name]
        self.step("read")
        new = self.without_known(month)
        month.waiting, month.waiting_bytes = [], 0
        if not new:
            return
        if month.writer is None:
            path = f"month={name}/part-{self.clock():%Y%m%dT%H%M%S}-{self.lease.token[:6]}-{self.parts}.parquet"
            self.manifest.writing(path, self.clock())
            month.writer = Writer(self.folder, path, self.step, archive_id=self.manifest.id)
            self.parts += 1
        before = month.writer.size
        month.writer.add([each.document for each in new], [each.raw for each in new])
        month.last_group_bytes = month.writer.size - before
        month.document_bytes += sum(len(each.raw) for each in new)

    def finish(self, name: str) -> None:
        """Make the part of a month durable, verify and record it, then delete its sessions from the database."""
        self.write(name)
        month = self.months.pop(name)
        writer = month.writer
        if writer is None:
            return
        part = writer.finish()
        self.lease.renew(now=True)  # nobody took our place: what follows can be seen
        drops = [{"path": path, "rows": sorted(numbers)} for path, numbers in month.replaces.items()]
        self.manifest.add({"record": "part", **asdict(part), "keep": self.order.keep, "drops": drops}, self.clock())
        self.step("recorded")
        self.moved.sessions += part.sessions
        self.moved.events += part.events
        self.moved.bytes += part.bytes
        self.moved.parts += 1
        self.registry.fill(self.manifest)
        if self.order.keep:
            return
        if self.folder.size(part.path) != part.bytes:
            raise LlmtrackError(f"{self.folder.at(part.path)!r} went away.", "Nothing of it was deleted.")
        deleted = delete_unchanged(self.store, rows(self.folder, part), self.lease, self.step)
        note_deletion(
            self.manifest, part.path, deleted.sessions, deleted.changed + deleted.gone, self.clock(), self.step
        )
        self.moved.deleted += deleted.sessions
        self.moved.late += deleted.late

    def without_known(self, month: _Month) -> list[Candidate]:
        """The waiting sessions without those that the archive holds: equal ones are deleted from the database.

        One that came back gets the archived documents before its own; one that has all events of the archived version
        and more takes its place; any other stays where it is.
        """
        known = self.known(month.waiting)
        new: list[Candidate] = []
        equal: list[Row] = []
        for candidate in month.waiting:
            if candidate.session_id not in known:
                if first_part(candidate.raw):
                    self.moved.unreadable.add("part_without_first", f"_id {candidate.document['_id']}")
                else:
                    new.append(candidate)
                continue
            path, row = known[candidate.session_id]
            both = merged(candidate.raw, row.raw)
            if both is None:
                self.moved.conflicts.append(candidate.session_id)
            elif both == row.raw:
                equal.append(Row(len(equal), both))
            else:
                month.replaces[path].append(row.number)
                new.append(candidate._replace(raw=both, document=decode(both, COLUMNS)))
        if equal and not self.order.keep:
            deleted = delete_unchanged(self.store, equal, self.lease, self.step)
            self.moved.deleted += deleted.sessions
            self.moved.late += deleted.late
        return new

    def known(self, waiting: Iterable[Candidate]) -> dict[str, tuple[str, Row]]:
        """session_id → (path of the part, row) of those that the archive holds."""
        wanted = pa.array([candidate.session_id for candidate in waiting], pa.string())
        found: dict[str, tuple[str, Row]] = {}
        for path, state in self.manifest.parts.items():
            hits = {number: session_id for session_id, number in lookup(self.folder, state, wanted)}
            if hits:
                found |= {hits[row.number]: (path, row) for row in rows(self.folder, state.part, hits)}
        return found
