"""`llmtrack export`: whole tables that other programs read, hidden where asked, or no file at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from llmtrack.analysis.export.columns import TABLES
from llmtrack.analysis.export.redact import Redactor
from llmtrack.cli.drawing.target import beside
from llmtrack.errors import UsageError
from llmtrack.sessions import Sessions
from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import Document, Ran, as_bson, as_jsonl, plain, run, samples

KEY = "a key of 25 characters..."
NAMES = ("sessions", "events", "turns")


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return samples(users=60)


@pytest.fixture(scope="module")
def source(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> str:
    return as_jsonl(tmp_path_factory.mktemp("samples") / "visits.jsonl", documents)


def exported(name: str, source: str, *words: str) -> Ran:
    ran = run("export", name, "--source", source, *words)
    assert ran.code == 0, ran.err
    return ran


def read(path: str) -> pd.DataFrame:
    """A table as pandas reads it, with times as times and missing values alike."""
    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path.endswith(".jsonl") else []
    found = pd.DataFrame(map(json.loads, lines)) if lines else pd.read_csv(path)
    for column in found.columns.intersection(["start_time", "end_time", "time", "prompt_time", "response_time"]):
        found[column] = pd.to_datetime(found[column])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_format_holds_the_same_table(source: str, name: str) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        exported(name, source, "--out", f"table.{ending}")
    tables = {ending: read(f"table.{ending}") for ending in ("csv", "jsonl", "parquet")}
    typed = tables["parquet"]
    assert list(typed.columns) == [column.name for column in TABLES[name]]
    assert len(typed) > 100
    for other in (tables["csv"], tables["jsonl"]):
        assert list(other.columns) == list(typed.columns)
        for column in typed.columns:
            ours, theirs = typed[column], other[column]
            if column in ("selected_text", "text", "prompt", "answer"):  # CSV guards spreadsheets
                theirs = theirs.str.replace(r"^'(?=\s*[=+@-])", "", regex=True)
            same = (ours == theirs) | (ours.isna() & theirs.isna())
            assert same.all(), column


@pytest.mark.parametrize("name", NAMES)
def test_parquet_has_the_declared_types(source: str, name: str) -> None:
    exported(name, source, "--out", "table.parquet")
    types = {
        "text": "string",
        "integer": "int64",
        "number": "double",
        "boolean": "bool",
        "time": "timestamp[ms, tz=UTC]",
    }
    schema = pq.read_schema("table.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        column.name: types[column.type] for column in TABLES[name]
    }


def test_rows_are_those_of_a_plain_pandas_script(documents: list[Document]) -> None:
    simple = plain(documents)
    source = as_jsonl(Path("plain.jsonl"), simple)
    exported("events", source, "--out", "events.parquet")
    ours = read("events.parquet")
    events = pd.json_normalize(simple, "events", ["session_id", "user_id"])
    assert len(ours) == len(events)
    assert (ours["t"].to_numpy() == events["t"].to_numpy()).all()
    assert (ours["number"] == events.groupby("session_id").cumcount() + 1).all()
    for column in ("session_id", "user_id", "type", "data.text", "data.scrollY", "data.turn_id", "data.latency_ms"):
        theirs = events[column].reset_index(drop=True)
        mine = ours[column.removeprefix("data.")]
        assert ((mine == theirs) | (mine.isna() & theirs.isna())).all(), column
    shared = events["type"] == "share"
    assert ours.loc[shared, "data"].map(json.loads).tolist() == [{"by": "link"}] * int(shared.sum())

    exported("turns", source, "--out", "turns.parquet")
    turns = read("turns.parquet")
    prompts = events[events["type"] == "prompt"]
    assert turns["prompt"].tolist() == prompts["data.text"].tolist()
    copies = events[events["type"] == "copy"].groupby("data.turn_id").size()
    assert turns.set_index("turn_id")["copies"][lambda found: found > 0].to_dict() == copies.to_dict()


def test_columns_are_chosen_and_ordered(source: str) -> None:
    ran = exported("events", source, "--columns", "type, session_id,scrollY", "--format", "csv")
    assert ran.out.startswith("type,session_id,scrollY\r\n")
    wrong = run("export", "events", "--source", source, "--columns", "type,mood")
    assert (wrong.code, wrong.out) == (2, "")
    assert 'events have no column "mood". Columns: session_id, ' in wrong.err


def test_texts_are_not_read_when_no_column_needs_them(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    original = Sessions.cleaned
    monkeypatch.setattr(Sessions, "cleaned", lambda self, fields: asked.append(fields) or original(self, fields))
    exported("sessions", source, "--columns", "session_id,prompts")
    exported("events", source, "--columns", "session_id,type,scrollY")
    exported("turns", source, "--columns", "turn,waited_s")
    assert asked[1] == ("chat_session_id", "scrollY")  # the order of events depends on their chats
    assert not {"text", "selected_text"} & {field for fields in asked for field in fields}


def test_csv_guards_spreadsheets_and_is_utf_8_with_a_mark(documents: list[Document]) -> None:
    odd = json.loads(json.dumps(plain(documents)[0], default=str))
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'say "hi", ok', "two\nlines", "Grüße, 世界 🎉", "bell\x07"]
    odd["events"] = [
        {"t": odd["events"][0]["t"] + n, "type": "prompt", "data": {"text": text}} for n, text in enumerate(texts)
    ]
    source = as_jsonl(Path("odd.jsonl"), [odd])
    exported("events", source, "--columns", "number,text", "--out", "odd.csv")
    raw = Path("odd.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfnumber,text\r\n")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["text"] for row in rows] == [
        "'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", 'say "hi", ok', "two\nlines", "Grüße, 世界 🎉", "bell",
    ]  # fmt: skip
    assert pd.read_csv("odd.csv").columns.tolist() == ["number", "text"]
    assert exported("events", source, "--columns", "number,text").out.startswith("number,text")
    exact = exported("events", source, "--columns", "text", "--format", "jsonl").out
    assert [json.loads(row)["text"] for row in exact.splitlines()] == texts
    assert "\x07" not in exact


def test_redaction_hides_texts_and_ids_the_same_way_each_time(
    source: str, documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTRACK_REDACT_KEY", KEY)
    for name in NAMES:
        for number in (1, 2):
            exported(name, source, "--redact", "--out", f"{name}{number}.csv")
        assert Path(f"{name}1.csv").read_bytes() == Path(f"{name}2.csv").read_bytes()
    everything = "".join(Path(f"{name}1.csv").read_text() for name in NAMES)
    secrets = {document[key] for document in documents for key in ("session_id", "user_id")}
    for document in documents:
        for event in document["events"]:
            data = event["data"]
            secrets |= {data[key] for key in ("text", "selected_text", "chat_session_id", "page_url") if data.get(key)}
    assert not [secret for secret in secrets if secret in everything]

    sessions, events, turns = (pd.read_csv(f"{name}1.csv") for name in NAMES)
    assert len(sessions) == sessions["session_id"].nunique() == len({d["session_id"] for d in documents})
    joined = events.merge(sessions[["session_id", "prompts"]], on="session_id", validate="many_to_one")
    assert len(joined) == len(events)
    asked = events[events["type"] == "prompt"].merge(turns[turns["turn"] > 0], on=["session_id", "turn_id"])
    assert (asked["text_hash"] == asked["prompt_hash"]).all()
    assert (asked["text_length"] == asked["prompt_length"]).all()
    assert set(asked["user_id_x"]) == set(asked["user_id_y"])

    monkeypatch.setenv("LLMTRACK_REDACT_KEY", KEY[::-1])
    exported("sessions", source, "--redact", "--out", "other.csv")
    assert not set(pd.read_csv("other.csv")["user_id"]) & set(sessions["user_id"])


def test_unknown_is_nobody_s_pseudonym() -> None:
    column = next(each for each in TABLES["sessions"] if each.name == "user_id")
    hidden = Redactor(KEY).table(pd.DataFrame({"user_id": ["unknown", "anna", None]}, dtype="str"), [column])["user_id"]
    assert hidden[0] == "unknown"
    assert hidden[1].startswith("user_")
    assert pd.isna(hidden[2])


@pytest.mark.parametrize(
    ("key", "told"),
    [(None, "LLMTRACK_REDACT_KEY is not set"), ("", "LLMTRACK_REDACT_KEY is not set"), ("short", "has 5 characters")],
)
def test_redaction_needs_a_key(source: str, monkeypatch: pytest.MonkeyPatch, key: str | None, told: str) -> None:
    if key is None:
        monkeypatch.delenv("LLMTRACK_REDACT_KEY", raising=False)
    else:
        monkeypatch.setenv("LLMTRACK_REDACT_KEY", key)
    ran = run("export", "turns", "--source", source, "--redact", "--out", "x.csv")
    assert ran.code == 2
    assert told in ran.err
    assert not Path("x.csv").exists()


def test_a_file_that_is_there_is_replaced_with_force_only(source: str) -> None:
    Path("a.csv").write_text("mine")
    ran = run("export", "sessions", "--source", source, "--out", "a.csv")
    assert (ran.code, Path("a.csv").read_text()) == (2, "mine")
    assert "'a.csv' is there already. Name another file, or replace it with --force." in ran.err
    exported("sessions", source, "--out", "a.csv", "--force")
    assert Path("a.csv").read_text().startswith("\ufeffsession_id,")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_broken_run_leaves_no_file(source: str, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    def breaks(self: Sessions, report: Any) -> Any:
        yield next(original(self, report))
        raise KeyboardInterrupt

    original = Sessions.parts
    monkeypatch.setattr(Sessions, "parts", breaks)
    assert run("export", "sessions", "--source", source, "--out", f"half.{ending}").code == 130
    assert [path.name for path in Path().iterdir() if "half" in path.name] == []


def test_a_file_that_came_meanwhile_is_not_replaced() -> None:
    def write() -> None:
        with beside(Path("b.csv"), force=False) as file:
            file.write(b"ours")
            Path("b.csv").write_text("theirs")

    with pytest.raises(UsageError, match="is there already"):
        write()
    assert [(path.name, path.read_text()) for path in Path().iterdir() if "b.csv" in path.name] == [("b.csv", "theirs")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "."], "No format ends in ''."),
        (["--out", ".", "--format", "csv"], "'.' is no file."),
        (["--out", "nowhere/a.csv"], "'nowhere' is no folder."),
        (["--format", "parquet"], "Parquet is not for a terminal or a pipe."),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(source: str, words: list[str], told: str) -> None:
    ran = run("export", "sessions", "--source", source, *words)
    assert ran.code in (1, 2)
    assert (ran.out, len(ran.err.splitlines())) == ("", 1)
    assert told in ran.err


def test_an_empty_result_is_an_empty_table_and_says_why(source: str) -> None:
    for ending in ("csv", "parquet"):
        ran = exported("turns", source, "--device", "fridge", "--out", f"none.{ending}")
        assert 'has the device "fridge" (--device).' in ran.err
    assert len(read("none.parquet")) == 0
    assert list(read("none.csv").columns) == [column.name for column in TABLES["turns"]]


def test_mongodb_and_files_give_the_same_rows(documents: list[Document], store: Store, mongodb_uri: str) -> None:
    store.sessions.insert_many([{**document} for document in documents])
    named = [mongodb_uri, as_jsonl(Path("a.jsonl"), documents), as_bson(Path("b.bson"), documents)]
    for name in NAMES:
        printed = [exported(name, source, "--format", "jsonl").out for source in named]
        assert len({tuple(sorted(text.splitlines())) for text in printed}) == 1
