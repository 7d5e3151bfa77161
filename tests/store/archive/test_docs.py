"""What docs/archiving.md tells people to run does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import bson
import duckdb
import pytest

from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.restore import restore
from llmtrack.store.mongo import Store
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


def test_the_columns_are_those_of_a_part(store: Store) -> None:
    import pyarrow.parquet as pq

    store.sessions.insert_one(session(1))
    move(store, Path("archive"))
    part = next(Path("archive").glob("month=*/part-*.parquet"))
    table = DOCS.partition("A row is a session:")[2].partition("The manifest is only")[0]
    named = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))
    assert named == pq.read_schema(part).names
