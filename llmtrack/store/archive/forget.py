"""Erasing a user everywhere: sessions, chats, and the parts of every archive of the database.

A part with sessions of the user is written anew without them, verified, put in the old one's place by one line of the
manifest, and the old one is removed. What was begun is noted in the `forgets` collection until all is done, so that a
killed run is completed by the next one, with the whole receipt. The receipt holds no personal data.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from llmtrack.errors import LlmtrackError
from llmtrack.session.document import Document
from llmtrack.store.archive.completion import Moved, complete, tidy
from llmtrack.store.archive.folder import UNKNOWN, Folder, Step, nothing, open_folder
from llmtrack.store.archive.lease import LEASE_S, Lease, check_clock
from llmtrack.store.archive.manifest import Manifest, Part, Record, State
from llmtrack.store.archive.part import (
    ROW_GROUP_BYTES,
    ROW_GROUP_SESSIONS,
    Row,
    Writer,
    open_file,
    open_part,
    readable,
    rows,
)
from llmtrack.store.archive.registry import Registry, location
from llmtrack.store.archive.unknown import OURS, unnamed
from llmtrack.store.archive.verify import open_manifest
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.continuation import decode
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.forgotten import COLLECTION as FORGOTTEN
from llmtrack.store.database.forgotten import Forgotten
from llmtrack.store.database.query import stored_names
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.queue import Spool

COLLECTIONS: Final = {"sessions": "session_id", "chats": "_id"}  # and what tells one from the other
OWN: Final = frozenset(
    {"usage", "archived", "archives", "leases", "forgets", FORGOTTEN}
)  # other collections of llmtrack's
USER_FIELDS: Final = ("user_id", "userId", "user")  # where other applications keep a user's id

Clock = Callable[[], datetime]


@dataclass
class Receipt:
    """What was erased where. `unreached` names archives of the database that this machine does not see."""

    receipt: str
    started_at: datetime
    finished_at: datetime | None = None
    database: dict[str, Any] = field(default_factory=dict)
    archives: list[dict[str, Any]] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    set_aside: list[str] = field(
        default_factory=list
    )  # files of archives that nothing reads and that may hold the user
    elsewhere: dict[str, int] = field(default_factory=dict)  # other collections with documents of the user
    erased_elsewhere: bool = False

    @property
    def sessions(self) -> int:
        """Sessions erased, in all places."""
        in_archives: int = sum(archive["sessions"] for archive in self.archives)
        return int(self.database["sessions"]) + in_archives


def archives(store: Store, named: Sequence[Folder]) -> tuple[list[Folder], list[str]]:
    """The archives of the database that can be reached, with those named, and the names of the others."""
    reached = {location(folder): folder for folder in named if open_manifest(folder)}
    unreached = []
    for known in Registry(store).all():
        with contextlib.suppress(LlmtrackError):
            folder = reached.get(known["folder"]) or open_folder(known["folder"])
            if Manifest(folder).id == known["_id"]:  # a copy has the same id at another place
                reached[known["folder"]] = folder
                reached |= _copies(known)
                continue
        if known.get("holds_sessions"):
            unreached.append(f"{known['folder']} (last used on {known['host']})")
    return list(reached.values()), unreached


def _copies(known: Document) -> dict[str, Folder]:
    """Where else this archive lies: places at which it was used before, unless it was moved away from there."""
    found = {}
    for place in known.get("copies", ()):
        with contextlib.suppress(LlmtrackError):
            if Manifest(folder := open_folder(place)).id == known["_id"]:
                found[place] = folder
    return found


def plan(store: Store, user: str, named: Sequence[Folder]) -> Receipt:
    """What `forget` would erase."""
    folders, unreached = archives(store, named)
    receipt = Receipt("dry run", datetime.now(UTC), unreached=unreached)
    receipt.database = {"name": store.database.name} | _counts(store, user)
    receipt.elsewhere = elsewhere(store, user)
    receipt.set_aside = [path for folder in folders for path in _set_aside(folder, user)]
    for folder in folders:
        found = {state.part: len(_rows_of(folder, state.part, user)) for state in Manifest(folder).parts.values()}
        parts = [{"before": part.sha256, "after": None, "sessions": count} for part, count in found.items() if count]
        receipt.archives.append({"folder": folder.name, "sessions": sum(found.values()), "parts": parts})
    return receipt


def unknown(store: Store, user: str, planned: Receipt) -> bool:
    """Whether nothing is there of this user that `forget` would erase, complete or name; `planned` is its plan."""
    if planned.sessions or planned.database["chats"] or planned.elsewhere or planned.set_aside or planned.unreached:
        return False
    with reachable():
        begun = store.database["forgets"].find_one({"_id": user})
        others = (store.database["usage"], store.archived)
        return begun is None and not any(each.find_one(_query(user)) for each in others)


def beginning(store: Store, text: str, named: Sequence[Folder], most: int) -> list[str]:
    """Ids of users, in the database and its archives, that begin with a text: the first `most` in order."""
    with reachable():
        query = {"user_id": {"$regex": f"^{re.escape(text)}"}}
        found = {each for name in COLLECTIONS for each in _collection(store, name).distinct("user_id", query)}
    for folder in archives(store, named)[0]:
        for state in Manifest(folder).parts.values():
            with open_part(folder, state.part) as file, readable(folder, state.part.path):
                found.update(file.read(["user_id"])["user_id"].unique().to_pylist())
    return sorted(each for each in found if isinstance(each, str) and each.startswith(text))[:most]


def forget(
    store: Store,
    user: str,
    named: Sequence[Folder] = (),
    *,
    everywhere: bool = False,
    clock: Clock = lambda: datetime.now(UTC),
    step: Step = nothing,
    lease_s: float = LEASE_S,
) -> Receipt:
    """Erase everything of the user with this id; then read all of it again to prove that nothing is left.

    What other collections of the database hold of the user is counted, and with `everywhere` erased.
    Raises LeaseTaken, StoreUnavailable, and LlmtrackError when something is left or a part cannot be rewritten.
    """
    check_clock(store, clock())
    folders, unreached = archives(store, named)
    registry = Registry(store)
    with contextlib.ExitStack() as held:
        lease = held.enter_context(Lease(store, lease_s))
        for folder in folders:
            held.enter_context(folder.lock())
            registry.check(folder, Manifest(folder))
            tidy(store, folder, Moved(), clock())
            complete(store, folder, lease, clock, Moved(), step)
        job = _begin(store, user, clock())
        step("noted")
        # what still waits in a spool somewhere is not to come back
        Forgotten(store).add([user], _session_ids(store, folders, user), clock())
        with reachable():
            store.database["usage"].delete_many(_query(user))  # counts of tokens: gone within days anyway
            store.archived.delete_many(_query(user))
        for name in COLLECTIONS:
            with reachable():
                _collection(store, name).delete_many(_query(user))
            step(f"{name} erased")
        others = elsewhere(store, user)
        if everywhere:
            for name in others:
                with reachable():
                    store.database[name].delete_many(_anywhere(user))
        for folder in folders:
            _erase(folder, user, job["job"], lease, registry, clock, step)
        _prove(store, folders, user)
        step("proved")
        receipt = Receipt(job["job"], job["started_at"], clock(), unreached=unreached)
        receipt.database = {"name": store.database.name} | {name: job[name] for name in COLLECTIONS}
        receipt.elsewhere, receipt.erased_elsewhere = others, everywhere
        receipt.set_aside = [path for folder in folders for path in _set_aside(folder, user)]
        receipt.archives = [_erased(folder, job["job"]) for folder in folders]
        if not unreached:  # else the next run is to know what this one did
            with reachable():
                store.database["forgets"].delete_one({"_id": user})
    return receipt


def _begin(store: Store, user: str, now: datetime) -> Document:
    """What is being erased; the counts are those of the first run."""
    with reachable():
        forgets = store.database["forgets"]
        new = {"job": secrets.token_hex(8), "started_at": now}
        forgets.update_one({"_id": user}, {"$setOnInsert": new, "$max": _counts(store, user)}, upsert=True)
        found = forgets.find_one({"_id": user})
    if found is None:
        raise LlmtrackError("The database did not keep a note.", "Run it again.")
    return found


def _counts(store: Store, user: str) -> dict[str, int]:
    """Sessions and chats of the user; a session counts once, however many documents it has."""
    with reachable():
        return {name: len(_collection(store, name).distinct(key, _query(user))) for name, key in COLLECTIONS.items()}


def elsewhere(store: Store, user: str) -> dict[str, int]:
    """Other collections of the database that hold documents of the user, and how many."""
    own = OWN | {store.sessions.name, store.chats.name}
    with reachable():
        names = [name for name in store.database.list_collection_names() if not name.startswith("system.")]
        found = {name: store.database[name].count_documents(_anywhere(user)) for name in sorted({*names} - own)}
    return {name: count for name, count in found.items() if count}


def _anywhere(user: str) -> Document:
    return {"$or": [{key: {"$in": stored_names(user)}} for key in USER_FIELDS]}


def _collection(store: Store, name: str) -> Any:
    return store.sessions if name == "sessions" else store.chats


def _query(user: str) -> Document:
    return {"user_id": {"$in": stored_names(user)}}


def _set_aside(folder: Folder, user: str) -> list[str]:
    """The files in `_unknown/` that hold sessions of the user, or cannot be read."""
    found = []
    for path in folder.files():
        if path.startswith(UNKNOWN) and path.endswith(".parquet"):
            with contextlib.suppress(LlmtrackError), open_file(folder, path) as file, readable(folder, path):
                if user not in file.read(["user_id"])["user_id"].to_pylist():
                    continue
            found.append(folder.at(path))
    return found


def _rows_of(folder: Folder, part: Part, user: str) -> list[int]:
    """The rows of a part, also of those that no longer count, that hold sessions of the user."""
    with open_part(folder, part) as file, readable(folder, part.path):
        found = file.read(["row", "user_id"])
    users = found["user_id"].to_pylist()
    return [row for row, each in zip(found["row"].to_pylist(), users, strict=True) if each == user]


def _session_ids(store: Store, folders: list[Folder], user: str) -> set[str]:
    """The sessions of the user, in the database and in the archives."""
    with reachable():
        ids = {str(each) for each in store.sessions.distinct("session_id", _query(user))}
    for folder in folders:
        for state in Manifest(folder).parts.values():
            with open_part(folder, state.part) as file, readable(folder, state.part.path):
                found = file.read(["session_id", "user_id"])
            columns = (found["session_id"].to_pylist(), found["user_id"].to_pylist())
            ids |= {str(id) for id, each in zip(*columns, strict=True) if each == user}
    return ids


def erase_from_spool(spool: Spool, store: Store, user: str) -> int:
    """Erase what waits of the user on this machine; how many records. To be done before `forget`."""
    return spool.erase([user], _session_ids(store, [], user))


def _erase(folder: Folder, user: str, job: str, lease: Lease, registry: Registry, clock: Clock, step: Step) -> None:
    manifest = Manifest(folder)
    for number, (path, state) in enumerate(list(manifest.parts.items())):
        erased = _rows_of(folder, state.part, user)
        if not erased:
            continue
        lease.renew()
        name = f"month={state.part.month}/part-{clock():%Y%m%dT%H%M%S}-{lease.token[:6]}-f{number}.parquet"
        manifest.writing(name, clock())
        part = _without(folder, state, set(erased), name, step, manifest.id)
        lease.renew(now=True)
        note: Record = {"record": "rewritten", "instead_of": path, "job": job, "before": state.part.sha256}
        note["erased"] = len(set(erased) - state.dropped)
        manifest.add(note | (asdict(part) if part else {"path": None}), clock())
        registry.fill(manifest)
        step("recorded")
        for old in state.part.files:
            folder.remove(old)
            step("old file removed")


def _without(folder: Folder, state: State, erased: set[int], path: str, step: Step, archive_id: str) -> Part | None:
    """A new part with the rows that count and are not erased; None when there are none."""
    left = state.part.sessions - len(state.dropped | erased)
    if not left:
        return None
    writer = Writer(folder, path, step, archive_id=archive_id)
    try:
        kept = (row for row in rows(folder, state.part) if row.number not in state.dropped | erased)
        for group in _row_groups(kept):
            writer.add([decode(row.raw, COLUMNS) for row in group], [row.raw for row in group])
        part = writer.finish()
    except BaseException:
        writer.abandon()
        raise
    if part.sessions != left:
        raise LlmtrackError(f"{folder.at(path)!r} holds {part.sessions:,} sessions instead of {left:,}.")
    return part


def _row_groups(kept: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in kept:
        group.append(row)
        size += len(row.raw)
        if len(group) >= ROW_GROUP_SESSIONS or size >= ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _erased(folder: Folder, job: str) -> dict[str, Any]:
    """What the manifest says that this job did, also in a run that was killed."""
    notes = [record for record in Manifest(folder).records if record.get("job") == job]
    parts = [{"before": n["before"], "after": n.get("sha256"), "sessions": n["erased"]} for n in notes]
    return {"folder": folder.name, "sessions": sum(note["erased"] for note in notes), "parts": parts}


def _prove(store: Store, folders: Sequence[Folder], user: str) -> None:
    left = [f"{count} in {name}" for name, count in _counts(store, user).items() if count]
    for folder in folders:
        manifest = Manifest(folder)
        left += [path for path in unnamed(folder, manifest) if OURS.fullmatch(path)]
        for state in manifest.parts.values():
            if _rows_of(folder, state.part, user):
                left.append(folder.at(state.part.path))
    if left:
        raise LlmtrackError(f"Something is left: {', '.join(left)}.", "The user may be here right now. Run it again.")
