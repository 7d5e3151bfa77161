"""Bots: recorded as everybody is, left out of every report and counted there, and counted in when asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import llmtrack
from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import as_bson, as_jsonl, run

Document = dict[str, Any]
PEOPLE, BOTS = 6, 3


@pytest.fixture
def documents() -> list[Document]:
    """Visits of people, one of them a browser that a program drives, and of bots, marked in three ways."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=100)
    marks: list[Document] = [{"bot": True, "device": "desktop"}, {"device": "bot"}, {"bot": True}]
    people: list[Document] = [{"device": "desktop", "automation": True}, {"device": "mobile", "bot": False}, {}] * 2
    found = []
    for number, environment in enumerate([*people, *marks]):
        at = start + timedelta(minutes=number)
        t = at.timestamp() * 1000
        events = [{"t": t + 1000, "type": "prompt", "data": {"text": "Why?", "chat_session_id": "c", "turn_id": "1"}}]
        who = {
            "session_id": f"s{number}",
            "user_id": f"u{number}",
            "model_group": "ab"[number % 2],
            "experiment_id": "e",
        }
        end = at + timedelta(minutes=1)
        found.append({**who, "start_time": at, "end_time": end, "environment": environment, "events": events})
    return found


def sources(kind: str, documents: list[Document], store: Store, mongodb_uri: str, tmp_path: Path) -> str:
    if kind == "jsonl":
        return as_jsonl(tmp_path / "s.jsonl", documents)
    if kind == "bson":
        return as_bson(tmp_path / "s.bson", documents)
    store.sessions.insert_many(documents)
    if kind == "archive":
        assert run("archive", "--older-than", "90d", "--to", "archive").code == 0
        assert store.sessions.count_documents({}) == 0
        return "archive"
    return mongodb_uri


@pytest.mark.parametrize("kind", ["jsonl", "bson", "mongodb", "archive"])
def test_reports_of_every_source_leave_bots_out_and_count_them(
    kind: str,
    documents: list[Document],
    store: Store,
    mongodb_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    source = sources(kind, documents, store, mongodb_uri, tmp_path)

    def units(*more: str) -> tuple[int, int]:
        found = json.loads(run("funnel", "--source", source, "--format", "json", *more).out)
        return found["units"], found["excluded"].get("bots", 0)

    people, bots = [f"s{n}" for n in range(PEOPLE)], [f"s{n}" for n in range(PEOPLE, PEOPLE + BOTS)]
    assert units() == (PEOPLE, BOTS)
    assert units("--bots") == (PEOPLE + BOTS, 0)
    assert units("--device", "bot") == (BOTS, 0)
    assert units("--device", "desktop") == (2, 0)
    for more, ids in (((), people), (("--bots",), people + bots), (("--device", "bot"), bots)):
        for limit in ("20", "3", "0"):
            listed = run("sessions", "--source", source, "--format", "json", "--limit", limit, *more)
            found = json.loads(listed.out)
            assert found["matched"] == len(ids)
            assert {row["session_id"] for row in found["sessions"]} <= set(ids)
    with llmtrack.open(source) as sessions:
        table = sessions.sessions()
        assert (len(table), table.attrs["excluded"]["bots"]) == (PEOPLE, BOTS)
        everybody = sessions.sessions(["session_id", "device"], bots=True)
        assert sorted(everybody.loc[everybody["device"] == "bot", "session_id"]) == ["s6", "s7", "s8"]


@pytest.mark.parametrize("report", ["funnel", "engagement", "queries", "dropoff", "chats", "health"])
def test_every_report_counts_them(report: str, documents: list[Document], tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "s.jsonl", documents)
    found = json.loads(run(report, "--source", source, "--format", "json").out)
    assert (found["excluded"]["bots"], found["filters"]) == (BOTS, {})
    assert "3 sessions of bots" in run(report, "--source", source).out
    everybody = json.loads(run(report, "--source", source, "--bots", "--format", "json").out)
    assert ("bots" in everybody["excluded"], everybody["filters"]) == (False, {"bots": True})


@pytest.mark.parametrize("table", ["sessions", "events", "turns"])
def test_every_export_leaves_them_out(table: str, documents: list[Document], tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "s.jsonl", documents)
    assert run("export", table, "--source", source).out.count("\n") == PEOPLE + 1
    assert run("export", table, "--source", source, "--bots").out.count("\n") == PEOPLE + BOTS + 1


def test_bots_alone_are_no_empty_source(documents: list[Document], tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "s.jsonl", documents[PEOPLE:])
    assert "Only bots were there (3 sessions): --bots counts them in." in run("funnel", "--source", source).err


def test_replay_shows_a_bot_as_one(documents: list[Document], tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "s.jsonl", documents)
    shown = run("replay", "s6", "--source", source).out
    assert "bot" in next(row for row in shown.splitlines() if row.strip().startswith("device"))


def test_the_last_session_is_the_last_of_a_person(documents: list[Document], tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "s.jsonl", documents)

    def last(*more: str) -> str:
        shown = json.loads(run("replay", "last", "--source", source, "--format", "json", *more).out)
        return str(shown["session"]["session_id"])

    assert (last(), last("--bots"), last("--device", "bot")) == ("s5", "s8", "s8")
    only = as_jsonl(tmp_path / "bots.jsonl", documents[PEOPLE:])
    assert "Only bots were there (3 sessions)" in run("replay", "last", "--source", only).err
