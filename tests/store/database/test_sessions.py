"""Exactness of what is stored."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmtrack.errors import StoreUnavailable, UnknownSession, UsageError
from llmtrack.store.database.sessions import Store
from tests.quick import on_both

START = datetime(2026, 11, 1, 10, tzinfo=UTC)
_ids = itertools.count()


def begin(store: Store) -> str:
    session_id = f"user_u_1_{next(_ids)}"
    who = {"user_id": "u", "model_group": "a", "experiment_id": "e"}
    store.start({"session_id": session_id, **who, "start_time": START})
    return session_id


def events(first: int, last: int) -> list[dict]:
    return [{"n": n, "t": 1_000 + n * 10, "type": "click", "data": {"x": n}} for n in range(first, last + 1)]


@on_both
def test_overtaking_batches_in_every_order_store_each_n_once_in_order_of_t(store: Store) -> None:
    for order in itertools.permutations([(1, 10), (11, 20), (11, 25)]):
        session_id = begin(store)
        for first, last in [*order, *order]:
            store.append(session_id, events(first, last))
        stored = store.find(session_id)
        assert [event["n"] for event in stored["events"]] == list(range(1, 26))
        assert (stored["event_count"], stored["last_n"], stored["received"]) == (25, 25, [[1, 25]])


@on_both
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)), min_size=1, max_size=8))
def test_any_batches_any_number_of_times_store_each_n_once(store: Store, batches: list[tuple[int, int]]) -> None:
    session_id = begin(store)
    accepted = sum(store.append(session_id, events(first, first + more)).accepted for first, more in batches)
    wanted = sorted({n for first, more in batches for n in range(first, first + more + 1)})
    assert [event["n"] for event in store.find(session_id)["events"]] == wanted
    assert accepted == len(wanted)


def test_writers_at_the_same_time_store_each_n_once(store: Store) -> None:
    session_id = begin(store)
    batches = [events(first, first + 9) for first in range(1, 60, 5)] * 2
    threads = [threading.Thread(target=store.append, args=(session_id, batch)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event["n"] for event in store.find(session_id)["events"]] == list(range(1, 66))


def test_the_servers_own_events_have_no_n_and_fall_into_place_by_t(store: Store) -> None:
    session_id = begin(store)
    store.append(session_id, events(1, 3))
    store.append(session_id, [{"t": 1_015, "type": "prompt", "data": {"text": "hi"}}])
    assert [event["type"] for event in store.find(session_id)["events"]] == ["click", "prompt", "click", "click"]


def test_a_batch_with_a_key_is_stored_once(store: Store) -> None:
    store.start({"session_id": "s", "user_id": "u"})
    batch = [{"t": 1, "type": "prompt", "data": {}}, {"t": 2, "type": "model_response", "data": {}}]
    assert store.append("s", batch, once="a") == (2, 0)
    assert store.append("s", batch, once="a") == (0, 2)
    assert store.append("s", [], end=datetime.now(UTC), once="b") == (0, 0)
    ended = store.find("s")
    store.append("s", [], end=datetime.now(UTC) + timedelta(hours=1), once="b")
    assert store.find("s") == ended
    for number in range(105):
        store.append("s", batch[:1], once=f"key {number}")
    document = store.find("s")
    assert document["applied"] == [f"key {number}" for number in range(5, 105)]
    assert document["event_count"] == len(document["events"]) == 107


@on_both
def test_starting_twice_keeps_the_first(store: Store) -> None:
    session_id = begin(store)
    again = store.start({"session_id": session_id, "user_id": "other", "model_group": "b", "experiment_id": "e"})
    assert again["user_id"] == "u"
    assert store.sessions.count_documents({}) == 1


@on_both
def test_end_keeps_the_latest_end_and_late_events(store: Store) -> None:
    session_id = begin(store)
    later = datetime(2026, 11, 1, 11, tzinfo=UTC)
    store.append(session_id, events(1, 1), end=later)
    store.append(session_id, events(1, 2), end=datetime(2026, 11, 1, 10, 30, tzinfo=UTC))
    stored = store.find(session_id)
    assert stored["end_time"] == later
    assert stored["event_count"] == 2


@on_both
def test_silent_sessions_end_at_their_last_event_and_open_again_when_one_returns(store: Store) -> None:
    session_id = begin(store)
    store.append(session_id, events(1, 2))
    assert store.end_silent(3600) == 0
    assert store.end_silent(-1) == 1
    ended = store.find(session_id)
    assert (ended["end_time"].timestamp() * 1000, ended["ended_by"]) == (1_020, "timeout")
    store.append(session_id, events(3, 3))
    opened = store.find(session_id)
    assert opened["end_time"] is None
    assert "ended_by" not in opened


def test_thousands_of_sessions_opened_and_left_are_all_ended_by_sweepers_at_once(store: Store) -> None:
    left = {"start_time": START, "end_time": None, "events": [], "schema_version": 1, "rev": 0, "updated_at": START}
    store.sessions.insert_many({"_id": f"left{n}", "session_id": f"left{n}", **left} for n in range(2_000))
    ended: list[int] = []
    sweepers = [threading.Thread(target=lambda: ended.append(store.end_silent(60))) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    assert sum(ended) == 2_000
    assert store.sessions.count_documents({"end_time": START, "ended_by": "timeout"}) == 2_000


@on_both
def test_sessions_of_other_writers_are_never_ended(store: Store) -> None:
    store.sessions.insert_one({"session_id": "theirs", "start_time": START, "end_time": None, "updated_at": START})
    assert store.end_silent(0) == 0


@on_both
def test_indexes_are_made_by_several_at_once(store: Store) -> None:
    threads = [threading.Thread(target=store.ensure_indexes) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = {tuple(index["key"]): index.get("unique", False) for index in store.sessions.index_information().values()}
    assert keys[(("session_id", 1),)] is True
    assert {(("user_id", 1),), (("model_group", 1), ("start_time", 1)), (("end_time", 1),)} <= set(keys)


@on_both
def test_an_unknown_session_says_so(store: Store) -> None:
    with pytest.raises(UnknownSession, match="No session 'nobody'"):
        store.append("nobody", events(1, 1))


def test_a_database_that_is_away_says_so() -> None:
    with (
        Store("mongodb://127.0.0.1:9/?directConnection=true", timeout_s=0.2) as store,
        pytest.raises(StoreUnavailable, match="does not answer"),
    ):
        store.ping()


def test_what_is_no_uri_says_so() -> None:
    with pytest.raises(UsageError, match="MongoDB URI"):
        Store("http://localhost:27017")


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_the_servers_time_is_the_same_moment_in_every_zone(
    store: Store, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        told = store.server_time()
    time.tzset()
    assert told.tzinfo is not None
    assert abs(told.timestamp() - time.time()) < 60
