"""`llmtrack restore` as it is called."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrack.cli import main
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import move, raw, sessions


@pytest.fixture(autouse=True)
def _archived(store: Store, monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    store.sessions.insert_many(sessions(6))
    move(store, Path("archive"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["restore", "--from", "archive", *arguments])
    out, err = capsys.readouterr()
    return int(exited.value.code or 0), out, err


def test_one_then_all_then_nothing_more(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    name = store.database.name
    assert run(capsys, "--session", "s2") == (0, f"Restored 1 session to {name}.\n", "")
    assert run(capsys, "--user", "user-3") == (0, f"Restored 1 session to {name}.\n", "")
    assert run(capsys, "--all") == (0, f"Restored 4 sessions to {name}; 2 there already.\n", "")
    assert run(capsys, "--all") == (0, f"Restored 0 sessions to {name}; 6 there already.\n", "")


def test_a_different_one_is_named_and_the_exit_code_is_3(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.insert_one({"session_id": "s4", "start_time": datetime(2026, 1, 1, tzinfo=UTC), "events": []})
    code, out, err = run(capsys, "--all")
    assert code == 3
    assert out.endswith("; 1 different and left.\n")
    assert err == "s4: the database holds a different one, which was left.\n"
    code, out, err = run(capsys, "--all", "--overwrite", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "command": "restore",
        "database": store.database.name,
        "dry_run": False,
        "restored": 0,
        "equal": 5,
        "different": ["s4"],
        "overwritten": 1,
    }
    assert len(raw(store)["s4"]) > 100


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Nothing says what to restore. Give --session ID, --user, --since and --until, or --all."),
        (["--session", "nobody"], 1, "No session 'nobody' in archive. Try: llmtrack sessions --source archive"),
        (["--all", "--from", "nowhere"], 2, "There is no archive at 'nowhere'"),
    ],
)
def test_what_goes_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], store: Store, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert store.sessions.count_documents({}) == 0


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    assert run(capsys, "--all", "--dry-run")[1] == f"Would restore 6 sessions to {store.database.name}.\n"
    assert store.sessions.count_documents({}) == 0
