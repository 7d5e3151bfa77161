"""What docs/archiving.md tells people to run does what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import bson
import duckdb
import pytest

from llmtrack.cli import main
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.restore import restore
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import move, raw, session, sessions

DOCS = (Path(__file__).parents[3] / "docs" / "archiving.md").read_text()


def code(language: str, holding: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    return next(block for block in blocks if holding in block)


@pytest.fixture
def before(store: Store) -> dict[str, bytes]:
    """An archive with a dropped row, a rewritten part and a file that no manifest names; what it has to give."""
    store.sessions.insert_many(sessions(12))
    move(store, Path("archive"), keep=True)
    store.sessions.update_one({"session_id": "s3"}, {"$push": {"events": {"t": 1_700_000_000_000, "type": "late"}}})
    before = raw(store)
    move(store, Path("archive"))
    forget(store, "user-1")
    part = next(Path("archive").glob("month=*/part-*.parquet"))
    (part.parent / "part-unknown.parquet").write_bytes(part.read_bytes())
    return {session_id: document for session_id, document in before.items() if int(session_id[1:]) % 5 != 1}


def test_the_duckdb_query(store: Store, before: dict[str, bytes]) -> None:
    connection = duckdb.connect()
    rows = connection.execute(code("sql", "create view sessions")).fetchall()
    assert [row[:3] for row in rows] == [("A", 5, 5), ("B", 4, 4)]
    assert all(2000 <= row[3] <= 2012 for row in rows)
    assert sorted(row[0] for row in connection.execute("select session_id from sessions").fetchall()) == sorted(before)


def test_restoring_by_hand(store: Store, before: dict[str, bytes]) -> None:
    exec(compile(code("python", "restored.bson"), "docs/archiving.md", "exec"), {})
    content = Path("restored.bson").read_bytes()
    found = {document["session_id"] for document in bson.decode_iter(content)}
    assert found == set(before)
    assert len(content) == sum(map(len, before.values()))
    assert all(document in content for document in before.values())
    restore(store, open_folder("archive"))
    assert raw(store) == before


@pytest.mark.parametrize("language", ["cron", "ini"])
def test_what_cron_and_systemd_run(store: Store, mongodb_uri: str, tmp_path: Path, language: str) -> None:
    store.sessions.insert_many(sessions(4))
    block = code(language, "llmtrack archive")
    if language == "cron":  # five times, the user, the command
        command = block.split(maxsplit=6)[6]
    else:
        found = re.search(r"^EnvironmentFile=(.+)\n(?:.*\n)*?ExecStart=(.+)$", block, re.MULTILINE)
        assert found
        command = f"set -a; . {found[1]}; exec {found[2]}"
    (tmp_path / "env").write_text(f"MONGODB_URI='{mongodb_uri}'\n")
    for name, here in {
        "/usr/local/bin/llmtrack": f"{sys.executable} -m llmtrack",
        "/etc/llmtrack": tmp_path,
        "/var/llmtrack": tmp_path,
    }.items():
        assert name in command
        command = command.replace(name, str(here))
    bare = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=bare, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Moved 4 sessions to ")
    assert done.stdout.count("\n") == 1


def test_the_keys_are_those_of_the_json(
    store: Store, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    table = DOCS.partition("| key | |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    with pytest.raises(SystemExit):
        main(["archive", "--older-than", "90d", "--to", "archive", "--format", "json"])
    assert sorted(named) == sorted(json.loads(capsys.readouterr().out))


def test_the_columns_are_those_of_a_part(store: Store) -> None:
    import pyarrow.parquet as pq

    store.sessions.insert_one(session(1))
    move(store, Path("archive"))
    part = next(Path("archive").glob("month=*/part-*.parquet"))
    table = DOCS.partition("A row is a session:")[2].partition("The manifest is only")[0]
    named = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    assert named == pq.read_schema(part).names
