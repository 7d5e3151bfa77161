"""`llmtrack sessions`: which visits, in which order, in how much room, and why there are none."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmtrack.cli import main
from llmtrack.cli.commands.data.sessions import KEYS
from llmtrack.cli.drawing.listing import LAYOUTS, fitting, shortened
from llmtrack.sample import visits as sample
from llmtrack.store.database.sessions import Store

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)


@pytest.fixture
def documents(store: Store) -> list[dict[str, Any]]:
    made = list(sample.sessions(now=NOW, users=60))
    store.sessions.insert_many(made)
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["sessions", *arguments])
    assert not exited.value.code
    return capsys.readouterr()


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(capsys, *arguments, "--format", "json")[0])["sessions"]
    return found


def visit(session_id: str, minutes_ago: float, **fields: Any) -> dict[str, Any]:
    start = NOW - timedelta(minutes=minutes_ago)
    return {"session_id": session_id, "start_time": start, "end_time": start + timedelta(seconds=90), **fields}


def test_newest_first_twenty_at_most_and_how_many_there_are(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]
) -> None:
    out, err = run(capsys)
    assert len(out.splitlines()) == 22
    *cleaned, shown = err.splitlines()
    assert shown == f"20 of {len(documents)} sessions; all with --limit 0. Play one: llmtrack replay ID"
    assert {line.split(":")[0] for line in cleaned} <= {"Left out", "Repaired"}
    starts = [row["start_time"] for row in rows(capsys, "--limit", "0")]
    assert len(starts) == len(documents)
    assert starts == sorted(starts, reverse=True)


@pytest.mark.parametrize(
    ("sort", "key"), [("prompts", "prompts"), ("copies", "copies"), ("duration", "duration_s"), ("errors", "errors")]
)
def test_sort_puts_the_largest_first(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]], sort: str, key: str
) -> None:
    values = [row[key] for row in rows(capsys, "--sort", sort, "--limit", "0")]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_numbers_are_those_of_the_documents(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]
) -> None:
    plain = {d["session_id"]: d for d in documents if len({str(event) for event in d["events"]}) == len(d["events"])}
    listed = [row for row in rows(capsys, "--limit", "0") if row["session_id"] in plain]
    assert len(listed) > 100
    for row in listed:
        types = [event["type"] for event in plain[row["session_id"]]["events"]]
        assert (row["prompts"], row["copies"], row["events"]) == (
            types.count("prompt"), types.count("copy"), len(types),
        )  # fmt: skip


def test_filters_leave_what_they_name(capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]) -> None:
    found = rows(capsys, "--group", "deep-70b", "--device", "mobile", "--limit", "0")
    assert found
    assert {(row["model_group"], row["device"]) for row in found} == {("deep-70b", "mobile")}


def test_a_shown_id_is_one_that_replay_takes(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]
) -> None:
    out, _ = run(capsys, "--group", "fast-3b", "--limit", "0")
    for shown in (line.split()[0] for line in out.splitlines()[2:]):
        assert sum(document["session_id"].startswith(shown) for document in documents) == 1


def test_ids_that_begin_each_other_stay_apart() -> None:
    ids = ["visit_of_anna", "visit_of_anna_2", "v"]
    assert shortened(ids, ids) == ["visit_of_anna", "visit_of_anna_", "v"]


def test_a_narrow_terminal_shows_whole_headers_and_ids(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out, _ = run(capsys, "--limit", "5")
    header, rule, *shown = out.splitlines()
    assert header.split() == ["id", "day", "group", "min:s", "prompts"]
    assert len(rule) <= 60
    assert "…" not in out
    assert len(shown) == 5


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_a_terminal_of(
    capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]], width: int
) -> None:
    listed = [{**row, "id": row["session_id"][:20]} for row in rows(capsys, "--limit", "0")]
    for row in listed:
        row["start_time"] = datetime.fromisoformat(row["start_time"])
        row["duration_s"] = float("nan") if row["duration_s"] is None else row["duration_s"]
    layout = fitting(listed, width)
    assert {"id", "model_group", "duration_s", "prompts", "copies", "exit_reason"} <= {column.key for column in layout}
    cells = [max(len(c.title), *(len(c.show(row[c.key])) for row in listed)) for c in layout if not c.fold]
    assert sum(cells) + 3 * (len(layout) - 1) <= width
    assert (layout is LAYOUTS[0]) == (width == 120)


def test_csv_has_whole_ids_and_all_columns(capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]) -> None:
    out, _ = run(capsys, "--format", "csv", "--limit", "3")
    found = list(csv.DictReader(io.StringIO(out)))
    assert list(found[0]) == list(KEYS)
    assert {row["session_id"] for row in found} <= {document["session_id"] for document in documents}


def test_markdown_is_a_table(capsys: pytest.CaptureFixture[str], documents: list[dict[str, Any]]) -> None:
    out, _ = run(capsys, "--format", "markdown", "--limit", "2")
    assert out.startswith("| id | start (UTC) | user | group |")
    assert len(out.splitlines()) == 4


UNTOLD = (  # of a source in which no event was ever recorded
    "chats", "prompts", "responses", "errors", "unanswered", "copies", "clicks", "waiting_s", "exit_reason",
)  # fmt: skip


def test_json_has_stable_keys(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.insert_many([visit("a", 50)])
    document = json.loads(run(capsys, "--format", "json", "--group", "unknown")[0])
    assert document == {
        "command": "sessions",
        "source": document["source"],
        "filters": {"group": "unknown"},
        "happened": {},
        "sort": "start",
        "reverse": False,
        "matched": 1,
        "unreadable": {},
        "excluded": {"duplicates": 0, "out_of_range": 0},
        "repaired": dict.fromkeys(document["repaired"], 0),
        "sessions": [
            {
                **dict.fromkeys(KEYS, 0),
                "session_id": "a",
                **dict.fromkeys(("user_id", "model_group", "experiment_id", "device", "browser", "os"), "unknown"),
                "start_time": document["sessions"][0]["start_time"],
                "end_time": document["sessions"][0]["end_time"],
                "end_estimated": False,
                "open": False,
                "duration_s": 90.0,
                "away_s": document["sessions"][0]["away_s"],
                "latency_p50_ms": None,
                "active_s": document["sessions"][0]["active_s"],
                **dict.fromkeys(UNTOLD),
            }
        ],
    }


def test_a_session_without_events_and_end_has_no_duration(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.insert_many([visit("only_a_start", 5 * 24 * 60) | {"end_time": None}])
    assert rows(capsys)[0]["duration_s"] is None
    assert run(capsys)[0].splitlines()[-1].split()[-4:] == ["-"] * 4  # nothing of any kind was ever recorded


def test_what_could_not_be_read_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("some.jsonl").write_text('{"session_id": "a", "start_time": "2026-11-01T10:00:00Z"}\noops\n{"x": 1}\n')
    out, err = run(capsys, "--source", "some.jsonl")
    assert len(out.splitlines()) == 3
    assert "2 documents could not be read" in err
    assert "line 2" in err
    assert "line 3" in err


def test_control_characters_in_names_never_reach_the_terminal(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.insert_many([visit("a", 5, model_group="evil\x1b[31m\x07group", user_id="\u202eresu")])
    out, err = run(capsys)
    assert not {"\x1b", "\x07", "\u202e"} & set(out + err)


EMPTY = {
    "nothing stored": ([], [], "There are no sessions in "),
    "one filter": ([visit("a", 5, model_group="x")], ["--group", "y"], 'has the group "y" (--group).'),
    "time": ([visit("a", 500)], ["--last", "1h"], "No session began since "),
    "several": (
        [visit("a", 5, model_group="x", user_id="u"), visit("b", 5, model_group="y", user_id="v")],
        ["--group", "x", "--user", "v"],
        "no session passes all of them",
    ),
}


@pytest.mark.parametrize(("stored", "arguments", "why"), EMPTY.values(), ids=EMPTY)
def test_an_empty_result_says_which_filter_emptied_it(
    capsys: pytest.CaptureFixture[str], store: Store, stored: list[dict[str, Any]], arguments: list[str], why: str
) -> None:
    if stored:
        store.sessions.insert_many(stored)
    out, err = run(capsys, *arguments)
    assert out == ""
    assert why in err


def test_several_sources_are_read_together_each_session_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start, files = "2026-11-01T10:00:00Z", {"first.jsonl": "ab", "second.jsonl": "bc"}
    for name, ids in files.items():
        lines = [json.dumps({"session_id": each, "start_time": start, "events": []}) for each in ids]
        (tmp_path / name).write_text("\n".join(lines))
    sources = [word for name in files for word in ("--source", str(tmp_path / name))]
    assert sorted(row["session_id"] for row in rows(capsys, *sources)) == ["a", "b", "c"]
