"""The LLM Platform's data, in each shape that its versions leave: the same right numbers, wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import llmtrack
from llmtrack import reports
from llmtrack.cli import main
from llmtrack.store.database.sessions import Store

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
MS = round(NINE.timestamp() * 1000)
RIVER = "The **Elbe** rises in the *Giant Mountains*."
Event = tuple[float, str, dict[str, Any]]


def turn(asked: float, answered: float, text: str = RIVER, model: str = "owl") -> list[Event]:
    answer = {"text": text, "model": model, "provider": "zoo", "latency_ms": (answered - asked) * 1000}
    return [(asked, "prompt", {"text": f"Where at {asked:g}?"}), (answered, "model_response", answer)]


def session(name: str, *events: Event, end: float | None, server_h: float = 0, **more: Any) -> dict[str, Any]:
    """A document as the application stores it; what its server wrote lies `server_h` hours beside the page's clock."""
    ahead = dict.fromkeys(("prompt", "model_response", "error"), server_h * 3600000)
    return {
        "session_id": name,
        "user_id": f"user of {name}",
        "experiment_id": "production_v1",
        "start_time": NINE,
        "end_time": None if end is None else NINE + timedelta(seconds=end),
        "environment": {"device": "desktop", "browser": "Firefox", "os": "Linux", "language": "en"},
        "events": [
            {"t": round(MS + at * 1000 + ahead.get(kind, 0)), "type": kind, "data": data} for at, kind, data in events
        ],
        **more,
    }


def enter(at: float) -> Event:
    return (at, "key", {"target": "Enter"})


def click(at: float, **data: Any) -> Event:
    return (at, "click", data)


def copy(at: float) -> Event:
    return (at, "copy", {"selected_text": "The Elbe rises in the Giant Mountains."})


TALK = [enter(2), *turn(2.1, 5), click(8, x=1), enter(9), *turn(9, 11)]
SESSIONS = [
    session("rendered", *turn(2, 5), copy(8), end=10),
    session("error", click(1, x=1), (6, "error", {"error_code": "500", "text": "no"}), enter(2), click(9, x=1), end=10),
    session("ahead", *TALK, end=12, server_h=4),
    session("ahead, no end", *TALK, end=None, server_h=4),
    session("behind", *TALK, end=12, server_h=-8.5),
    session("reloaded", *turn(1, 3), click(15, x=1), copy(20), end=4),
    session("model changed", *turn(1, 3), click(6, x=1), *turn(300, 302), copy(310), end=5),
    session("texts elsewhere", enter(2), copy(9), end=3, status="ended", last_activity=NINE + timedelta(seconds=9.5)),
    session("failure as text", *turn(1, 3, "Error generating response: 500"), end=8),
    session("opened again", *turn(1, 3), *turn(172_800, 172_802), end=172_810),
    session("rated", *turn(1, 3), (5, "feedback", {"feedback": "up"}), end=6),
    session(
        "two models",
        *turn(1, 3),
        *turn(10, 14, "In the hills.", "elk"),
        click(16.001, x=1, target="A", text="Map", target_url="https://example.org/map"),
        click(16.021, target_url="https://example.org/map"),
        end=20,
    ),
]
QUERY = {
    "session_id": "texts elsewhere",
    "user_id": "user of texts elsewhere",
    "query": "Where?",
    "response": RIVER,
    "timestamp": NINE + timedelta(seconds=5),
    "created_at": (NINE + timedelta(seconds=5)).isoformat(),
    "latency_ms": 3000.0,
    "model_name": "owl",
    "model_provider": "zoo",
    "success": True,
    "embedding": [0.5] * 8,
}
COLUMNS = ("duration_s", "prompts", "responses", "errors", "answer_copies", "waiting_s", "active_s", "exit_reason")
RIGHT = {  # by hand
    "rendered": (10, 1, 1, 0, 1, 3, 5, "after_copy"),
    "error": (10, 1, 0, 1, 0, 4, 5, "after_error"),
    "ahead": (12, 2, 2, 0, 0, 4.9, 6.1, "silent"),
    "ahead, no end": (11, 2, 2, 0, 0, 4.9, 6.1, "silent"),
    "behind": (12, 2, 2, 0, 0, 4.9, 6.1, "silent"),
    "reloaded": (20, 1, 1, 0, 1, 2, 18, "after_copy"),
    "model changed": (310, 2, 2, 0, 1, 4, 42, "after_copy"),
    "texts elsewhere": (9.5, 1, 1, 0, 1, 3, 6, "after_copy"),
    "failure as text": (8, 1, 0, 1, 0, 2, 1, "after_error"),
    "opened again": (3, 1, 1, 0, 0, 2, 1, "silent"),
    "opened again#2": (10, 1, 1, 0, 0, 2, 0, "silent"),
    "rated": (6, 1, 1, 0, 0, 2, 3, "after_reading"),
    "two models": (20, 2, 2, 0, 0, 6, 10.001, "after_reading"),
}


def in_mongodb(store: Store, uri: str, folder: Path) -> str:
    store.sessions.insert_many([dict(each) for each in SESSIONS])
    store.database["queries"].insert_one(dict(QUERY))
    return uri


def in_lines(store: Store, uri: str, folder: Path) -> str:
    path = folder / "platform.jsonl"
    path.write_text("".join(json.dumps(each, default=datetime.isoformat) + "\n" for each in [QUERY, *SESSIONS]))
    return str(path)


