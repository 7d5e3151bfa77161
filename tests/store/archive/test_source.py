"""An archive read like the database: the same sessions, the same columns, alone or beside it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtrack.analysis.frames import frames
from llmtrack.analysis.interaction import summary
from llmtrack.config import Settings
from llmtrack.errors import UsageError
from llmtrack.sample import visits as sample
from llmtrack.session.cleaning.clean import clean, join
from llmtrack.session.filters import Filters
from llmtrack.store.archive import part
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.lease import Lease
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import Order, run
from llmtrack.store.archive.part import Writer
from llmtrack.store.database.codec import COLUMNS
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources import archive as archive_source
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.files import FileSource
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.open import open_source
from llmtrack.store.sources.several import SeveralSources
from llmtrack.store.sources.source import Source
from tests.store.archive.odd import ODD
from tests.store.archive.world import archived, move, raw, session, sessions

NOW = datetime.now(UTC)
ALL_FIELDS = (*summary.TEXT_FIELDS, "model", "x", "y", "target")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def samples(store: Store) -> list[dict[str, Any]]:
    documents = list(sample.sessions(now=NOW - timedelta(days=100), users=60))
    store.sessions.insert_many(documents)
    return documents


def files(documents: list[dict[str, Any]]) -> FileSource:
    content = b"".join(bson.encode(document) for document in documents)
    return FileSource("file", [("", lambda: io.BytesIO(content))])


class Decoded(FileSource):
    """BSON decoded as the database's reader does it."""

    def __init__(self, raws: list[bytes]) -> None:
        super().__init__("decoded", [])
        self._raws = raws

    def _read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((f"document {number}", bson.decode(raw, COLUMNS)) for number, raw in enumerate(self._raws))


