"""Moving sessions: which ones, in which order, and what happens to those that change meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtrack.session.filters import Filters
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.lease import Lease, LeaseTaken
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import Order, plan, run
from llmtrack.store.archive.restore import restore
from llmtrack.store.database.sessions import Store
from tests.store.archive.odd import ODD
from tests.store.archive.world import OLD, archived, check_all_there, counted, move, raw, session, sessions, small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_old_sessions_leave_the_database_and_come_back_byte_for_byte(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(20))
    before = raw(store)
    moved = move(store, folder)
    assert (moved.sessions, moved.deleted, moved.events) == (20, 20, 60)
    assert raw(store) == {}
    assert restore(store, open_folder(str(folder))).restored == 20
    assert raw(store) == before


def test_nothing_to_do_is_success(store: Store, folder: Path) -> None:
    assert move(store, folder).sessions == 0
    assert move(store, folder).parts == 0


NOW = datetime.now(UTC)
STAY: dict[str, dict[str, Any]] = {
    "it ended lately": session(1, age_days=80),
    "an event is recent": session(1, events=[{"t": NOW.timestamp() * 1000, "type": "click"}]),
    "an event is a recent date": session(1, events=[{"t": NOW, "type": "click"}]),
    "it was written to lately": session(1, updated_at=NOW),
    "it has no id": session(1, session_id=None),
    "its events are no list": session(1, events={"t": 1}),
    "nothing says when it was": {"session_id": "s1", "events": []},
}


@pytest.mark.parametrize("document", STAY.values(), ids=STAY)
def test_a_session_stays_when(store: Store, folder: Path, document: dict[str, Any]) -> None:
    store.sessions.insert_one(document)
    assert move(store, folder).sessions == 0
    assert store.sessions.count_documents({}) == 1


def test_an_open_session_stays_even_when_the_cutoff_is_now(store: Store, folder: Path) -> None:
    minutes = datetime.now(UTC) - timedelta(minutes=10)
    store.sessions.insert_one({"session_id": "open", "start_time": minutes, "end_time": None, "events": []})
    store.sessions.insert_one({"session_id": "ended", "start_time": minutes, "end_time": minutes, "events": []})
    run(store, open_folder(str(folder)), Order(timedelta(seconds=1)))
    assert list(raw(store)) == ["open"]


def test_times_that_are_no_dates_are_understood(store: Store, folder: Path) -> None:
    store.sessions.insert_many(
        [
            {"session_id": "iso", "start_time": "2024-10-27T10:00:00Z", "events": []},
            {"session_id": "epoch", "start_time": 1730023200, "events": [{"t": 1730023200123.25, "type": "x"}]},
            {"session_id": "events only", "events": [{"t": 1730023200000, "type": "x"}]},
        ]
    )
    assert move(store, folder).sessions == 3
    assert [path.name for path in folder.glob("month=*")] == ["month=2024-10"]


def test_filters_limit_and_time_choose_what_moves(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(12))
    assert move(store, folder, filters=Filters(group="A", user="user-2")).sessions == 1
    limited = move(store, folder, limit=3)
    assert (limited.sessions, limited.stopped) == (3, "limit")
    timed = move(store, folder, max_seconds=1e-9)
    assert (timed.sessions, timed.stopped) == (0, "time")
    assert move(store, folder).sessions == 8


def test_a_copy_deletes_nothing_and_the_next_run_deletes_without_copying(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(8))
    assert move(store, folder, keep=True).sessions == 8
    assert store.sessions.count_documents({}) == 8
    assert counted(store, folder) == {f"s{number}": 1 for number in range(8)}
    moved = move(store, folder)
    assert (moved.sessions, moved.deleted) == (0, 8)
    check_all_there(store, folder, {f"s{number}" for number in range(8)})


def test_a_dry_run_says_what_would_move_and_writes_nothing(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(9))
    found = plan(store, open_folder(str(folder)), small())
    assert (found.sessions, found.events, sum(found.months.values())) == (9, 27, 9)
    assert found.bytes == sum(map(len, raw(store).values()))
    assert not folder.exists()


@pytest.mark.parametrize("own", [True, False], ids=["with rev", "of another writer"])
@pytest.mark.parametrize("when", ["read", "recorded"], ids=["before it is written", "before it is deleted"])
def test_a_late_event_keeps_its_session_in_the_database(store: Store, folder: Path, own: bool, when: str) -> None:
    store.sessions.insert_many([session(number, own=own) for number in range(4)])

    def late(step: str) -> None:
        if step == when:
            change: dict[str, Any] = {"$push": {"events": {"t": 1, "type": "late"}}}
            store.sessions.update_one({"session_id": "s2"}, change | ({"$inc": {"rev": 1}} if own else {}))

    moved = run(store, open_folder(str(folder)), small(), step=late)
    assert (moved.deleted, moved.late) == (3, 1)
    assert list(raw(store)) == ["s2"]
    assert "s2" not in archived(folder)
    check_all_there(store, folder, {"s0", "s1", "s2", "s3"})


@pytest.mark.parametrize("own", [True, False], ids=["with rev", "of another writer"])
def test_a_write_between_comparing_and_deleting_keeps_the_session(
    store: Store, folder: Path, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtrack.store.archive import deletion

    store.sessions.insert_many([session(number, own=own) for number in range(3)])
    real = deletion._unchanged

    def late(document: bytes) -> dict[str, Any]:
        change: dict[str, Any] = {"$push": {"events": {"t": 1, "type": "late"}}}
        store.sessions.update_one({"session_id": "s1"}, change | ({"$inc": {"rev": 1}} if own else {}))
        return real(document)

    monkeypatch.setattr(deletion, "_unchanged", late)
    assert move(store, folder).late == 1
    check_all_there(store, folder, {"s0", "s1", "s2"})
    assert list(raw(store)) == ["s1"]


def test_a_restored_session_with_more_events_takes_the_place_of_its_older_version(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(4))
    move(store, folder)
    restore(store, open_folder(str(folder)))
    store.sessions.update_one({"session_id": "s3"}, {"$push": {"events": {"t": 1_700_000_000_000, "type": "late"}}})
    moved = move(store, folder)
    assert (moved.sessions, moved.deleted) == (1, 4)
    check_all_there(store, folder, {"s0", "s1", "s2", "s3"})
    again = restore(store, open_folder(str(folder)), session_id="s3")
    found = store.find("s3")
    assert again.restored == 1
    assert found
    assert [event["type"] for event in found["events"]] == ["prompt", "model_response", "scroll", "late"]


def test_another_session_with_the_same_id_stays_and_is_named(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(3))
    move(store, folder)
    store.sessions.insert_one(session(1, own=True, events=[]))
    assert move(store, folder).conflicts == ["s1"]
    assert list(raw(store)) == ["s1"]
    assert counted(store, folder) == {"s0": 1, "s1": 1, "s2": 1}


def test_two_documents_with_one_id_never_are_both_archived(store: Store, folder: Path) -> None:
    store.sessions.drop_indexes()
    store.sessions.insert_many([session(1), session(1, _id="other")])
    assert move(store, folder).conflicts == ["s1"]
    assert archived(folder) == ["s1"]
    assert store.sessions.count_documents({}) == 1


def test_parts_are_bounded_in_size_and_lie_by_month(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(60))
    run(store, open_folder(str(folder)), Order(OLD, row_group_sessions=5, part_bytes=20_000))
    parts = [state.part for state in Manifest(open_folder(str(folder))).parts.values()]
    assert len({part.month for part in parts}) == 2
    assert len(parts) > 2
    for part in parts:
        assert (folder / part.path).stat().st_size == part.bytes < 50_000
        starts = pq.read_table(folder / part.path, columns=["start_time"], partitioning=None)["start_time"].to_pylist()
        assert {f"{start:%Y-%m}" for start in starts} == {part.month}


def test_more_months_than_are_written_at_once_are_moved_all_the_same(store: Store, folder: Path) -> None:
    store.sessions.insert_many([session(number, age_days=100 + 31 * (number % 8)) for number in range(24)])
    assert move(store, folder, row_group_sessions=1000, part_bytes=10**9).sessions == 24
    assert len(list(folder.glob("month=*"))) == 8
    check_all_there(store, folder, {f"s{number}" for number in range(24)})


def test_of_two_archivers_the_second_is_told(store: Store, folder: Path, tmp_path: Path) -> None:
    store.sessions.insert_many(sessions(6))
    with (
        Lease(store),
        pytest.raises(LeaseTaken, match=r"Another run of archive, restore or forget is at work: process"),
    ):
        move(store, folder)
    assert store.sessions.count_documents({}) == 6
    assert move(store, folder).sessions == 6


def test_a_stale_lease_is_taken_over_and_the_one_who_lost_it_deletes_nothing(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(6))
    taken_over: list[Lease] = []

    def stand_still(step: str) -> None:
        if step == "verified" and not taken_over:
            store.database["leases"].update_one({"_id": "archive"}, {"$set": {"until": datetime(2020, 1, 1)}})  # noqa: DTZ001 - naive
            taken_over.append(Lease(store).__enter__())

    with pytest.raises(Exception, match="another one took its place"):
        run(store, open_folder(str(folder)), small(), step=stand_still)
    assert store.sessions.count_documents({}) == 6
    assert archived(folder) == []
    taken_over[0].__exit__()
    assert move(store, folder).sessions == 6


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(ODD, min_size=1, max_size=4))
def test_archive_then_restore_is_the_identity(
    store: Store, tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("identity") / "archive"
    store.sessions.delete_many({})
    for number, document in enumerate(documents):
        store.sessions.insert_one({"session_id": f"odd{number}", **document})
    before = raw(store)
    moved = run(store, open_folder(str(folder)), Order(timedelta(seconds=1)))
    assert not moved.conflicts
    assert sorted(archived(folder) + list(raw(store))) == sorted(before)
    restore(store, open_folder(str(folder)))
    assert raw(store) == before
