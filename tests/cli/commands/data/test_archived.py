"""What a reader of the database alone is told of sessions that were archived, and how all are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import run
from tests.store.archive.world import move, session

HOW = "--source all"


@pytest.fixture(autouse=True)
def _moved(store: Store, monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    store.sessions.insert_many([*map(session, range(4)), session(4, age_days=1), session(5, age_days=1)])
    assert move(store, Path("archive")).deleted == 4


def report(command: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(command, "--format", "json", *words).out)
    return found


def told(found: dict[str, Any]) -> list[str]:
    return [each["text"] for each in found["warnings"] if each["code"] == "archived"]


@pytest.mark.parametrize("command", ["funnel", "dropoff", "queries", "health"])
def test_reports_say_what_was_moved(command: str) -> None:
    [text] = told(report(command))
    assert text == f"Not counted: 4 sessions that moved to {Path('archive').resolve()}. To read all: {HOW}"
    assert told(report(command, "--source", "all")) == []


def test_all_reads_both() -> None:
    assert report("sessions")["matched"] == 2
    assert report("sessions", "--source", "all")["matched"] == 6
    ran = run("sessions", "--source", "all", "--source", "archive")
    assert (ran.code, "Name it alone." in ran.err) == (2, True)


def test_only_what_is_asked_for_is_told() -> None:
    assert told(report("dropoff", "--last", "7d")) == []
    assert told(report("dropoff", "--group", "A"))[0].startswith("Not counted: 2 sessions that")
    assert told(report("dropoff", "--session", "s1"))[0].startswith("Not counted: 1 session that")
    assert "Not counted: 4 sessions" in run("sessions").err


def test_what_was_restored_is_not_away() -> None:
    assert run("restore", "--from", "archive", "--session", "s2").code == 0
    assert told(report("dropoff"))[0].startswith("Not counted: 3 sessions that")


def test_a_database_that_was_named_is_named_again(mongodb_uri: str) -> None:
    [text] = told(report("dropoff", "--source", mongodb_uri))
    assert f"--source {Path('archive').resolve()}" in text
    assert text.count("--source") == 2
    assert told(report("dropoff", "--source", mongodb_uri, "--source", "archive")) == []


def test_replay_says_where_an_archived_session_is() -> None:
    ran = run("replay", "s1", "--plain")
    assert (ran.code, str(Path("archive").resolve()) in ran.err, f"replay s1 {HOW}" in ran.err) == (1, True, True)
    assert "Question 1?" in run("replay", "s1", "--plain", "--source", "all").out
    assert "archive" not in run("replay", "nobody", "--plain").err


def test_an_archive_that_is_not_there_is_named() -> None:
    Path("archive").rename("elsewhere")
    ran = run("dropoff", "--source", "all")
    assert (ran.code, f"The archive {Path('archive').resolve()} of this database" in ran.err) == (2, True)
