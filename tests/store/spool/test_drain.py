"""What was acknowledged reaches the database: what can never be stored is put aside, all else waits in its order."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmtrack.errors import StoreUnavailable
from llmtrack.session.claim import Claim
from llmtrack.store.database.forgotten import Forgotten
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.durable import DurableStore
from llmtrack.store.spool.queue import APPEND, START, Spool, SpoolFull
from tests.proxy import QUOTA, WRITES, Proxy

KEY = Claim(anything=True)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite", 10**8, 10**6)
    yield spool
    spool.close()


@pytest.fixture
def way(mongodb_uri: str) -> Iterator[Proxy]:
    way = Proxy(mongodb_uri)
    yield way
    way.close()


def event(n: int, **more: Any) -> dict[str, Any]:
    return {"n": n, "t": 1_760_000_000_000 + n, "type": "click", "data": {"x": n, **more}}


def by_hand(store: Store, spool: Spool, after_s: float = 5, **more: Any) -> DurableStore:
    """A store whose database is away and whose spool is drained when the test says so."""
    durable = DurableStore(store, spool, after_s, **more)
    durable._away = True
    durable._drain_soon = lambda: None  # type: ignore[method-assign]
    return durable


def visit(durable: DurableStore, session_id: str, events: int, **more: Any) -> None:
    durable.start({"session_id": session_id, "user_id": "u", "start_time": datetime.now(UTC), **more}, KEY)
    for n in range(1, events + 1):
        durable.append(session_id, [event(n)], KEY)


def numbers(store: Store, session_id: str) -> list[int]:
    return [each["n"] for each in (store.find(session_id) or {"events": []})["events"]]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


REFUSALS = {
    "over quota": QUOTA,
    "a full disk": {"ok": 0.0, "code": 14031, "codeName": "OutOfDiskSpace", "errmsg": "disk full"},
    "no primary": {"ok": 0.0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"},
    "a lost majority": {
        "ok": 1.0,
        "n": 0,
        "writeConcernError": {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication"},
    },
    "no right to write": {"ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": "not authorized"},
    "a code nobody knows": {"ok": 0.0, "code": 987_654, "errmsg": "the server is in a mood"},
    "a failing unique index": {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "E11000 dup"}]},
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_what_an_answering_database_refuses_waits_and_is_stored_when_it_takes_it(
    way: Proxy, store: Store, spool: Spool, refusal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtrack.store.spool.durable.RETRY_S", 0.05)
    monkeypatch.setattr("llmtrack.store.spool.drain.HOLD_S", (0.05, 0.1))
    store.start({"session_id": "old", "user_id": "u", "start_time": datetime.now(UTC)})
    with Store(f"{way.uri}&heartbeatFrequencyMS=500") as asked:
        durable = DurableStore(asked, spool, 5)
        way.refuse = dict.fromkeys(WRITES, refusal)
        visit(durable, "new", 3)
        durable.append("old", [event(1)], KEY)
        assert spool.depth == 5
        with pytest.raises(StoreUnavailable):
            durable.check(2)
        time.sleep(0.5)  # some tries
        assert (spool.depth, spool.refused) == (5, 0)
        way.on()
        until(lambda: spool.depth == 0)
        assert (numbers(store, "new"), numbers(store, "old"), spool.refused) == ([1, 2, 3], [1], 0)
        until(lambda: not durable._away)
        durable.check(5)
        durable.close()


def test_a_database_that_refuses_the_sessions_alone_is_not_ready(
    way: Proxy, store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtrack.store.spool.durable.RETRY_S", 0.02)
    with Store(way.uri) as asked:
        durable = DurableStore(asked, spool, 5)
        way.over_quota()
        way.refused_in = {"sessions"}
        visit(durable, "s", 3)
        for _ in range(20):
            time.sleep(0.03)
            with pytest.raises(StoreUnavailable, match="does not take"):
                durable.check(5)
        way.on()
        until(lambda: spool.depth == 0 and not durable._away)
        durable.check(5)
        assert numbers(store, "s") == [1, 2, 3]
        durable.close()


def test_one_session_that_is_refused_holds_up_no_other(store: Store, spool: Spool) -> None:
    store.sessions.create_index([("user_id", 1)], unique=True, name="somebody's own idea", sparse=True)
    store.start({"session_id": "first", "user_id": "u", "start_time": datetime.now(UTC)})
    durable = by_hand(store, spool)
    visit(durable, "second", 2)  # of the same user: that index does not allow it
    visit(durable, "third", 2, user_id="v")
    durable.drain()
    assert (numbers(store, "third"), spool.depth, spool.refused) == ([1, 2], 3, 0)
    store.sessions.drop_index("somebody's own idea")
    durable._drain._held.clear()
    durable.drain()
    assert (numbers(store, "second"), spool.depth) == ([1, 2], 0)


def flip(spool: Spool, id: int) -> None:
    """One bit of the record is not what was written."""
    body = bytearray(spool._rows("select body from records where id = ?", id)[0][0])
    body[len(body) // 2] ^= 4
    with spool._db as db:
        db.execute("update records set body = ? where id = ?", (bytes(body), id))


def test_records_that_are_damaged_or_odd_are_put_aside_and_all_others_go_on(store: Store, spool: Spool) -> None:
    durable = by_hand(store, spool)
    visit(durable, "a", 9)
    visit(durable, "b", 5)
    flip(spool, 4)
    store.sessions.insert_one({"_id": "odd", "session_id": "odd", "received": [1, 2, 3], "events": [], "rev": 0})
    store.sessions.insert_one({"_id": "text", "session_id": "text", "events": "none", "rev": 0})
    for session_id in ("odd", "text"):
        durable.append(session_id, [event(1)], KEY)
    spool.put(APPEND, "b", {"nothing": "that belongs here"})
    spool.put("a kind of its own", "b", {})
    durable.append("b", [event(6)], KEY)
    durable.drain()
    assert spool.depth == 0
    assert numbers(store, "a") == [1, 2, 4, 5, 6, 7, 8, 9]
    assert numbers(store, "b") == [1, 2, 3, 4, 5, 6]
    aside = spool.aside()
    assert sorted(record.session_id for record in aside) == ["a", "b", "b", "odd", "text"]
    assert "damaged" in aside[0].why
    assert all(record.why for record in aside)


def test_what_was_put_aside_is_tried_again_in_its_old_place_or_dropped(store: Store, spool: Spool) -> None:
    durable = by_hand(store, spool, starts_s=0)
    durable.append("late", [event(1)], KEY)
    durable.append("late", [event(2)], KEY)
    durable.drain()
    assert (spool.depth, spool.refused) == (0, 2)
    assert spool.aside()[0].why == "No session 'late'."
    store.start({"session_id": "late", "user_id": "u", "start_time": datetime.now(UTC)})
    first, second = spool.aside()
    spool.retry([first.id])
    spool.drop([second.id])
    durable.drain()
    assert (numbers(store, "late"), spool.depth, spool.refused) == ([1], 0, 0)


def test_events_wait_for_a_start_that_waits_in_another_collector(store: Store, spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path / "other.sqlite", 10**8, 10**6)
    here, there = by_hand(store, spool), by_hand(store, other)
    here.append("s", [event(1)], KEY)
    here.drain()
    assert (spool.depth, spool.refused) == (1, 0)
    visit(there, "s", 0)
    there.drain()
    here._drain._held.clear()
    here.drain()
    assert (numbers(store, "s"), spool.depth) == ([1], 0)
    other.close()


def test_all_that_waits_of_a_session_is_one_write(way: Proxy, store: Store, spool: Spool) -> None:
    with Store(way.uri) as asked:
        durable = by_hand(asked, spool)
        visit(durable, "s", 50)
        durable.append("s", [event(3), event(51)], KEY, end=datetime.now(UTC), once="k")
        durable.append("s", [event(51)], KEY, once="k")
        revision = 0
        durable.drain()
        found = store.sessions.find_one({"session_id": "s"})
        assert found is not None
        revision = found["rev"]
    assert (revision, found["ended_by"], found["applied"]) == (1, "page", ["k"])
    assert numbers(store, "s") == list(range(1, 52))


def test_a_slow_moment_sends_nobody_to_the_spool_for_long(
    way: Proxy, store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write that is too slow, then arrivals faster than the drain: what is direct does not wait for the spool."""
    with Store(way.uri) as asked:
        durable = DurableStore(asked, spool, 1.0)
        visit(durable, "s", 1)
        way.delay_s = 1.3
        durable.append("s", [event(2)], KEY)
        assert durable._away
        way.delay_s = 0.0
        n = 2
        while durable._away and n < 2000:
            n += 1
            durable.append("s", [event(n)], KEY)
        assert not durable._away, "everything waits, and nothing is slow any more"
        until(lambda: spool.depth == 0)
        assert numbers(store, "s") == list(range(1, n + 1))
        durable.close()


