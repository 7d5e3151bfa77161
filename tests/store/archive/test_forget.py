"""Erasing a user everywhere, and the receipt of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bson import Binary, Decimal128, ObjectId

from llmtrack.cli.drawing.formats import as_json
from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.session.ids import name
from llmtrack.store.archive import forget as forgetting
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget, plan
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import archived, counted, move, raw, session, sessions

USER = "user-1"  # s1, s6, s11, s16
OTHERS = sorted(f"s{number}" for number in range(20) if number % 5 != 1)


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """Twelve of twenty sessions archived, a chat of two users each."""
    store.sessions.insert_many(sessions(20))
    for user in (USER, "user-2"):
        Chats(store).ask(user, "chat", {"turn_id": "t", "t": 1, "text": "Hello"})
    move(store, tmp_path / "archive", limit=12)
    return tmp_path / "archive"


def test_nothing_of_the_user_is_left_and_all_of_the_others(store: Store, folder: Path) -> None:
    before = {**raw(store)}
    receipt = forget(store, USER)
    assert counted(store, folder) == dict.fromkeys(OTHERS, 1)
    assert receipt.database == {"name": store.database.name, "sessions": 1, "chats": 1}
    assert [archive["sessions"] for archive in receipt.archives] == [3]
    assert Chats(store).get("user-2", "chat")
    assert not Chats(store).get(USER, "chat")
    assert verify(open_folder(str(folder))).damaged == []
    restore(store, open_folder(str(folder)))
    assert sorted(raw(store)) == OTHERS
    assert all(raw(store)[session_id] == document for session_id, document in before.items() if session_id in OTHERS)


def test_versions_that_no_longer_count_are_erased_too(store: Store, folder: Path) -> None:
    restore(store, open_folder(str(folder)), session_id="s1")
    store.sessions.update_one({"session_id": "s1"}, {"$push": {"events": {"t": 1_700_000_000_000, "type": "late"}}})
    move(store, folder)
    assert sum(state.part.sessions for state in Manifest(open_folder(str(folder))).parts.values()) == 21
    forget(store, USER)
    users = {user for path in folder.rglob("part-*.parquet") for user in column(path, "user_id")}
    assert users == {"user-0", "user-2", "user-3", "user-4"}


def column(path: Path, name: str) -> list[str]:
    values: list[str] = pq.read_table(path, columns=[name], partitioning=None)[name].to_pylist()
    return values


def test_the_receipt_holds_hashes_of_the_parts_and_no_personal_data(store: Store, folder: Path) -> None:
    old = {state.part.sha256 for state in Manifest(open_folder(str(folder))).parts.values()}
    receipt = forget(store, USER)
    new = {state.part.sha256 for state in Manifest(open_folder(str(folder))).parts.values()}
    parts = receipt.archives[0]["parts"]
    assert {part["before"] for part in parts} == old - new
    assert {part["after"] for part in parts} - {None} == new - old
    text = as_json(vars(receipt)).replace(str(folder), "")
    assert USER not in text
    assert not any(f'"s{number}' in text for number in range(20))
    assert json.loads(text)["finished_at"] >= json.loads(text)["started_at"]
    kept = (folder / "_manifest.jsonl").read_text()
    assert USER not in kept


def test_a_part_of_which_nothing_is_left_is_removed(store: Store, tmp_path: Path) -> None:
    store.sessions.insert_many([session(number, user_id=USER) for number in range(3)])
    move(store, tmp_path / "archive")
    receipt = forget(store, USER)
    assert receipt.archives[0]["parts"][0]["after"] is None
    assert archived(tmp_path / "archive") == []
    assert not list((tmp_path / "archive").rglob("*part-*"))


def test_ids_that_are_numbers_are_ids(store: Store, tmp_path: Path) -> None:
    store.sessions.insert_many([session(1, user_id=77), session(2, user_id="77"), session(3, user_id=78)])
    move(store, tmp_path / "archive", limit=2)
    forget(store, "77")
    assert counted(store, tmp_path / "archive") == {"s3": 1}


def test_a_dry_run_says_what_would_go_and_erases_nothing(store: Store, folder: Path) -> None:
    before, manifest = raw(store), (folder / "_manifest.jsonl").read_bytes()
    planned = plan(store, USER, [])
    assert planned.database == {"name": store.database.name, "sessions": 1, "chats": 1}
    assert planned.archives[0]["sessions"] == 3
    assert raw(store) == before
    assert (folder / "_manifest.jsonl").read_bytes() == manifest


def test_files_of_others_in_the_archive_are_no_rest_of_the_user(store: Store, folder: Path) -> None:
    (folder / "month=notes.txt").write_text(USER)
    assert forget(store, USER).sessions == 4


def test_somebody_nobody_knows_leaves_everything_as_it_is(store: Store, folder: Path) -> None:
    manifest = (folder / "_manifest.jsonl").read_bytes()
    assert forget(store, "nobody").sessions == 0
    assert (folder / "_manifest.jsonl").read_bytes() == manifest


def test_an_archive_that_is_elsewhere_is_named_and_erased_when_it_is_back(store: Store, folder: Path) -> None:
    away = folder.with_name("away")
    folder.rename(away)
    first = forget(store, USER)
    assert first.unreached[0].startswith(f"{folder} (last used on ")
    away.rename(folder)
    second = forget(store, USER)
    assert second.unreached == []
    assert second.receipt == first.receipt
    assert (second.database["sessions"], second.archives[0]["sessions"]) == (1, 3)


def test_an_archive_that_the_database_does_not_know_is_named_by_hand(store: Store, folder: Path) -> None:
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    store.database["archives"].delete_many({})
    receipt = forget(store, USER, [open_folder(str(copy))])
    assert receipt.archives[0]["folder"] == str(copy)
    assert "s1" not in archived(copy)
    assert "s1" in archived(folder)
    with pytest.raises(UsageError, match="There is no archive at"):
        forget(store, USER, [open_folder(str(folder / "no"))])


def test_a_copy_is_erased_beside_the_archive_itself(store: Store, folder: Path) -> None:
    copies = [folder.with_name("copy"), folder.with_name("copy of the copy")]
    for copy in copies:
        shutil.copytree(folder, copy)
    receipt = forget(store, USER, [open_folder(str(copy)) for copy in copies])
    assert sorted(each["folder"] for each in receipt.archives) == sorted(map(str, [folder, *copies]))
    assert [each["sessions"] for each in receipt.archives] == [3, 3, 3]
    assert not any("s1" in archived(each) for each in (folder, *copies))
    move(store, folder)  # the copies' manifests are not taken for that of the archive


def test_what_is_left_after_all_is_an_error(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_erase", lambda *_: None)
    with pytest.raises(LlmtrackError, match="Something is left: "):
        forget(store, USER)


@pytest.mark.parametrize(
    "user",
    [2**60 + 1, 43.0, True, Binary(b"0123456789abcdef", 4), Decimal128("7.5"), ObjectId(b"0123456789ab")],
    ids=repr,
)
def test_a_user_is_forgotten_by_the_id_as_it_is_shown(store: Store, tmp_path: Path, user: Any) -> None:
    store.sessions.insert_many([session(1, user_id=user), session(2, user_id="other"), session(3, user_id=user)])
    move(store, tmp_path / "archive", limit=2)
    assert forget(store, str(name(user))).sessions == 2
    assert counted(store, tmp_path / "archive") == {"s2": 1}


def test_other_collections_that_hold_the_user_are_named_and_erased_when_asked(store: Store) -> None:
    store.sessions.insert_one(session(1, user_id=USER))
    for key in ("user_id", "userId", "user"):
        store.database[f"by {key}"].insert_many([{key: USER}, {key: "somebody else"}])
    left = {"by user": 1, "by userId": 1, "by user_id": 1}
    assert plan(store, USER, []).elsewhere == left
    receipt = forget(store, USER)
    assert (receipt.elsewhere, receipt.erased_elsewhere, receipt.sessions) == (left, False, 1)
    assert forget(store, USER, everywhere=True).elsewhere == left
    assert plan(store, USER, []).elsewhere == {}
    assert [store.database[name].count_documents({}) for name in left] == [1, 1, 1]
