"""Putting sessions back: exactly, as often as one likes, and never over something else unasked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmtrack.session.filters import Filters
from llmtrack.store.archive.folder import Folder, open_folder
from llmtrack.store.archive.lease import Lease, LeaseTaken
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import move, raw, sessions


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Folder:
    """An archive of ten sessions; nothing is in the database."""
    store.sessions.insert_many(sessions(10))
    move(store, tmp_path / "archive")
    return open_folder(str(tmp_path / "archive"))


def test_one_session_a_user_or_a_time(store: Store, folder: Folder) -> None:
    assert restore(store, folder, session_id="s3").restored == 1
    assert restore(store, folder, filters=Filters(user="user-3")).restored == 1
    assert sorted(raw(store)) == ["s3", "s8"]
    since = datetime.now(UTC) - timedelta(days=120)
    assert restore(store, folder, filters=Filters(since=since)).restored == 4
    assert restore(store, folder, filters=Filters(until=since)).restored == 4
    assert len(raw(store)) == 10


def test_restoring_again_changes_nothing(store: Store, folder: Folder) -> None:
    assert restore(store, folder).restored == 10
    before = raw(store)
    again = restore(store, folder)
    assert (again.restored, again.equal, again.different) == (0, 10, [])
    assert raw(store) == before


def test_the_archive_stays_as_it_is(store: Store, folder: Folder) -> None:
    before = verify(folder)
    restore(store, folder)
    assert verify(folder) == before


@pytest.mark.parametrize("number", [1, 3], ids=["with rev", "of another writer"])
def test_a_different_one_is_named_and_left_unless_it_is_to_be_overwritten(
    store: Store, folder: Folder, number: int
) -> None:
    restore(store, folder)
    archived = raw(store)
    store.sessions.update_one({"session_id": f"s{number}"}, {"$set": {"model_group": "other"}})
    changed = raw(store)
    done = restore(store, folder)
    assert (done.different, done.overwritten) == ([f"s{number}"], 0)
    assert raw(store) == changed
    assert restore(store, folder, overwrite=True).overwritten == 1
    assert raw(store) == archived


def test_the_same_id_under_another_key_is_different_and_can_be_overwritten(store: Store, folder: Folder) -> None:
    store.sessions.insert_one({"_id": "mine", "session_id": "s4", "events": []})
    assert restore(store, folder).different == ["s4"]
    assert restore(store, folder, overwrite=True).overwritten == 1
    assert store.sessions.count_documents({}) == 10


def test_a_dry_run_writes_nothing(store: Store, folder: Folder) -> None:
    assert restore(store, folder, dry_run=True).restored == 10
    assert raw(store) == {}


def test_restoring_waits_for_no_archiver(store: Store, folder: Folder) -> None:
    with Lease(store), pytest.raises(LeaseTaken):
        restore(store, folder)
