"""The kill matrix: archive and forget are killed after every single step, while others write; a rerun completes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from tests.store.archive.runner import Runner
from tests.store.archive.world import Writers, check_all_there, counted, move, sessions

SESSIONS = 12
LEASE_S = 0.2


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


def fill(store: Store, count: int = SESSIONS) -> set[str]:
    store.sessions.delete_many({})
    for name in ("leases", "archives", "forgets", "chats"):
        store.database[name].delete_many({})
    documents = sessions(count)
    store.sessions.insert_many(documents)
    return {document["session_id"] for document in documents}


def test_every_session_is_in_one_place_whatever_step_archive_was_killed_after(
    store: Store, mongodb_uri: str, tmp_path: Path, runner: Runner
) -> None:
    fill(store)
    steps = runner.run(mongodb_uri, tmp_path / "whole", "archive")["steps"]
    assert len(steps) > 30
    for number, name in enumerate(steps, 1):
        folder = tmp_path / f"killed{number}"
        expected = fill(store)
        assert runner.run(mongodb_uri, folder, "archive", kill_at=number)["killed"], name
        assert counted(store, folder) == dict.fromkeys(expected, 1), f"killed after {number}, {name}"
        time.sleep(LEASE_S)
        move(store, folder)
        check_all_there(store, folder, expected)
        assert store.sessions.count_documents({}) == 0
        assert not verify(open_folder(str(folder))).damaged
        assert not list(folder.rglob("*.writing"))
        move(store, folder)
        check_all_there(store, folder, expected)


def test_no_late_event_and_no_new_session_is_lost_whatever_step_archive_was_killed_after(
    store: Store, mongodb_uri: str, tmp_path: Path, runner: Runner
) -> None:
    fill(store)
    steps = list(dict.fromkeys(runner.run(mongodb_uri, tmp_path / "whole", "archive")["steps"]))
    assert len(steps) > 12
    kills: list[dict[str, Any]] = [{"kill_at": name} for name in steps]
    kills += [{"kill_after": after} for after in (0.05, 0.1, 0.2, 0.35, 0.6)]  # in the middle of a step, too
    for number, kill in enumerate(kills):
        folder = tmp_path / f"killed{number}"
        expected = fill(store, 30)
        with Writers(mongodb_uri, sorted(expected), number) as writers:
            time.sleep(0.05)
            assert runner.run(mongodb_uri, folder, "archive", **kill)["killed"] or "kill_after" in kill, kill
            time.sleep(LEASE_S)
            move(store, folder)
        everything = expected | writers.started
        assert writers.acknowledged
        assert counted(store, folder) == dict.fromkeys(everything, 1), kill
        check_all_there(store, folder, everything, writers)


def test_forget_erases_all_whatever_step_it_was_killed_after(
    store: Store, mongodb_uri: str, tmp_path: Path, runner: Runner
) -> None:
    whole = prepare_forget(store, tmp_path / "whole")
    steps = runner.run(mongodb_uri, tmp_path / "whole", "user-1")["steps"]
    assert len(steps) > 25
    for number, name in enumerate(steps, 1):
        folder = tmp_path / f"killed{number}"
        prepare_forget(store, folder)
        assert runner.run(mongodb_uri, folder, "user-1", kill_at=number)["killed"], name
        time.sleep(LEASE_S)
        receipt = forget(store, "user-1")
        others = {session_id for session_id in whole if int(session_id[1:]) % 5 != 1}
        assert counted(store, folder) == dict.fromkeys(others, 1), f"killed after {number}, {name}"
        if name != "proved":  # by then all was done but the last note
            assert receipt.sessions == len(whole - others), f"killed after {number}, {name}"
        assert not verify(open_folder(str(folder))).damaged
        assert b"user-1" not in (folder / "_manifest.jsonl").read_bytes()
        assert store.database["forgets"].count_documents({}) == 0


def prepare_forget(store: Store, folder: Path) -> set[str]:
    """Most of the sessions in the archive, some in the database."""
    expected = fill(store)
    move(store, folder, limit=SESSIONS - 2)
    return expected
