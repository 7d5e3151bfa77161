"""The Python interface: instant to import, the filters of the command line, tables and reports that agree."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llmtrack
from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import Document, as_jsonl, samples

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return samples(users=60)


@pytest.fixture
def sessions(documents: list[Document]) -> llmtrack.Sessions:
    return llmtrack.open(as_jsonl(Path("visits.jsonl"), documents), now=NOW)


def test_import_llmtrack_imports_nothing_else() -> None:
    script = "import sys, llmtrack; print({'pandas', 'numpy', 'pymongo', 'pydantic', 'typer'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "set()\n"


def test_its_names_are_offered_and_no_others() -> None:
    assert {"open", "funnel", "engagement", "Sessions"} <= set(dir(llmtrack))
    with pytest.raises(AttributeError, match="has no attribute 'banana'"):
        _ = llmtrack.banana


def visit(start: datetime) -> Document:
    return {"session_id": f"s{start:%d%H%M}", "start_time": start, "end_time": start + timedelta(minutes=1)}


WHERE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all": ({}, ["s010000", "s012359", "s020000", "s100000"]),
    "since a date": ({"since": "2026-11-02"}, ["s020000", "s100000"]),
    "until a date includes the day": ({"until": "2026-11-01"}, ["s010000", "s012359"]),
    "until a day includes it": ({"until": date(2026, 11, 1)}, ["s010000", "s012359"]),
    "until a moment": ({"until": datetime(2026, 11, 1, 12, tzinfo=UTC)}, ["s010000"]),
    "another zone": ({"since": "2026-11-02T01:00+02:00", "until": "2026-11-02T01:00Z"}, ["s012359", "s020000"]),
    "last": ({"last": "24h"}, ["s100000"]),
    "last as a timedelta": ({"last": timedelta(days=9)}, ["s012359", "s020000", "s100000"]),
    "None is no filter": ({"since": None, "last": None, "group": None}, ["s010000", "s012359", "s020000", "s100000"]),
}


@pytest.mark.parametrize(("where", "expected"), WHERE.values(), ids=WHERE)
def test_filters_mean_what_they_mean_on_the_command_line(where: dict[str, Any], expected: list[str]) -> None:
    starts = [(1, 0, 0), (1, 23, 59), (2, 0, 0), (10, 0, 0)]
    made = [visit(datetime(2026, 11, day, hour, minute, tzinfo=UTC)) for day, hour, minute in starts]
    opened = llmtrack.open(as_jsonl(Path("few.jsonl"), made), now=datetime(2026, 11, 10, 20, tzinfo=UTC))
    assert opened.sessions(**where)["session_id"].tolist() == expected


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"last": "soon"}, "'soon' is not a length of time"),
        ({"last": "-3d"}, "'-3d' is not a length of time"),
        ({"since": "1.5.26"}, "'1.5.26' is not a date"),
        ({"since": "2026-01-01", "last": "7d"}, "since and last both say where to begin"),
        ({"grup": "x"}, "There is no filter 'grup'"),
    ],
)
def test_a_filter_that_cannot_be_is_said(sessions: llmtrack.Sessions, where: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        sessions.events(**where)


def test_where_narrows_and_leaves_the_first_as_it_was(sessions: llmtrack.Sessions) -> None:
    mobile = sessions.where(device="mobile")
    both = mobile.where(group="fast-3b")
    found = both.sessions()
    assert set(found["device"]) == {"mobile"}
    assert set(found["model_group"]) == {"fast-3b"}
    assert 0 < len(found) < len(mobile.sessions()) < len(sessions.sessions())
    assert "device='mobile'" in repr(both)


def test_tables_agree_with_each_other(sessions: llmtrack.Sessions) -> None:
    table, events, turns = sessions.sessions(), sessions.events(), sessions.turns()
    by_session = table.set_index("session_id")
    kinds = events.pivot_table(index="session_id", columns="type", values="t", aggfunc="count", fill_value=0)
    shared = by_session.loc[kinds.index]
    assert (kinds["prompt"] == shared["prompts"]).all()
    assert (kinds["copy"] == shared["copies"]).all()
    assert (events.groupby("session_id").size() == shared["events"]).all()
    asked = turns[turns["turn"] > 0]
    assert len(asked) == table["prompts"].sum()
    assert turns["copied"].sum() == table["copied_responses"].sum()
    assert turns["answered"].sum() == table["responses"].sum()
    assert (events["time"].astype("int64") == events["t"]).all()


def test_a_table_tells_what_was_left_out_and_mended(sessions: llmtrack.Sessions, documents: list[Document]) -> None:
    path = Path("visits.jsonl")
    path.write_text(path.read_text() + "oops\n")
    found = sessions.sessions(columns=["session_id"])
    assert len(found) == len(documents)
    assert found.attrs["excluded"]["unreadable"] == 1
    assert found.attrs["repaired"]["inversions"] > 0
    assert sessions.sessions(columns=["session_id"]).attrs["excluded"]["unreadable"] == 1


def test_reports_have_frames(sessions: llmtrack.Sessions) -> None:
    funnel = llmtrack.funnel(sessions, ["prompt", "copy"], by="none", last="21d")
    assert funnel.to_frame()["step"].tolist() == ["prompt", "copy"]
    engagement = llmtrack.engagement(sessions, weights={"base-7b": 1, "deep-70b": 1, "fast-3b": 1})
    assert isinstance(engagement.to_frame(), pd.DataFrame)
    assert engagement.health.srm_p > 0
    for report in (llmtrack.queries, llmtrack.dropoff, llmtrack.chats, llmtrack.health):
        found = report(sessions, group="fast-3b")
        assert len(found.to_frame()) > 0
        assert "unreadable" not in found.excluded
        assert "<table" in found._repr_html_()
    assert llmtrack.false_positives(sessions, 1).runs == 1


def test_a_notebook_shows_warnings_and_peoples_words_as_words(sessions: llmtrack.Sessions) -> None:
    shown = llmtrack.engagement(sessions)._repr_html_()
    assert "Engagement" in shown
    assert "⚠ No configured weights" in shown
    hostile = Path("hostile.jsonl")
    asked: Document = {"session_id": "s", "start_time": 1_790_000_000_000, "end_time": 1_790_000_060_000}
    text = "<script>alert(1)</script>"
    events = [
        (0, "prompt", {"text": text}),
        (9, "model_response", {"text": "so"}),
        (12, "copy", {"selected_text": "so"}),
    ]
    asked["events"] = [{"t": 1_790_000_000_000 + 1000 * t, "type": kind, "data": data} for t, kind, data in events]
    shown = llmtrack.queries(llmtrack.open(as_jsonl(hostile, [asked])))._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_a_mongodb_uri_works_as_it_stands(documents: list[Document], store: Store, mongodb_uri: str) -> None:
    store.sessions.insert_many([{**document} for document in documents])
    with llmtrack.open(mongodb_uri) as opened:
        assert len(opened.sessions()) == len(documents)
        assert store.sessions.count_documents({}) == len(documents)


def test_no_sessions_are_empty_tables(sessions: llmtrack.Sessions) -> None:
    none = sessions.where(user="nobody")
    assert [len(table) for table in (none.sessions(), none.events(), none.turns())] == [0, 0, 0]
    assert llmtrack.funnel(none).groups == ()
    assert llmtrack.engagement(none).users == 0


def test_a_table_that_does_not_exist_is_said(sessions: llmtrack.Sessions) -> None:
    with pytest.raises(LlmtrackError, match='There is no table "visits"'):
        next(sessions.tables("visits"))  # type: ignore[arg-type]
    with pytest.raises(LlmtrackError, match="There is no source"):
        llmtrack.open("nowhere.jsonl")
