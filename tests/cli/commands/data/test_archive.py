"""`llmtrack archive` as cron and people call it: what it says, how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmtrack.cli import main
from llmtrack.store.archive.lease import Lease
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import archived, session, sessions

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> Run:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(["archive", *arguments])
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run


def test_cron_gets_one_line(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(6))
    code, out, err = run("--older-than", "90d", "--to", "archive")
    assert (code, err) == (0, "")
    assert out.startswith("Moved 6 sessions to archive (18 events, 2 parts, ")
    assert " kB); took " in out
    assert out.count("\n") == 1
    code, out, _ = run("--older-than", "90d", "--to", "archive")
    assert (code, out[:33]) == (0, "Moved 0 sessions to archive; took")


def test_json_has_every_count(run: Run, store: Store) -> None:
    store.sessions.insert_many([*sessions(6), session(9, session_id=None)])
    code, out, _ = run("--older-than", "90d", "--to", "archive", "--format", "json", "--group", "A")
    found = json.loads(out)
    assert code == 0
    assert found.pop("bytes") > 0
    assert found.pop("seconds") > 0
    assert found.pop("cutoff")[:10] == f"{datetime.now(UTC) - timedelta(days=90):%Y-%m-%d}"
    assert found == {
        "command": "archive",
        "folder": "archive",
        "dry_run": False,
        "skipped": False,
        "keep": False,
        "filters": {"group": "A"},
        "sessions": 3,
        "events": 9,
        "parts": 1,
        "deleted": 3,
        "late": 0,
        "conflicts": [],
        "unreadable": {},
        "unreadable_named": [],
        "completed_parts": 0,
        "cleaned_files": [],
        "foreign_files": [],
        "stopped": None,
    }


def test_what_cannot_be_moved_is_named_and_the_exit_code_is_3(run: Run, store: Store) -> None:
    store.sessions.insert_many([*sessions(2), session(9, events="none")])
    code, out, err = run("--older-than", "90d", "--to", "archive")
    assert code == 3
    assert "Moved 2 sessions" in out
    assert err == "_id s9: events not a list: stays in the database.\n"


@pytest.mark.parametrize("typed", ["1m", "1 M", "6m", "1.5m"])
def test_m_is_no_time_after_which_a_database_is_emptied(run: Run, store: Store, typed: str) -> None:
    store.sessions.insert_many(sessions(2))
    code, _, err = run("--older-than", typed, "--to", "archive")
    assert (code, "minutes or months?" in err, f"{typed.lower().rstrip('m').strip()}mo" in err) == (2, True, True)
    assert store.sessions.count_documents({}) == 2


def test_months_and_minutes_are_what_they_say(run: Run) -> None:
    for typed, meant in (("2mo", timedelta(days=62)), ("30min", timedelta(minutes=30))):
        words = ("--older-than", typed, "--to", "archive", "--dry-run")
        cutoff = datetime.fromisoformat(json.loads(run(*words, "--format", "json")[1])["cutoff"])
        assert timedelta() <= datetime.now(UTC) - meant - cutoff < timedelta(minutes=1)
        assert f"Without activity since {cutoff:%Y-%m-%d}" in run(*words)[1]


def test_a_dry_run(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(4))
    code, out, _ = run("--older-than", "90d", "--to", "archive", "--dry-run")
    assert code == 0
    assert out.startswith("Would move 4 sessions (12 events, 2.3 kB of documents, begun in 20")
    assert not Path("archive").exists()
    assert (
        json.loads(run("--older-than", "90d", "--to", "archive", "--dry-run", "--format", "json")[1])["sessions"] == 4
    )


def test_retention_is_the_one_that_is_set(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.sessions.insert_many(sessions(6))
    code, _, err = run("--older-than", "retention", "--to", "archive")
    assert code == 2
    assert "no retention is set. Set retention_days under [privacy] in llmtrack.toml" in err
    monkeypatch.setenv("LLMTRACK_PRIVACY__RETENTION_DAYS", "36500")
    assert run("--older-than", "retention", "--to", "archive")[1].startswith("Moved 0 sessions")
    monkeypatch.setenv("LLMTRACK_PRIVACY__RETENTION_DAYS", "90")
    assert run("--older-than", "retention", "--to", "archive")[1].startswith("Moved 6 sessions")


def test_a_second_archiver_says_so(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(2))
    with Lease(store):
        code, out, err = run("--older-than", "90d", "--to", "archive")
        assert (code, out) == (1, "")
        assert err.startswith("llmtrack: Another run of archive, restore or forget is at work: process ")
        code, out, err = run("--older-than", "90d", "--to", "archive", "--skip-if-running")
        assert (code, err) == (0, "")
        assert out.endswith("UTC. Skipped.\n")
        skipped = json.loads(run("--older-than", "90d", "--to", "archive", "--skip-if-running", "--format", "json")[1])
    moved = json.loads(run("--older-than", "90d", "--to", "archive", "--keep", "--format", "json")[1])
    assert (skipped["skipped"], skipped["sessions"], moved["skipped"]) == (True, 0, False)
    assert skipped.keys() == moved.keys()
    assert store.sessions.count_documents({}) == 2


def test_options_that_stop_early_and_keep(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(6))
    assert "Copied 2 sessions" in run("--older-than", "90d", "--to", "archive", "--keep", "--limit", "2")[1]
    assert store.sessions.count_documents({}) == 6
    out = run("--older-than", "90d", "--to", "archive", "--limit", "3")[1]
    assert out.startswith("Moved 1 session to archive")
    assert "; deleted 3 from the database, with those archived before; stopped by the limit given; took" in out
    assert run("--older-than", "90d", "--to", "archive", "--max-seconds", "60")[1].startswith("Moved 3 sessions")
    assert len(archived(Path("archive"))) == 6


def test_verify_says_that_all_is_well_or_names_what_is_not(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(4))
    run("--older-than", "90d", "--to", "archive")
    code, out, err = run("--verify", "--to", "archive")
    assert (code, err) == (0, "")
    assert out.startswith("2 parts with 4 sessions, ")
    assert out.endswith(" kB: all as written.\n")
    next(Path("archive").glob("month=*/part-*")).write_bytes(b"PAR1")
    code, out, err = run("--verify", "--to", "archive")
    assert code == 1
    assert err.startswith("damaged: archive/month=")
    assert err.endswith("llmtrack: The archive is damaged. Put the named files back from a backup.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "archive"], 2, "Nothing says how old sessions must be. Give --older-than 90d, or --verify."),
        (["--older-than", "soon", "--to", "archive"], 2, "'soon' is not a length of time"),
        (["--older-than", "90d"], 2, "Missing option '--to'"),
        (["--verify", "--to", "nowhere"], 2, "There is no archive at 'nowhere'"),
        (["--older-than", "90d", "--to", ""], 2, "The name of the archive's folder is empty"),
        (["--older-than", "90d", "--to", "no/such/folder"], 1, "such' is not there. Is the disk mounted?"),
        (["--older-than", "90d", "--to", "no/such/folder", "--dry-run"], 1, "such' is not there. Is the disk mounted?"),
        (["--older-than", "90d", "--to", "a", "--database", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"], 1,
         "The database does not answer"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(run: Run, store: Store, arguments: list[str], code: int, message: str) -> None:
    store.sessions.insert_many(sessions(2))
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
    assert store.sessions.count_documents({}) == 2


def test_adopt_names_the_parts_of_a_lost_manifest(run: Run, store: Store) -> None:
    store.sessions.insert_many(sessions(4))
    run("--to", "a", "--older-than", "90d")
    Path("a/_manifest.jsonl").unlink()
    store.sessions.insert_many(sessions(1))
    code, _, err = run("--to", "a", "--older-than", "90d")
    assert (code, err.count("\n")) == (1, 1)
    assert "llmtrack archive --adopt --to a" in err
    code, out, err = run("--to", "a", "--adopt")
    assert (code, out, err) == (0, "Adopted 2 parts with 4 sessions.\n", "")
    code, out, err = run("--to", "a", "--adopt", "--format", "json")
    assert json.loads(out)["parts"] == []
