"""`llmtrack import` as it is called: what it says, how it exits, and processes side by side."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest

from llmtrack.cli import main
from llmtrack.sample import visits as sample
from llmtrack.store.database.sessions import Store

NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
SEED_SHAPED = {  # as another writer stores it: its times and its t disagree by hours
    "session_id": "user_abc_1730000000000_xyz",
    "user_id": "abc-123-def-456",
    "model_group": "gpt-4o-mini",
    "start_time": "2024-10-27T10:00:00Z",
    "end_time": "2024-10-27T10:15:30Z",
    "events": [{"t": 1730000010000, "type": "prompt", "data": {"text": "What is machine learning?"}}],
}


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["import", *arguments])
    out, err = capsys.readouterr()
    return int(exited.value.code or 0), out, err


def write(name: str, *documents: Any) -> str:
    Path(name).write_text("".join(json.dumps(document) + "\n" for document in documents))
    return name


def test_a_seed_shaped_document_is_stored_as_it_is(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    code, out, _ = run(capsys, write("seed.jsonl", SEED_SHAPED))
    assert code == 0
    assert out.split()[-4:] == ["seed.jsonl", "1", "0", "0"]
    assert store.find(SEED_SHAPED["session_id"]) == SEED_SHAPED


def test_indexes_are_made_first(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.drop()
    run(capsys, write("seed.jsonl", SEED_SHAPED))
    assert len(store.sessions.index_information()) == 7


def test_what_could_not_be_read_is_named_and_the_exit_code_is_3(
    capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    Path("some.jsonl").write_text('{"session_id": "a", "start_time": 1730000000000}\noops\n{"x": 1}\n')
    code, out, err = run(capsys, "some.jsonl")
    assert code == 3
    assert out.split()[-4:] == ["some.jsonl", "1", "0", "2"]
    assert "some.jsonl, line 2: not JSON" in err
    assert "some.jsonl, line 3: no session id" in err


def test_many_unreadable_lines_are_counted_and_the_first_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("not.json").write_text("what is this\n" * 1000)
    code, out, err = run(capsys, "not.json")
    assert code == 1
    assert "1,000" in out
    assert len(err.splitlines()) == 11
    assert "not.json: 990 more documents could not be read." in err
    assert run(capsys, "not.json", "--quiet")[2] == ""


def test_json_names_files_counts_and_what_was_unreadable(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    Path("some.jsonl").write_text('{"session_id": "a", "start_time": 1730000000000}\noops\n')
    more = write("more.jsonl", {"session_id": "a", "start_time": 1730000000000})
    _, out, _ = run(capsys, "some.jsonl", more, "--format", "json")
    assert json.loads(out) == {
        "command": "import",
        "database": store.database.name,
        "dry_run": False,
        "inserted": 1,
        "already_there": 1,
        "completed": 0,
        "different": 0,
        "unreadable": 1,
        "files": [
            {
                "file": "some.jsonl",
                "inserted": 1,
                "already_there": 0,
                "completed": 0,
                "different": 0,
                "unreadable": 1,
                "unreadable_named": [{"where": "line 2", "why": "not JSON: Expecting value at column 1"}],
            },
            {
                "file": "more.jsonl",
                "inserted": 0,
                "already_there": 1,
                "completed": 0,
                "different": 0,
                "unreadable": 0,
                "unreadable_named": [],
            },
        ],
    }


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    code, out, _ = run(capsys, write("seed.jsonl", SEED_SHAPED), "--dry-run")
    assert code == 0
    assert "would insert" in out
    assert store.sessions.count_documents({}) == 0


def test_to_names_another_store(capsys: pytest.CaptureFixture[str], store: Store, mongodb_uri: str) -> None:
    other = mongodb_uri.replace(store.database.name, f"{store.database.name}_other")
    run(capsys, write("seed.jsonl", SEED_SHAPED), "--to", other)
    assert store.sessions.count_documents({}) == 0
    with Store(other) as there:
        assert there.sessions.count_documents({}) == 1
        there.client.drop_database(there.database.name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope.jsonl", "llmtrack: Cannot read 'nope.jsonl': No such file or directory. Check the name of the file.\n"),
        ("folder", "llmtrack: 'folder' is a folder. Name its files: llmtrack import folder/*\n"),
    ],
)
def test_a_file_that_is_none_is_wrong_usage_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], store: Store, name: str, message: str
) -> None:
    Path("folder").mkdir()
    assert run(capsys, write("seed.jsonl", SEED_SHAPED), name) == (2, "", message)
    assert store.sessions.count_documents({}) == 0


def test_control_characters_of_a_file_name_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a\x1b[31m.jsonl").write_text("oops\n")
    _, out, err = run(capsys, "a\x1b[31m.jsonl")
    assert "\x1b" not in out + err


def test_standard_input_gzipped_bson_in_a_process_of_its_own(store: Store, mongodb_uri: str) -> None:
    documents = list(sample.sessions(now=NOW, users=20))
    done = subprocess.run(
        [sys.executable, "-m", "llmtrack", "import", "-"],
        input=gzip.compress(b"".join(map(bson.encode, documents))),
        capture_output=True,
        env={**os.environ, "MONGODB_URI": mongodb_uri},
        timeout=60,
        check=True,
    )
    assert done.stdout.split()[-4:] == [b"-", str(len(documents)).encode(), b"0", b"0"]
    assert store.find(documents[0]["session_id"]) == documents[0]


def test_the_same_file_imported_by_three_processes_at_once_is_there_once(store: Store, mongodb_uri: str) -> None:
    documents = list(sample.sessions(now=NOW, users=60))
    Path("sample.bson").write_bytes(b"".join(map(bson.encode, documents)))
    command = [sys.executable, "-m", "llmtrack", "import", "sample.bson", "--format", "json"]
    environment = {**os.environ, "MONGODB_URI": mongodb_uri}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(3)]
    counts = [json.loads(process.communicate(timeout=90)[0]) for process in processes]
    assert sum(count["inserted"] for count in counts) == len(documents)
    assert sum(count["already_there"] for count in counts) == 2 * len(documents)
    assert store.sessions.count_documents({}) == len(documents)


def test_a_nightly_import_completes_the_visits_that_were_still_running(
    capsys: pytest.CaptureFixture[str], store: Store
) -> None:
    run(capsys, write("monday.jsonl", SEED_SHAPED | {"end_time": None}))
    later = SEED_SHAPED | {"events": [*SEED_SHAPED["events"], {"t": 1730000020000, "type": "copy"}]}
    code, out, _ = run(capsys, write("tuesday.jsonl", later))
    assert (code, "completed" in out) == (0, True)
    assert store.find(SEED_SHAPED["session_id"]) == later


def test_other_content_under_a_known_id_is_named(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    run(capsys, write("one.jsonl", SEED_SHAPED))
    other = write("two.jsonl", SEED_SHAPED | {"user_id": "somebody else"})
    code, out, err = run(capsys, other)
    assert (code, "different" in out) == (0, True)
    assert SEED_SHAPED["session_id"] in err
    assert "--overwrite" in err
    run(capsys, other, "--overwrite")
    assert store.find(SEED_SHAPED["session_id"])["user_id"] == "somebody else"


def test_rows_of_an_export_are_refused_as_when_read(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    rows = write("rows.jsonl", {"session_id": "a", "type": "click", "at_s": 1.5, "time": "2026-11-01T10:00:00Z"})
    code, _, err = run(capsys, rows)
    assert code == 1
    assert "line 1: no start time" in err
    assert store.sessions.count_documents({}) == 0
    with pytest.raises(SystemExit) as exited:
        main(["sessions", "--source", rows])
    assert exited.value.code == 1
    assert "no start time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"total_records": 1, "queries_count": 1, "events_count": 0, "data": [{"type": "query"}]}, "/export_data"),
        ({"refreshTokenHash": "0", "expiration": "2026-11-01", "user": "u"}, "login sessions of LibreChat"),
    ],
)
def test_what_others_export_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], store: Store, document: dict[str, Any], what: str
) -> None:
    code, _, err = run(capsys, write("other.jsonl", document))
    assert code == 1
    assert what in err
    with pytest.raises(SystemExit) as exited:
        main(["sessions", "--source", "other.jsonl"])
    assert exited.value.code == 1
    assert what in capsys.readouterr().err
