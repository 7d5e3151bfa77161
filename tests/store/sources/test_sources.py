"""Sources: whatever sessions lie in, the same come out."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pandas as pd
import pytest
from bson import Code, json_util
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtrack.analysis.frames import frames, table
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.clean import Cleaned, clean, join
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.open import Filters, Source, open_source

NOW = datetime(2026, 11, 22, tzinfo=UTC)
START = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
MS = round(START.timestamp() * 1000)
FIELDS = tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.TEXT_FIELDS, "own")))
KINDS = ("mongodb", "mongodb, picked", "jsonl", "array", "relaxed", "canonical", "bson", "bson.gz", "folder", "-")


def session(session_id: str, **fields: Any) -> dict[str, Any]:
    events = [{"t": MS + 5, "type": "click", "data": {"x": 1}}]
    return {"session_id": session_id, "start_time": START, "user_id": "u", "events": events, **fields}


def lines(documents: list[dict[str, Any]], mode: int = json_util.JSONMode.RELAXED) -> bytes:
    options = json_util.JSONOptions(json_mode=mode, tz_aware=True, tzinfo=UTC)
    return b"".join(json_util.dumps(document, json_options=options).encode() + b"\n" for document in documents)


def plain(documents: list[dict[str, Any]]) -> list[str]:
    """As a script without BSON writes them: dates in ISO 8601."""
    return [json.dumps(document, default=lambda date: date.isoformat()) for document in documents]


@contextmanager
def opened(kind: str, documents: list[dict[str, Any]], folder: Path, settings: Settings) -> Iterator[Source]:
    """The documents as a source of this kind."""
    dumped = b"".join(map(bson.encode, documents))
    stdin = io.BytesIO(dumped)
    named = str(folder / "sessions")
    if kind.startswith("mongodb"):
        assert settings.mongodb_uri
        named = settings.mongodb_uri.reveal()
        with Store(named) as store:
            store.sessions.delete_many({})
            if documents:
                store.sessions.insert_many([dict(document) for document in documents])
    elif kind == "folder":
        half = len(documents) // 2
        (folder / "part-1.jsonl").write_text("\n".join(plain(documents[:half])))
        (folder / "part-2.bson.gz").write_bytes(gzip.compress(b"".join(map(bson.encode, documents[half:]))))
        (folder / "part-2.metadata.json").write_text("{}")
        named = str(folder)
    elif kind == "-":
        named = "-"
    else:
        (folder / "sessions").write_bytes(
            {
                "jsonl": "\n".join(plain(documents)).encode(),
                "array": f"[{','.join(plain(documents))}]".encode(),
                "relaxed": lines(documents),
                "canonical": lines(documents, json_util.JSONMode.CANONICAL),
                "bson": dumped,
                "bson.gz": gzip.compress(dumped),
            }[kind]
        )
    with open_source(named, settings, stdin=stdin) as source:
        if kind == "mongodb, picked":  # as from a server that sends the fields that are asked for faster than all
            assert isinstance(source, MongoSource)
            source._sends_whole = False
        yield source


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ids(source: Source, filters: Filters) -> set[str]:
    """The wanted session_ids, which documents and batches must agree on."""
    found = {str(document["session_id"]) for document in source.documents(filters)}
    assert found == {name for batch in source.batches(filters) for name in batch.sessions["session_id"]}
    return found


ODD = [
    session("iso", start_time="2026-09-21T16:13:20+02:00", model_group="a", environment={"device": "mobile"}),
    session("naive", start_time="2026-09-21T14:13:20", model_group="b", user_id=42),
    session("seconds", start_time=MS / 1000, experiment_id="e"),
    session("date", start_time=START + timedelta(days=1), model_group="a", environment="none"),
    session("no start", start_time=None),
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param(Filters(), {"iso", "naive", "seconds", "date", "no start"}, id="none"),
        pytest.param(Filters(since=START + timedelta(hours=1)), {"date"}, id="since"),
        pytest.param(
            Filters(since=START, until=START + timedelta(days=1)), {"iso", "naive", "seconds", "no start"}, id="until"
        ),
        pytest.param(Filters(until=START), set(), id="until is exclusive"),
        pytest.param(Filters(group="a"), {"iso", "date"}, id="group"),
        pytest.param(Filters(group="unknown"), {"seconds", "no start"}, id="a missing group"),
        pytest.param(Filters(user="42"), {"naive"}, id="a user stored as a number"),
        pytest.param(Filters(experiment="e", group="a"), set(), id="experiment and group"),
        pytest.param(Filters(device="mobile"), {"iso"}, id="device"),
        pytest.param(Filters(device="unknown", group="a"), {"date"}, id="an environment that is none"),
    ],
)
def test_filters_mean_the_same_everywhere(
    kind: str, filters: Filters, expected: set[str], tmp_path: Path, settings: Settings
) -> None:
    with opened(kind, ODD, tmp_path, settings) as source:
        assert ids(source, filters) == expected


BROKEN = [
    session("good"),
    session("good", user_id="again"),
    {"events": []},
    session("text for events", events="none"),
    session("object for events", events={"t": 1}),
    session("nothing", start_time=None, events=[]),
    session("null events", events=None),
    session("odd events", events=[7, {"t": MS, "type": "a"}, None, {"type": "b"}, [], {"t": MS, "type": 3}]),
]


def test_what_cannot_be_read_is_counted_and_named_and_the_rest_is_read(
    kind: str, tmp_path: Path, settings: Settings
) -> None:
    with opened(kind, BROKEN, tmp_path, settings) as source:
        found = read(source)
        assert set(found.sessions["session_id"]) == {"good", "null events", "odd events"}
        assert source.unreadable == {
            "duplicate_session": 1, "no_session_id": 1, "events_not_a_list": 2, "no_start_time": 1,
        }  # fmt: skip
        assert len(source.unreadable.named) == 10
        broken = {key: count for key, count in found.excluded.items() if count}
        assert broken == {"event_not_an_object": 3, "event_without_t": 1, "event_without_type": 1}
        assert "odd events, event 1: event not an object" in source.unreadable.named
        source.batches()
        assert len(list(source.documents())) == 3, "a source can be read again"


def test_sessions_are_found_by_prefix_newest_first(kind: str, tmp_path: Path, settings: Settings) -> None:
    stored = [session(f"user_a.{day}", start_time=START + timedelta(days=day)) for day in range(3)]
    with opened(
        kind, [*stored, session("user_abc", start_time="2026-12-01T00:00:00Z"), session("x")], tmp_path, settings
    ) as source:
        assert [head.session_id for head in source.find("user_a.")] == ["user_a.2", "user_a.1", "user_a.0"]
        assert [head.session_id for head in source.find("user", limit=2)] == ["user_abc", "user_a.2"]
        assert source.find("user_a.1")[0].start_time == START + timedelta(days=1)
        assert source.find("nobody") == []
        newest, of_nobody = source.newest(), source.newest(Filters(user="nobody"))
        assert [head.session_id for head in newest] == ["user_abc"]
        assert of_nobody == []
        found = source.get("user_a.1")
        assert found
        assert found["session_id"] == "user_a.1"
        assert "_id" not in found
        assert source.get("user_a") is None


def test_an_empty_source_gives_one_empty_batch(kind: str, tmp_path: Path, settings: Settings) -> None:
    with opened(kind, [], tmp_path, settings) as source:
        assert list(source.documents()) == []
        found = read(source, Filters(), ("text",))
        assert len(found) == len(found.t) == 0
        assert "text" in found.data


def test_reading_mongodb_writes_nothing(mongodb_uri: str, settings: Settings) -> None:
    with open_source(mongodb_uri, settings) as source, Store(mongodb_uri) as store:
        list(source.batches())
        source.newest()
        assert store.database.name not in store.client.list_database_names()
        document = session("s", _id=1)
        store.sessions.insert_one(document)
        for _ in (source.documents(), source.batches(Filters(group="a"), ("text",)), source.find("s")):
            list(_)
        assert list(store.sessions.index_information()) == ["_id_"]
        assert store.database.list_collection_names() == ["sessions"]
        assert store.sessions.find_one() == document


def test_more_sessions_than_a_batch_holds(store: Store, mongodb_uri: str, settings: Settings, monkeypatch: Any) -> None:
    from llmtrack.store.sources import mongo as mongo_source

    monkeypatch.setattr(mongo_source, "BATCH_SESSIONS", 10)
    store.sessions.insert_many([session(f"s{i}") for i in range(35)])
    with open_source(mongodb_uri, settings) as source:
        batches = list(source.batches())
        assert sum(len(batch.counts) for batch in batches) == 35
        assert max(len(batch.counts) for batch in batches) == 10


def test_the_name_of_a_source_holds_no_password(settings: Settings) -> None:
    with open_source("mongodb://ann:secret@db.example.org:27018/visits?authSource=admin", settings) as source:
        assert source.name == "mongodb://db.example.org:27018/visits"


def test_the_database_is_the_one_of_the_uri_else_the_settings_else_the_default() -> None:
    nobody, soon = "mongodb://127.0.0.1:9", "?serverSelectionTimeoutMS=20"  # opening asks whose the collection is
    named, usual = load_settings(MONGODB_URI=f"{nobody}/{soon}", database="other"), load_settings()
    for uri, with_settings, expected in [
        (f"{nobody}/mine{soon}", named, f"{nobody}/mine"),
        (f"{nobody}/{soon}", named, f"{nobody}/other"),
        (f"{nobody}/{soon}&retryReads=true", usual, f"{nobody}/llm_experiment"),
        (None, named, f"{nobody}/other"),
    ]:
        with open_source(uri, with_settings) as source:
            assert source.name == expected


def test_the_embedded_server_has_a_name_so_that_it_can_be_read_with_others() -> None:
    Path("more.jsonl").write_bytes(lines([session("s1")]))
    elsewhere = load_settings(MONGODB_URI="mongodb://127.0.0.1:9", database="none_of_this_name")
    with open_source(["embedded", "more.jsonl"], elsewhere) as source:
        assert source.name == "embedded + more.jsonl"
        assert [document["session_id"] for document in source.documents()] == ["s1"]


def test_a_mongodump_folder_means_its_sessions(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "sessions.bson").write_bytes(bson.encode(session("s")))
    (tmp_path / "chats.bson").write_bytes(bson.encode({"_id": 1, "turns": []}))
    (tmp_path / "sessions.metadata.json").write_text("{}")
    with open_source(str(tmp_path), settings) as source:
        assert ids(source, Filters()) == {"s"}
        assert not source.unreadable


def test_a_damaged_line_is_named_with_its_file_and_number(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join([*plain([session("s")]), '{"session_id":', *plain([session("t")])]))
    with open_source(str(tmp_path), settings) as source:
        assert ids(source, Filters()) == {"s", "t"}
        assert source.unreadable == {"unreadable": 1}
        assert source.unreadable.named[0].startswith("a.jsonl line 2")


@pytest.mark.parametrize("uri", ["nowhere.jsonl", "postgres://host/db", ""])
def test_what_is_no_source_is_named(uri: str, settings: Settings) -> None:
    with pytest.raises(UsageError, match=f"{uri!r}"):
        open_source(uri, settings)


def test_a_folder_without_sessions_is_named(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="holds no"):
        open_source(str(tmp_path), settings)


WHEN = st.integers(MS - 400_000, MS + 900_000)
TIME = st.one_of(
    WHEN,
    WHEN.map(float),
    WHEN.map(str),
    WHEN.map(lambda ms: datetime.fromtimestamp(ms // 1000, UTC)),
    WHEN.map(lambda ms: datetime.fromtimestamp(ms // 1000, UTC).isoformat()),
    st.sampled_from([None, True, "soon", {"a": 1}, -5, 3.5]),
)
TEXT = st.one_of(
    st.sampled_from(["What is a tensor", "a tensor is a box", "tensor", "", "ü\u2028"]),
    st.sampled_from([None, 5, 2.5, True, False, {"a": [1]}, ["x"]]),
)
DATA = st.fixed_dictionaries({}, optional=dict.fromkeys((*FIELDS, "unread"), TEXT))
EVENT = st.one_of(
    st.fixed_dictionaries(
        {"t": TIME, "type": st.sampled_from(["prompt", "model_response", "copy", "selection", "scroll", "own"])},
        optional={"data": st.one_of(DATA, TEXT), "n": st.sampled_from([1, 2, 3, 4, 2.0, "5", None])},
    ),
    st.fixed_dictionaries({}, optional={"t": TIME, "type": st.sampled_from([None, 7, "", ["x"]])}),
    st.sampled_from([None, 7, "x", [], [{"t": MS, "type": "x"}]]),
)
NAME = st.sampled_from(["a", "b", "", None, 7, 7.5, {"x": 1}])
SESSION = st.fixed_dictionaries(
    {"session_id": st.sampled_from(["s1", "s2", "s3", 4, None])},
    optional={
        "start_time": TIME,
        "end_time": TIME,
        "user_id": NAME,
        "model_group": NAME,
        "environment": st.one_of(NAME, st.fixed_dictionaries({}, optional={"device": NAME, "viewport": NAME})),
        "events": st.one_of(st.lists(EVENT, max_size=6), st.sampled_from([None, 5, "x", {"t": MS}])),
    },
)
FILTER = st.builds(
    Filters,
    since=st.sampled_from([None, START]),
    group=st.sampled_from([None, "a", "unknown", "7"]),
    user=st.sampled_from([None, None, "7"]),
)


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(SESSION, max_size=4), filters=FILTER, texts=st.booleans())
def test_all_sources_give_equal_frames_for_odd_documents(
    documents: list[dict[str, Any]], filters: Filters, texts: bool, tmp_path: Path, settings: Settings
) -> None:
    fields = FIELDS if texts else summary.FIELDS
    documents = [*documents, session("a readable one")]  # a file without any is an error
    results = []
    for kind in KINDS:
        for old in tmp_path.glob("*s*"):
            old.unlink() if old.is_file() else None
        with opened(kind, documents, tmp_path, settings) as source:
            whole = read(source, filters, fields)
            results.append((kind, tables(whole), whole.excluded, whole.repaired, dict(source.unreadable)))
    _, expected_tables, *expected = results[0]
    for kind, found_tables, *found in results[1:]:
        assert found == expected, kind
        for each, expected_table in zip(found_tables, expected_tables, strict=True):
            pd.testing.assert_frame_equal(each, expected_table, obj=kind)


def read(source: Source, filters: Filters = Filters(), fields: Any = ()) -> Cleaned:  # noqa: B008
    return join([clean(batch, NOW) for batch in source.batches(filters, fields)])


def tables(found: Cleaned) -> list[pd.DataFrame]:
    """Sessions, their numbers, turns and events, in an order that does not depend on the source."""
    interaction, events = Interaction(found), frames(found).events
    order = pd.Series(found.sessions["session_id"])
    numbers = table(interaction.summary()).sort_values("session_id", ignore_index=True)
    rows = table(interaction.turns())
    events = events.assign(type=events["type"].astype(str))
    return [
        numbers,
        *(
            each.assign(session=order.to_numpy()[each["session"]])
            .sort_values("session", kind="stable", ignore_index=True)
            .reindex(columns=sorted(each))
            for each in (rows, events)
        ),
    ]


def test_a_type_that_is_code_reads_as_its_text(store: Store, mongodb_uri: str, settings: Settings) -> None:
    event = {"t": 1_000, "type": Code("click", {"a": 1}), "data": {}}
    store.sessions.insert_one({"session_id": "s", "start_time": 1_000, "events": [event]})
    with open_source(mongodb_uri, settings) as source:
        assert [kind for batch in source.batches(Filters(), ()) for kind in batch.types] == ["click"]
