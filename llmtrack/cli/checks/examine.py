"""What `llmtrack doctor` and `serve --check` look at; each check says what it found and what to do about it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from llmtrack.errors import LlmtrackError
from llmtrack.store.database.whose import refuse_foreign, whose

if TYPE_CHECKING:
    from httpx2 import Client

    from llmtrack.config import Group, Settings
    from llmtrack.store.database.sessions import Store

USER = "llmtrack-doctor"
MARK = {"automation": True, "bot": True}  # where one cannot be deleted, reports leave it out
CLOCK_S = 2.0  # clocks may differ by this much
TIMEOUT_S = 10.0
EMBEDDED_BYTES = 200e6  # of documents; reading all of them takes eleven times as much memory (docs/reliability.md)
SPOOL_S = 300.0  # what waits longer is told

Status = Literal["ok", "warning", "failed", "skipped"]


class Check(NamedTuple):
    """One finding. `advice` is the next step, empty when there is nothing to do."""

    check: str
    status: Status
    finding: str
    advice: str = ""


def examine(url: str) -> Iterator[Check]:
    """Every check in order: configuration, store, then a session through the collector at `url`."""
    from llmtrack.config import load_settings
    from llmtrack.store.database.sessions import connect

    try:
        settings = load_settings()
    except LlmtrackError as error:
        yield Check("configuration", "failed", error.message, error.hint)
        return
    yield from check_configuration(settings)
    try:
        with connect(settings) as store:
            store.ping()
            yield from check_store(settings, store)
            if whose(store.sessions).kind in ("empty", "ours"):
                yield from _collector(url, settings, store)
            else:
                yield Check("collector", "skipped", "a visit through it would be written beside somebody else's data")
    except LlmtrackError as error:
        yield Check("store", "failed", error.message, error.hint)
        yield Check("collector", "skipped", "without a store there is nothing to walk through")


def guarded(name: str, look: Callable[[], Check]) -> Check:
    """A check's own failure is a finding, never the end of the examination."""
    try:
        return look()
    except LlmtrackError as error:
        return Check(name, "failed", error.message, error.hint)
    except Exception as error:
        return Check(name, "failed", f"{type(error).__name__}: {error}".splitlines()[0][:300])


def check_configuration(settings: Settings) -> Iterator[Check]:
    """The experiments, and for each group whether it has something to answer with."""
    names = ", ".join(f"{name} ({len(experiment.groups)})" for name, experiment in settings.experiments.items())
    yield Check("configuration", "ok", f"experiments (groups): {names}; sessions join {settings.experiment}")
    for name, experiment in settings.experiments.items():
        for group in experiment.groups:
            yield _credentials(settings, name, group)


def _credentials(settings: Settings, experiment: str, group: Group) -> Check:
    from llmtrack.config import DEMO

    check = f"group {group.name}"
    where = f"{experiment}, model {group.model}"
    if group.provider == DEMO:
        return Check(check, "ok", f"{where}: the demo provider answers, no key needed")
    address = group.base_url or settings.openai_base_url
    if settings.key_for(group):
        return Check(check, "ok", f"{where}: key set, {address or 'OpenAI'}")
    if address:
        return Check(check, "ok", f"{where}: no key, {address} (fine for a server of your own)")
    return Check(check, "failed", f"{where}: no key", f"Set {group.api_key_env}, or base_url in llmtrack.toml.")


def check_store(settings: Settings, store: Store, *, serving: bool = False) -> Iterator[Check]:
    """Whether the store answers, can be written, has its indexes, and agrees about the time.

    `serving`: for a collector, which writes; reports read what other applications wrote as well.
    """
    kind = "embedded server" if settings.mongodb_uri is None else "MongoDB at MONGODB_URI"
    yield guarded("store", lambda: _reachable(kind, settings, store))
    yield guarded("store writable", lambda: _writable(store, serving))
    yield guarded("indexes", lambda: _indexes(store))
    yield guarded("saved chats", lambda: _chats(store))
    yield guarded("clock", lambda: _clock(store))
    yield guarded("spool", lambda: _spool(settings))