def test_more_than_can_be_caught_up_is_refused(spool: Spool) -> None:
    spool.put(START, "s", {"session_id": "s"})
    spool.told_pace(per_s=10, depth=2_900)
    assert spool.behind_s == 290
    spool.put(APPEND, "s", {})
    spool.told_pace(per_s=10, depth=3_100)
    with pytest.raises(SpoolFull, match="310 s of work behind"):
        spool.put(APPEND, "s", {})
    with pytest.raises(SpoolFull):
        spool.check()


class Full:
    """A database file on a disk that has no room: it deletes only while there is no reserve."""

    def __init__(self, db: sqlite3.Connection, spool: Spool) -> None:
        self._db, self._spool = db, spool

    def execute(self, statement: str, *values: Any) -> Any:
        if statement.startswith(("delete", "insert")) and self._spool._reserve.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(statement, *values)

    def __enter__(self) -> Full:
        self._db.__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        self._db.__exit__(*how)

    def close(self) -> None:
        self._db.close()


def test_a_full_disk_drains_by_its_reserve(store: Store, spool: Spool) -> None:
    durable = by_hand(store, spool)
    visit(durable, "s", 20)
    assert spool._reserve.stat().st_blocks * 512 >= 2**22, "the reserve takes no room"
    spool._opened = Full(spool._db, spool)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match="disk is full"):
        durable.append("s", [event(21)], KEY)
    durable.drain()
    assert (spool.depth, numbers(store, "s")) == (0, list(range(1, 21)))
    assert not spool._reserve.exists()
    spool._opened = spool._opened._db
    durable._away = True
    durable.append("s", [event(21)], KEY)
    assert spool._reserve.exists(), "with room again there is a reserve again"