def tidy(source: Source, filters: Filters, fields: Iterable[str] | None) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Frames of a source with sessions and events in an order of their own."""
    built = frames(join([clean(batch, NOW) for batch in source.batches(filters, fields)]))
    named = built.events.assign(
        session=built.sessions["session_id"].to_numpy()[built.events["session"]],
        type=built.events["type"].astype("str"),
    )
    events = named.sort_values(["session", "t", "pos"], ignore_index=True).sort_index(axis=1)
    return built.sessions.sort_values("session_id", ignore_index=True), events, (built.excluded, built.repaired)


def assert_same(left: Source, right: Source, filters: Filters = Filters(), fields: Any = ()) -> None:  # noqa: B008
    one, other = tidy(left, filters, fields), tidy(right, filters, fields)
    pd.testing.assert_frame_equal(one[0], other[0])
    pd.testing.assert_frame_equal(one[1], other[1])
    assert one[2] == other[2]
    assert left.unreadable == right.unreadable


CASES: dict[str, tuple[Filters, Any]] = {
    "no fields": (Filters(), ()),
    "fields with columns": (Filters(), ALL_FIELDS),
    "a field without a column": (Filters(), ("scrollY", "view_height")),
    "whole data": (Filters(), None),
    "a group": (Filters(group="deep-70b"), summary.FIELDS),
    "a device": (Filters(device="mobile"), ()),
    "nobody's device": (Filters(device="unknown"), ()),
    "a week": (Filters(since=NOW - timedelta(days=112), until=NOW - timedelta(days=105)), ("text",)),
    "nothing": (Filters(user="nobody"), ("text",)),
}


@pytest.mark.parametrize(("filters", "fields"), CASES.values(), ids=CASES)
def test_an_archive_gives_what_the_documents_give(
    store: Store, folder: Path, samples: list[dict[str, Any]], filters: Filters, fields: Any
) -> None:
    move(store, folder, row_group_sessions=50, part_bytes=100_000)
    archive, documents = ArchiveSource(open_folder(str(folder))), files(samples)
    assert_same(archive, documents, filters, fields)
    expected = sorted(document["session_id"] for document in documents.documents(filters))
    assert sorted(document["session_id"] for document in archive.documents(filters)) == expected
    assert archive.newest(filters) == documents.newest(filters)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(ODD, min_size=1, max_size=5), fields=st.sampled_from([(), ALL_FIELDS, ("mine",)]))
def test_an_archive_gives_what_the_documents_give_however_odd_they_are(
    store: Store, tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]], fields: Any
) -> None:
    folder = tmp_path_factory.mktemp("odd") / "archive"
    store.sessions.delete_many({})
    store.sessions.insert_many({"session_id": f"odd{number}", **odd} for number, odd in enumerate(documents))
    stored = raw(store)
    run(store, open_folder(str(folder)), Order(timedelta(seconds=1)))
    moved = Decoded([stored[session_id] for session_id in archived(folder)])
    assert_same(ArchiveSource(open_folder(str(folder))), moved, fields=fields)


def test_one_session_is_found_by_id_and_prefix(store: Store, folder: Path, samples: list[dict[str, Any]]) -> None:
    move(store, folder, row_group_sessions=50)
    archive = ArchiveSource(open_folder(str(folder)))
    wanted = samples[17]
    assert archive.get(wanted["session_id"]) == {key: value for key, value in wanted.items() if key != "_id"}
    assert archive.get("nobody") is None
    prefix = wanted["session_id"][:8]
    assert archive.find(prefix) == files(samples).find(prefix)
    assert archive.find("") == files(samples).find("")


def test_reports_read_the_columns_they_need_and_the_months_asked_for(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.sessions.insert_many(sessions(20))
    move(store, folder)
    opened, columns = [], []
    real_open, real_read = archive_source.open_part, ArchiveSource._read

    def watch_open(folder: Any, part: Any) -> Any:
        opened.append(part.month)
        return real_open(folder, part)

    def watch_read(self: Any, state: Any, file: Any, group: int, wanted: list[str]) -> Any:
        columns.append(wanted)
        return real_read(self, state, file, group, wanted)

    monkeypatch.setattr(archive_source, "open_part", watch_open)
    monkeypatch.setattr(ArchiveSource, "_read", watch_read)
    monkeypatch.setattr(archive_source, "rows", lambda *_: pytest.fail("documents were read"))
    since = NOW - timedelta(days=120)
    batches = list(ArchiveSource(open_folder(str(folder))).batches(Filters(since=since), ["latency_ms"]))
    assert sum(len(batch.counts) for batch in batches) == 10
    assert len(set(opened)) == 1
    assert {name for wanted in columns for name in wanted if name.startswith("events")} == {
        f"events.list.element.{key}" for key in ("t", "type", "n", "latency_ms")
    }


def test_row_groups_of_another_time_are_not_read(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.sessions.insert_many([session(number, age_days=100 + number / 100) for number in range(40)])
    move(store, folder, row_group_sessions=5, part_bytes=10**9)
    groups: list[int] = []
    real = ArchiveSource._read
    monkeypatch.setattr(ArchiveSource, "_read", lambda self, *args: groups.append(args[2]) or real(self, *args))
    until = NOW - timedelta(days=100.3)
    found = list(ArchiveSource(open_folder(str(folder))).batches(Filters(until=until)))
    assert 5 <= sum(len(batch.counts) for batch in found) <= 15
    assert len(set(groups)) < 5


def test_database_and_archive_together_give_each_session_once(
    store: Store, folder: Path, samples: list[dict[str, Any]], mongodb_uri: str, settings: Settings
) -> None:
    both = files(samples)
    run(store, open_folder(str(folder)), Order(timedelta(days=90), limit=100, keep=True, row_group_sessions=30))
    run(store, open_folder(str(folder)), Order(timedelta(days=90), limit=60))
    for sources in ([str(folder), mongodb_uri], [mongodb_uri, str(folder)]):
        with open_source(sources, settings) as several:
            assert_same(several, both, fields=ALL_FIELDS)
            assert several.newest() == both.newest()
            assert several.find("user_1") == both.find("user_1")
            wanted = samples[3]["session_id"]
            assert several.get(wanted) == both.get(wanted)
            assert len(list(several.documents())) == len(samples)


def test_the_database_has_the_last_word_on_a_session_in_both(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(3))
    move(store, folder, keep=True)
    store.sessions.update_one({"session_id": "s1"}, {"$set": {"model_group": "late"}})
    several = SeveralSources([ArchiveSource(open_folder(str(folder))), MongoSource(store, "database")])
    assert [d["model_group"] for d in several.documents() if d["session_id"] == "s1"] == ["late"]
    groups = [dict(zip(b.sessions["session_id"], b.sessions["model_group"], strict=True)) for b in several.batches()]
    assert [found["s1"] for found in groups if "s1" in found] == ["late"]


def test_a_session_that_moves_while_both_are_read_is_counted_once(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(20))
    move(store, folder, limit=4)
    several = SeveralSources([ArchiveSource(open_folder(str(folder))), MongoSource(store, "database")])
    reading = several.documents()
    found = [next(reading)["session_id"]]
    move(store, folder)
    found += [document["session_id"] for document in reading]
    assert sorted(found) == sorted(f"s{number}" for number in range(20))


def test_open_source_knows_an_archive(store: Store, folder: Path, settings: Settings) -> None:
    store.sessions.insert_many(sessions(2))
    move(store, folder)
    with open_source(str(folder), settings) as source:
        assert source.name == str(folder)
        assert sorted(document["session_id"] for document in source.documents()) == ["s0", "s1"]
    (folder / "_manifest.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds no _manifest\.jsonl"), open_source(str(folder), settings) as source:
        list(source.documents())


def test_one_of_many_sessions_is_found_without_reading_the_others(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path / "many"))
    folder.create()
    manifest = Manifest(folder)
    manifest.begin(NOW)
    ids = [f"user_{number % 997}_{1_790_000_000_000 + number}" for number in range(100_000)]
    for first in range(0, len(ids), 20_000):
        writer = Writer(folder, f"month=2026-09/part-20261001T000000-aaaaaa-{first}.parquet")
        documents = list(_tiny(ids[first : first + 20_000]))
        raws = [bson.encode(document) for document in documents]
        writer.add([bson.decode(each, COLUMNS) for each in raws], raws)
        manifest.add({"record": "part", **vars(writer.finish()), "keep": True, "drops": []}, NOW)
    archive = ArchiveSource(folder)
    began = time.perf_counter()
    found = archive.get(ids[77_777])
    assert found
    assert found["session_id"] == ids[77_777]
    assert time.perf_counter() - began < 2


def _tiny(ids: list[str]) -> Iterator[dict[str, Any]]:
    for session_id in ids:
        yield {"_id": session_id, "session_id": session_id, "start_time": datetime(2026, 9, 3), "events": []}  # noqa: DTZ001 - naive


def test_parts_read_as_they_are_in_pandas_and_pyarrow(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(10))
    move(store, folder)
    table = pd.read_parquet(folder)
    assert sorted(table["session_id"]) == sorted(f"s{number}" for number in range(10))
    assert set(table["month"].astype("str")) == {path.name.removeprefix("month=") for path in folder.glob("month=*")}
    events = pq.read_table(folder)["events"][0].as_py()
    assert events[0]["text"].startswith("Question")
    assert events[1]["latency_ms"] >= 2000
    assert events[2]["other"] == '{"odd":[1,null]}'


def test_a_reader_needs_no_lease(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(2))
    move(store, folder)
    with Lease(store):
        assert len(archived(folder)) == 2


def test_odd_sessions_cost_no_reader_the_documents_of_the_others(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [session(number, age_days=100) for number in range(12)]
    for odd in (documents[3], documents[7]):
        odd["events"] = [*odd["events"], "no object"]
    store.sessions.insert_many(documents)
    move(store, folder, row_group_sessions=100, part_bytes=10**9)
    (path,) = folder.rglob("*.parquet")
    groups = [group["irregular"].to_pylist() for group in pq.ParquetFile(path).iter_batches(1000, row_groups=[0])]
    assert groups == [[False] * 10]
    read: list[int] = []
    real = part._group_rows

    def watch(*given: Any) -> Iterator[part.Row]:
        read.append(given[-1])
        return real(*given)

    monkeypatch.setattr(part, "_group_rows", watch)
    batches = list(ArchiveSource(open_folder(str(folder))).batches(Filters(), ["latency_ms"]))
    assert sum(len(batch.counts) for batch in batches) == 12
    assert read == [1]