def imported(store: Store, uri: str, folder: Path) -> str:
    done("import", in_lines(store, uri, folder), "--to", uri, "-q")
    return uri


def in_archive(store: Store, uri: str, folder: Path) -> str:
    there = str(folder / "archive")
    done("archive", "--older-than", "1d", "--to", there, "--database", imported(store, uri, folder), "-q")
    return there


def done(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


@pytest.mark.parametrize("place", [in_mongodb, in_lines, in_archive])
def test_every_shape_gives_the_right_numbers_wherever_it_lies(
    place: Callable[[Store, str, Path], str],
    store: Store,
    mongodb_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMTRACK_FAILED_ANSWER", '["^Error generating response"]')
    monkeypatch.chdir(tmp_path)
    with llmtrack.open(place(store, mongodb_uri, tmp_path)) as sessions:
        table = sessions.sessions(["session_id", *COLUMNS, "clicks", "out_of_range"])
        found = {row[0]: tuple(row[1:9]) for row in table.itertuples(index=False)}
        assert {name: pytest.approx(RIGHT[name][:7]) for name in RIGHT} == {name: found[name][:7] for name in found}
        assert {name: row[7] for name, row in found.items()} == {name: row[7] for name, row in RIGHT.items()}
        assert table.set_index("session_id")["clicks"]["two models"] == 1
        assert table["out_of_range"].sum() == 0
        assert sessions.events(["rating"])["rating"].dropna().tolist() == ["up"]
        assert sessions.grouping() == "model"
        metrics = {metric.metric: metric for metric in reports.engagement(sessions).metrics}
    counted = {
        name: {group.group: (group.numerator, group.denominator) for group in metrics[name].groups if group.denominator}
        for name in ("copied_response_share", "error_share", "prompts_per_session")
    }
    assert counted["copied_response_share"] == {"owl": (4, 15), "elk": (0, 1)}
    assert counted["error_share"] == {"owl": (1, 16), "elk": (0, 1), "unknown": (1, 1)}
    assert counted["prompts_per_session"] == {"owl": (15, 11), "mixed": (2, 1), "unknown": (1, 1)}


@pytest.mark.parametrize("place", [in_mongodb, imported, in_lines, in_archive])
def test_a_chat_that_began_earlier_counts_by_its_later_sessions(
    place: Callable[[Store, str, Path], str], store: Store, mongodb_uri: str, tmp_path: Path
) -> None:
    later = NINE + timedelta(days=1)
    with llmtrack.open(place(store, mongodb_uri, tmp_path)) as sessions:
        assert sessions.sessions(["session_id"], since=later)["session_id"].tolist() == ["opened again#2"]
        assert len(sessions.sessions(["session_id"], until=later)) == len(SESSIONS)


def test_the_newest_session_may_be_of_an_old_chat(
    store: Store, mongodb_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(store, mongodb_uri, tmp_path)
    done("sessions", "--limit", "1", "--format", "json", "--source", mongodb_uri)
    (row,) = json.loads(capsys.readouterr().out)["sessions"]
    assert row["session_id"] == "opened again#2"
    done("replay", "last", "--format", "json", "--source", mongodb_uri)
    assert json.loads(capsys.readouterr().out)["session"]["start_time"] == "2026-03-04T09:00:00Z"


@pytest.mark.parametrize("asked", [False, True])
def test_replay_says_first_that_no_prompt_is_stored(
    asked: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [session(name, enter(2), click(4), (6, "browse", {"page_url": "/"}), end=60) for name in ("a", "b")]
    path = tmp_path / "sessions.jsonl"
    more = [session("c", *turn(1, 3), end=5)] if asked else []
    path.write_text("".join(json.dumps(each, default=datetime.isoformat) + "\n" for each in [*silent, *more]))
    done("replay", "a", "--source", str(path))
    told = capsys.readouterr()
    assert told.err.startswith("All 2 sessions hold no prompt") != asked
    assert "active 4 s" in " ".join(told.out.split())  # what the page's script notes is no act of a person


@pytest.mark.parametrize("backwards", [False, True])
def test_turns_find_their_sessions_in_whatever_order_files_have_them(
    backwards: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = {"id": "v", "began": NINE, "log": []}
    answers = [{"visit": of, "query": "Why?", "response": "So.", "timestamp": NINE} for of in ("v", "lost", "lost")]
    everything = [*answers, visit, {"id": "mute", "began": NINE, "log": [{"t": MS, "type": "click"}]}]
    lines = [json.dumps(each, default=datetime.isoformat) + "\n" for each in everything]
    (tmp_path / "visits.jsonl").write_text("".join(lines[::-1] if backwards else lines))
    (tmp_path / "llmtrack.toml").write_text(
        '[sources.shop]\nkind = "visits"\nuri = "visits.jsonl"\nsession_id = "id"\nstart_time = "began"\n'
        'events = "log"\n[sources.shop.turns]\ncollection = "answers"\nsession_id = "visit"\n'
    )
    monkeypatch.chdir(tmp_path)
    with llmtrack.open("shop") as sessions:
        table = sessions.sessions(["session_id", "prompts", "responses"]).set_index("session_id")
        assert table.to_dict("index") == {"v": {"prompts": 1, "responses": 1}, "mute": {"prompts": 0, "responses": 0}}
        (lost,) = sessions.source.unreadable.named
        assert "no visit for this turn and 1 more" in lost