def test_a_disk_that_is_too_full_to_delete_still_hands_out_every_record_once(store: Store, spool: Spool) -> None:
    durable = by_hand(store, spool)
    visit(durable, "a", 300)
    visit(durable, "b", 3)
    remove = spool.remove

    def full(ids: Any) -> None:
        raise StoreUnavailable("The spool takes nothing: disk is full.")

    spool.remove = full  # type: ignore[method-assign]
    durable.drain()
    assert (len(numbers(store, "a")), len(numbers(store, "b")), spool.depth) == (199, 3, 305)
    spool.remove = remove  # type: ignore[method-assign]
    while spool.depth:
        durable.drain()
    assert (len(numbers(store, "a")), len(numbers(store, "b"))) == (300, 3)


def test_a_user_who_was_forgotten_leaves_the_spool_and_what_drains_later_is_refused(
    store: Store, spool: Spool, tmp_path: Path
) -> None:
    elsewhere = Spool(tmp_path / "elsewhere.sqlite", 10**8, 10**6)
    here, there = by_hand(store, spool), by_hand(store, elsewhere)
    for durable in (here, there):
        durable.append("older", [event(1)], KEY)  # a session that the database knew
        visit(durable, "newer", 3)
        visit(durable, "other", 1, user_id="v")
    assert spool.erase(["u"], ["older"]) == 5
    assert spool.depth == 2
    assert b"newer" not in spool.path.read_bytes(), "a deleted record can be read in the file"
    Forgotten(store).add(["u"], ["older", "newer"], datetime.now(UTC))
    time.sleep(0.01)
    visit(there, "newest", 1)  # the user is here again
    for durable in (here, there):
        durable.drain()
        assert (durable.spool.depth, durable.spool.refused) == (0, 0)
    assert [numbers(store, name) for name in ("older", "newer", "other", "newest")] == [[], [], [1], [1]]
    assert sorted(store.sessions.distinct("session_id")) == ["newest", "other"]
    elsewhere.close()