def _reachable(kind: str, settings: Settings, store: Store) -> Check:
    began = time.perf_counter()
    store.ping()
    ms = (time.perf_counter() - began) * 1000
    count = store.sessions.estimated_document_count()
    if settings.mongodb_uri is None and (size := store.size()) > EMBEDDED_BYTES:
        return Check(
            "store",
            "warning",
            f"{kind}, {count:,} sessions, {size / 1e6:,.0f} MB: a report may want {11 * size / 1e9:,.1f} GB of memory",
            "Move to MongoDB: docs/reliability.md, The embedded server.",
        )
    files = f", files in {settings.data_dir}" if settings.mongodb_uri is None else ""
    return Check("store", "ok", f"{kind}, database {store.database.name}, {count:,} sessions, {ms:.0f} ms{files}")


def _chats(store: Store) -> Check:
    from llmtrack.store.database.whose import refuse_foreign_chats

    refuse_foreign_chats(store.chats)
    return Check("saved chats", "ok", f"the collection {store.chats.name} is free for them")


def _writable(store: Store, serving: bool) -> Check:
    found = whose(store.sessions)
    if found.kind == "others" and not serving:
        return Check(
            "store writable", "skipped", f"{store.sessions.name} holds {found.what}: nothing was written to try"
        )
    refuse_foreign(store.sessions)
    session_id = f"doctor_{secrets.token_hex(8)}"
    try:
        store.start({"session_id": session_id, "user_id": USER, "start_time": datetime.now(UTC), "environment": MARK})
    finally:
        gone = store.delete(session_id)
    if not gone:
        return Check("store writable", "failed", "what was written was not there", "Check the rights of the user.")
    if found.what:
        advice = "Reports say what they cannot read. Keep llmtrack's sessions in a collection of their own."
        return Check(
            "store writable", "warning", f"beside its own sessions {store.sessions.name} holds {found.what}", advice
        )
    return Check("store writable", "ok", "a session was written and deleted")


def _indexes(store: Store) -> Check:
    from llmtrack.store.database.indexes import INDEXES, TWICE

    if whose(store.sessions).kind in ("others", "foreign"):
        return Check("indexes", "skipped", "none are made in somebody else's collection")
    there = [index["key"] for index in store.sessions.index_information().values()]
    missing = [" + ".join(field for field, _ in keys) for keys, _ in INDEXES if keys not in there]
    if missing:
        twice = None if store.allows_parts() or store.is_unique() else _twice(store)
        if twice is not None:
            found = f"session_id {twice!r} stands more than once, so that they cannot be made"
            return Check("indexes", "failed", found, TWICE)
        advice = "llmtrack serve and llmtrack import make them."
        return Check("indexes", "warning", f"missing: {', '.join(missing)}", advice)
    return Check("indexes", "ok", f"all {len(INDEXES)} are there")


def _spool(settings: Settings) -> Check:
    """What the collector with this data folder could not store yet, or ever."""
    from llmtrack.store.spool.queue import spool_of

    spool = spool_of(settings)
    if not spool.exists:
        return Check("spool", "ok", "empty: everything reached the database")
    try:
        found = f"{spool.depth:,} records wait, {spool.refused:,} were put aside"
        if spool.refused:
            return Check("spool", "warning", found, "See: llmtrack spool list")
        if spool.age_s > SPOOL_S:
            return Check("spool", "warning", f"{found}; the oldest for {spool.age_s:,.0f} s", "Is the collector up?")
        return Check("spool", "ok", found)
    finally:
        spool.close()


def _twice(store: Store) -> Any:
    """A session_id that stands more than once; None when there is none."""
    alike = {"_id": "$session_id", "n": {"$sum": 1}}
    several: list[dict[str, Any]] = [{"$group": alike}, {"$match": {"n": {"$gt": 1}}}, {"$limit": 1}]
    return next((found["_id"] for found in store.sessions.aggregate(several, allowDiskUse=True)), None)


def _clock(store: Store) -> Check:
    before = time.time()
    found = store.server_time()
    middle = (before + time.time()) / 2
    return _compared("clock", "the database", found.timestamp() - middle)


def _compared(check: str, whose: str, off_s: float) -> Check:
    if abs(off_s) > CLOCK_S:
        way = "ahead of" if off_s > 0 else "behind"
        return Check(check, "warning", f"{whose} is {abs(off_s):,.1f} s {way} this machine", "Set both clocks by NTP.")
    return Check(check, "ok", f"{whose} and this machine agree within {CLOCK_S:.0f} s")


