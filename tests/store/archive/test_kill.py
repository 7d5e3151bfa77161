"""The kill matrix: archive and forget are killed after every single step, while others write; a rerun completes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.move import run
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from tests.store.archive.crash import Crashes, fresh
from tests.store.archive.runner import Runner
from tests.store.archive.world import Visitors, Writers, check_all_there, counted, move, sessions, small

SESSIONS = 12
LEASE_S = 0.2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_every_session_is_in_one_place_whatever_step_archive_was_killed_after(store: Store, folder: Path) -> None:
    expected = fresh(store, folder, sessions(SESSIONS))
    crashes = Crashes(store, folder)
    run(store, open_folder(str(folder)), small(), step=crashes.step)
    assert len(crashes.found) > 30
    assert len(crashes.all) > 33
    for crash in crashes.all:
        crash.put(store, folder)
        assert counted(store, folder) == dict.fromkeys(expected, 1), crash.after
        move(store, folder)
        check_all_there(store, folder, expected)
        assert store.sessions.count_documents({}) == 0, crash.after
        assert not verify(open_folder(str(folder))).damaged
        assert not list(folder.rglob("*.writing"))
    move(store, folder)
    check_all_there(store, folder, expected)


def test_no_late_event_and_no_new_session_is_lost_whatever_step_archive_was_killed_after(
    store: Store, folder: Path
) -> None:
    expected = fresh(store, folder, sessions(20))
    visitors = Visitors(store, sorted(expected))
    crashes = Crashes(store, folder, visitors.act)
    run(store, open_folder(str(folder)), small(row_group_sessions=10), step=crashes.step)
    for crash in crashes.all:
        crash.put(store, folder)
        visitors = crash.acknowledged
        everything = expected | visitors.started
        assert counted(store, folder) == dict.fromkeys(everything, 1), crash.after
        move(store, folder)
        check_all_there(store, folder, everything, visitors)
    assert len(visitors.acknowledged) > 5
    assert len(visitors.started) > 5


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.mark.parametrize("after_s", [0.05, 0.15, 0.4])
def test_nothing_is_lost_when_the_process_is_killed_at_any_moment_while_others_write(
    store: Store, mongodb_uri: str, folder: Path, runner: Runner, after_s: float
) -> None:
    expected = fresh(store, folder, sessions(30))
    with Writers(mongodb_uri, sorted(expected), seed=1) as visitors:
        runner.run(mongodb_uri, folder, kill_after=after_s)
        time.sleep(LEASE_S)
        move(store, folder)
    everything = expected | visitors.started
    assert visitors.acknowledged
    assert counted(store, folder) == dict.fromkeys(everything, 1)
    check_all_there(store, folder, everything, visitors)


def test_forget_erases_all_whatever_step_it_was_killed_after(store: Store, folder: Path) -> None:
    whole = fresh(store, folder, sessions(SESSIONS))
    move(store, folder, limit=SESSIONS - 2)
    store.append("s1", [{"n": 9, "t": 1_790_000_000_000, "type": "late"}])  # it was archived, and comes back
    crashes = Crashes(store, folder)
    forget(store, "user-1", step=crashes.step)
    assert len(crashes.found) > 25
    others = {session_id for session_id in whole if int(session_id[1:]) % 5 != 1}
    for crash in crashes.all:
        crash.put(store, folder)
        receipt = forget(store, "user-1")
        assert counted(store, folder) == dict.fromkeys(others, 1), crash.after
        assert receipt.sessions == len(whole - others) + 1, crash.after  # s1 in either place
        assert not verify(open_folder(str(folder))).damaged
        assert b"user-1" not in (folder / "_manifest.jsonl").read_bytes()
        assert store.database["forgets"].count_documents({}) == 0