def test_no_log_line_names_a_user(way: Proxy, store: Store, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    named = "user_somebody@example.org_1_0123"
    dup = {"index": 0, "code": 11000, "errmsg": f'E11000 dup key: {{ session_id: "{named}" }}'}
    bad = {"index": 0, "code": 2, "errmsg": f'The field must be an array in document {{_id: "{named}"}}'}
    with Store(way.uri) as asked:
        durable = by_hand(asked, spool, starts_s=0)
        durable.append(named, [event(1)], KEY)
        durable.drain()
        for wrong in (dup, bad):
            way.refuse = {"update": {"ok": 1.0, "n": 0, "writeErrors": [wrong]}}
            store.start({"session_id": named, "user_id": named, "start_time": datetime.now(UTC)})
            durable._away = False
            try:
                durable.append(named, [event(2)], KEY)
            except Exception:
                durable._away = True
                durable.append(named, [event(2)], KEY)
            durable._drain._held.clear()
            with contextlib.suppress(StoreUnavailable):
                durable.drain()
    assert caplog.text
    assert "somebody" not in caplog.text


def test_any_faults_in_any_order_store_every_record_once(way: Proxy, store: Store, spool: Spool) -> None:
    chance = random.Random(7)
    with Store(way.uri) as asked:
        durable = by_hand(asked, spool, 0.05)
        for number in range(12):
            visit(durable, f"s{number}", 8, user_id=f"u{number}")
        for _ in range(8):
            way.on()
            chance.choice([way.off, way.over_quota, way.on])()
            try:
                durable.drain()
            except StoreUnavailable:
                continue
        way.on()

        def done() -> bool:
            with contextlib.suppress(StoreUnavailable):  # a connection of before
                durable.drain()
            durable._drain._held.clear()
            return spool.depth == 0

        until(done)
    assert all(numbers(store, f"s{number}") == list(range(1, 9)) for number in range(12))


@pytest.mark.parametrize("page", [0, 3, 9])
def test_a_damaged_file_is_put_aside_and_what_can_be_read_of_it_goes_on(
    store: Store, spool: Spool, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable = by_hand(store, spool)
    for number in range(30):
        visit(durable, f"s{number}", 4, user_id="u" * 100)
    with spool._possible():
        spool._db.execute("pragma wal_checkpoint(truncate)")
    other = Spool(spool.path, 10**8, 10**6)
    assert other.depth == 150
    spool.close()
    with spool.path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(range(256)) * 16)
    for _ in range(20):
        with contextlib.suppress(StoreUnavailable):
            durable._drain._held.clear()
            if durable.drain() is False and spool.depth == 0:
                break
    stored = [number for number in range(30) if numbers(store, f"s{number}") == [1, 2, 3, 4]]
    assert len(stored) >= (20 if page else 0)
    assert len(list(spool.path.parent.glob("spool.damaged-*.sqlite"))) == 1
    other.put(APPEND, "s29", {"events": [event(9)], "end": None, "extra": None, "once": None, "claim": KEY._asdict()})
    assert spool.holds("s29"), "another process goes on with the file that was put aside"
    other.close()
