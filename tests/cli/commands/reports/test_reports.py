"""The smaller reports as commands: the same from every source, readable at 80 and 120 columns, safe, and explained."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llmtrack.sample import plan
from llmtrack.store.database.sessions import Store
from tests.analysis.visits import NOW, samples, turn, visit
from tests.cli.commands.reports.reading import Ran, as_bson, as_jsonl, run

COMMANDS = ("queries", "dropoff", "chats", "health")
AS_OF = ("--as-of", "2026-11-22T16:30Z")
CONFIGURED = "".join(
    f'[[experiments.{plan.EXPERIMENT}.groups]]\nname = "{group.name}"\nmodel = "m"\n' for group in plan.GROUPS
)
KEYS = {
    "queries": ["prompts", "responses", "ranked_by", "prior", "rows"],
    "dropoff": ["by", "control", "sessions", "users", "groups", "turns", "exits", "idle", "latency", "comparisons"],
    "chats": ["by", "control", "chats", "users", "groups", "comparisons"],
    "health": ["by", "ok", "sessions", "users", "checks", "groups"],
}


@pytest.fixture(scope="module")
def jsonl(tmp_path_factory: pytest.TempPathFactory) -> str:
    return as_jsonl(tmp_path_factory.mktemp("samples") / "samples.jsonl", samples())


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path) -> None:
    (tmp_path / "llmtrack.toml").write_text(CONFIGURED)


def shown(command: str, source: str, *more: str) -> Ran:
    return run(command, "--source", source, *AS_OF, *more)


def as_json(command: str, source: str, *more: str) -> Any:
    return json.loads(shown(command, source, "--format", "json", *more).out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_source_gives_the_same_json(
    command: str, jsonl: str, tmp_path: Path, store: Store, mongodb_uri: str
) -> None:
    documents = [*samples()]
    random.Random(7).shuffle(documents)
    store.sessions.insert_many([{**document} for document in documents])
    found = []
    for source in (jsonl, as_bson(tmp_path / "samples.bson", documents), mongodb_uri):
        ran = shown(command, source, "--format", "json")
        assert ran.code == 0
        name = json.dumps(json.loads(ran.out)["source"])
        found.append(ran.out.replace(f'"source": {name}', '"source": "x"'))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_json_keys_are_the_documented_ones(command: str, jsonl: str) -> None:
    document = as_json(command, jsonl, "--device", "desktop")
    assert list(document) == [
        "command", "source", "filters", *KEYS[command], "excluded", "repaired", "warnings",
    ]  # fmt: skip
    assert document["command"] == command
    assert document["filters"] == {"device": "desktop"}
    assert document["repaired"]["clock_shifted"] > 0
    manual = (Path(__file__).parents[4] / "docs" / "reports.md").read_text()
    assert [key for key in KEYS[command] if f"`{key}`" not in manual] == []


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_tables_are_no_wider_than_the_terminal(
    command: str, width: int, jsonl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = shown(command, jsonl).out.splitlines()
    assert max(map(len, lines)) <= width
    rules = [line for line in lines if line.startswith("─")]
    assert rules
    assert all(len(line) > 20 for line in rules)  # none is the rest of a rule that was broken
    assert lines[0].startswith(("Queries", "Drop-off", "Length", "Health"))
    assert lines[-1]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", ["dropoff", "chats"])
def test_partial_answers_are_shown_where_there_are_any(
    command: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    documents = [
        visit(f"{group} {n}", *turn(0, partial=n < 6 or None), *turn(30), group=group)
        for group in ("base-7b", "deep-70b", "fast-3b") for n in range(40)
    ]  # fmt: skip
    lines = shown(command, as_jsonl(tmp_path / "partial.jsonl", documents)).out.splitlines()
    about = next(at for at, line in enumerate(lines) if line.lower().startswith("partial"))
    assert "7.5 %" in "".join(lines[about:])  # 6 of 80 answers
    assert max(len(line) for line in lines if line.startswith(("base-7b", "1  ", "─"))) <= width


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_gets_plain_text(command: str, jsonl: str, tmp_path: Path) -> None:
    ran = shown(command, jsonl, "--out", str(tmp_path / "report.txt"))
    text = (tmp_path / "report.txt").read_text()
    assert ran.out == ""
    assert "\x1b" not in text
    assert "───" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_csv_opens_in_pandas_and_markdown_is_a_table(command: str, jsonl: str) -> None:
    table = pd.read_csv(io.StringIO(shown(command, jsonl, "--format", "csv").out))
    lines = shown(command, jsonl, "--format", "markdown").out.splitlines()
    assert all(line.startswith("| ") for line in lines[: len(table) + 2])
    assert all(line.startswith("- ") for line in lines[len(table) + 3 :])


@pytest.mark.parametrize("command", ["funnel", "dropoff", "chats"])
def test_markdown_and_html_have_the_conclusions(command: str, jsonl: str) -> None:
    compared = json.loads(shown(command, jsonl, "--format", "json").out)["comparisons"]
    lines = shown(command, jsonl, "--format", "markdown").out.splitlines()
    told = [line for line in lines if line.startswith("- ")]
    assert len(told) == sum(1 for each in compared if command != "funnel" or each["p"] is not None) > 0
    for line, each in zip(told, compared, strict=False):
        assert f"{each['group']} against {each['control']}: " in line
        assert line.endswith((": higher.", ": lower.", ": too few users.", ": no verdict.")) or "adjusted" in line
    assert f"{compared[0]['group']} against {compared[0]['control']}" in shown(command, jsonl, "--format", "html").out


@pytest.mark.parametrize("table", ["turns", "exits", "idle", "latency"])
def test_dropoff_gives_each_of_its_tables_as_csv(table: str, jsonl: str) -> None:
    rows = list(csv.DictReader(io.StringIO(shown("dropoff", jsonl, "--format", "csv", "--table", table).out)))
    assert len(rows) == len(as_json("dropoff", jsonl)[table])
    assert all(len(row) == len(rows[0]) and None not in row.values() for row in rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_result_says_which_filter_emptied_it(command: str, jsonl: str) -> None:
    ran = shown(command, jsonl, "--group", "nope")
    assert 'has the group "nope" (--group).' in ran.err
    assert ran.code == (3 if command == "health" else 0)
    assert (ran.out == "") == (command != "health")
    assert as_json(command, jsonl, "--group", "nope")["filters"] == {"group": "nope"}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_could_not_be_read_is_counted_and_named(command: str, tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "some.jsonl", [visit("1", *turn(0))])
    with Path(source).open("a") as file:
        file.write("oops\n")
    ran = shown(command, source, "--format", "json")
    assert "line 2" in ran.err
    assert json.loads(ran.out)["excluded"]["unreadable"] == 1
    assert shown(command, source, "--format", "json", "--quiet").err == ""


@pytest.mark.parametrize("command", COMMANDS[1:])
@pytest.mark.parametrize("by", ["experiment_id", "device", "browser", "os", "none"])
def test_by_any_group(command: str, by: str, jsonl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(command, jsonl, "--by", by).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert (f"by {by}" in lines[0]) == (by != "none")
    warned = any("assigned" in line for line in lines)
    assert warned == (by in ("device", "browser", "os"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["chats", "--by", "shoe"], 'Sessions cannot be grouped by "shoe"'),
        (["dropoff", "--control", "z"], 'No session belongs to the control "z"'),
        (["health", "--as-of", "soon"], "'soon' is not a date"),
        (["queries", "--limit", "-1"], "'--limit'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_exit_2(words: list[str], why: str, jsonl: str) -> None:
    ran = run(*words, "--source", jsonl)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert len(ran.err.splitlines()) == 1


def test_people_s_texts_never_command_the_terminal_or_a_spreadsheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "=HYPERLINK(1) \x1b[31mred\x07\u202e | <b>"
    used = (9, "copy", {"selected_text": "it is so", "chat_session_id": "c"})
    source = as_jsonl(tmp_path / "evil.jsonl", [visit("1", *turn(0, evil), used, group="g\x1b[2J\u202e")])
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        for kind in ("table", "markdown", "csv", "json"):
            ran = shown(command, source, "--format", kind)
            assert not {"\x1b", "\x07", "\u202e"} & set(ran.out + ran.err), (command, kind)
    assert "\n\"'=HYPERLINK" in shown("queries", source, "--format", "csv").out.replace("\r", "")
    assert "\\|" in shown("queries", source, "--format", "markdown").out


def test_queries_shows_so_many_prompts_as_asked(jsonl: str) -> None:
    assert len(as_json("queries", jsonl)["rows"]) == 20
    document = as_json("queries", jsonl, "--limit", "0")
    assert len(document["rows"]) == document["prompts"] > 100
    assert "3 of " in shown("queries", jsonl, "--limit", "3").out


def test_queries_moves_no_text_out_of_the_table(jsonl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = next(line for line in shown("queries", jsonl).out.splitlines() if "…" in line)
    assert row.index("…") < 40


def test_health_fails_with_3_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lost = [visit(f"{i}", *turn(0), group="ab"[i % 2]) for i in range(80)]
    for document in lost:
        for n, event in enumerate(document["events"]):
            event["n"] = n + 2
    source = as_jsonl(tmp_path / "lost.jsonl", lost)
    ran = shown("health", source)
    assert ran.code == 3
    assert "1 check failed" in ran.out.splitlines()[0]
    assert "lost events     x FAILED" in ran.out
    assert "  do: The tracker numbered events that never arrived." in ran.out
    document = as_json("health", source)
    assert document["ok"] is False
    assert [check["check"] for check in document["checks"] if check["status"] == "failed"] == ["lost_events"]


def test_the_demo_is_found_sound_and_its_times_are_iso(jsonl: str) -> None:
    ran = shown("health", jsonl)
    assert ran.code == 0
    assert "nothing failed" in ran.out.splitlines()[0]
    group = as_json("health", jsonl)["groups"][0]
    assert group["first_seen"] < group["last_seen"] < NOW.isoformat()
    assert group["last_seen"].endswith("Z")


def test_last_counts_back_from_as_of(jsonl: str) -> None:
    document = as_json("chats", jsonl, "--last", "7d")
    assert document["filters"] == {"since": "2026-11-15T16:30:00Z"}
    assert 0 < document["chats"] < as_json("chats", jsonl)["chats"]


def test_tables_name_the_planted_difference_only(jsonl: str) -> None:
    for command, words in (("chats", {"higher": 4, "lower": 0}), ("dropoff", {"higher": 0, "lower": 1})):
        out = shown(command, jsonl).out
        for word, count in words.items():
            assert sum(line.endswith(f"  {word}") for line in out.splitlines()) == count