def _collector(url: str, settings: Settings, store: Store) -> Iterator[Check]:
    from httpx2 import Client, HTTPError, InvalidURL

    try:
        # trust_env: a proxy of this shell is not the way that browsers take to the collector
        with Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
            healthy = client.get("/healthz")
            healthy.raise_for_status()
            yield Check("collector", "ok", f"answers at {url}")
            yield guarded("tracker", lambda: _tracker(client))
            yield from _Walk(client, settings, store).steps()
    except (HTTPError, InvalidURL) as error:
        found = f"does not answer at {url}: {error}".splitlines()[0]
        yield Check("collector", "failed", found, "Start it with: llmtrack serve; or name it with --url.")


def _tracker(client: Client) -> Check:
    answer = client.get("/llmtrack.js")
    if answer.status_code != 200 or "javascript" not in answer.headers.get("Content-Type", ""):
        return Check(
            "tracker",
            "failed",
            f"/llmtrack.js answers {answer.status_code}",
            "Install llmtrack again: a file is missing.",
        )
    return Check("tracker", "ok", f"/llmtrack.js, {len(answer.content):,} bytes")


class _Walk:
    """A session through the collector as the tracker makes it, with a retry that overtakes; deleted in the end."""

    def __init__(self, client: Client, settings: Settings, store: Store) -> None:
        self.client = client
        token = settings.admin_token
        self.reading = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        self.store = store
        self.session_id = ""
        self.token = ""

    def steps(self) -> Iterator[Check]:
        """Start, events, end, reading back, cleaning up; a step that fails leads straight to the last."""
        steps = {"start": self.start, "events": self.events, "end": self.end, "read back": self.read_back}
        for name, step in steps.items():
            check = guarded(f"session: {name}", partial(step, f"session: {name}"))
            yield check
            if check.status == "failed":
                break
        if self.session_id:
            yield guarded("cleaned up", self.clean_up)

    def post(self, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        answer = self.client.post(path, json=body)
        if answer.status_code != status:
            raise LlmtrackError(
                f"{path} answered {answer.status_code}: {answer.text[:200]}", "Read the collector's own output."
            )
        found: dict[str, Any] = answer.json()
        return found

    def start(self, check: str) -> Check:
        before = time.time()
        found = self.post("/api/session/start", {"user_id": USER, "environment": MARK}, 201)
        self.session_id, self.token = found["session_id"], found["token"]
        off_s = found["server_time"] / 1000 - (before + time.time()) / 2
        if abs(off_s) > CLOCK_S:
            return _compared(check, "the collector's clock", off_s)
        return Check(check, "ok", f"group {found['model_group']} of {found['experiment_id']}")

    def events(self, check: str) -> Check:
        now_ms = round(time.time() * 1000)
        events = [{"n": n, "t": now_ms + n, "type": "doctor", "data": {"n": n}} for n in range(1, 6)]
        accepted = 0
        for batch in (events[2:], events[:3], events):  # the second overtaken by the first, the third a retry of all
            body = {"session_id": self.session_id, "token": self.token, "sent_at": now_ms, "events": batch}
            accepted += self.post("/api/session/event", body, 202)["accepted"]
        if accepted != len(events):
            return Check(check, "failed", f"{accepted} accepted of {len(events)} sent in three overlapping batches")
        return Check(check, "ok", "5 events in three overlapping batches, each accepted once")

    def end(self, check: str) -> Check:
        self.post("/api/session/end", {"session_id": self.session_id, "token": self.token, "events": []}, 202)
        return Check(check, "ok", "ended")

    def read_back(self, check: str) -> Check:
        answer = self.client.get(f"/session/{self.session_id}", headers=self.reading)
        if answer.status_code in (401, 403):
            advice = "Set LLMTRACK_ADMIN_TOKEN for this command as for the collector."
            return Check(check, "failed", f"reading was refused: {answer.json()['error']}", advice)
        document = answer.json() if answer.status_code == 200 else {}
        numbers = [event.get("n") for event in document.get("events", [])]
        if numbers != [1, 2, 3, 4, 5] or not document.get("end_time"):
            return Check(check, "failed", f"GET /session/… answers {answer.status_code}, events {numbers}")
        if self.store.find(self.session_id) is None:
            advice = "Start the collector with the same MONGODB_URI and LLMTRACK_DATABASE as this command."
            return Check(
                check, "failed", f"the collector writes to another store; {self.session_id} stays there", advice
            )
        return Check(check, "ok", "5 events in order of time, and an end")

    def clean_up(self) -> Check:
        if self.store.delete(self.session_id):
            return Check("cleaned up", "ok", "the session is deleted again")
        return Check("cleaned up", "warning", f"{self.session_id} is not in this store and could not be deleted")
