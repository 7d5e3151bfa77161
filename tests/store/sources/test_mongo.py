"""Reading a MongoDB database: no more over the wire than is needed, and nothing lost by asking for less."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandSucceededEvent

from llmtrack.session.filters import Filters
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.mongo import MongoSource

START = datetime(2026, 9, 21, tzinfo=UTC)
MS = round(START.timestamp() * 1000)


class Wire(CommandListener):
    """Counts the commands that read, and the documents in the answers to them."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.documents = 0

    def started(self, event: Any) -> None:
        if event.command_name in ("find", "getMore", "count", "aggregate"):
            self.commands.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name not in ("find", "getMore"):
            return
        for batch in ("firstBatch", "nextBatch"):
            found = event.reply.get("cursor", {}).get(batch, [])
            raw = found and isinstance(found[0], bytes)
            self.documents += sum(len(list(split(each))) for each in found) if raw else len(found)

    def failed(self, event: Any) -> None: ...


def split(raw: bytes) -> Iterator[int]:
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        yield size
        at += size


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def source(mongodb_uri: str, store: Store, wire: Wire) -> Iterator[MongoSource]:
    with Store(mongodb_uri) as watched:
        watched.client.close()
        watched.client = MongoClient(mongodb_uri, event_listeners=[wire])
        watched.sessions = watched.to_read = watched.client[watched.database.name]["sessions"]
        yield MongoSource(watched, "test")


def session(number: int, **fields: Any) -> dict[str, Any]:
    events = [{"n": 1, "t": MS + number, "type": "prompt", "data": {"text": "word " * 500}}]
    made = {"session_id": f"user_{number:05}_x", "user_id": f"u{number % 7}", "model_group": "a", "event_count": 1}
    return {**made, "start_time": START + timedelta(seconds=number), "end_time": None, "events": events, **fields}


def test_the_newest_few_are_sorted_and_limited_by_the_server(store: Store, source: MongoSource, wire: Wire) -> None:
    store.sessions.insert_many([session(number) for number in range(500)])
    heads = source.newest(Filters(), 20)
    assert [head.session_id for head in heads] == [f"user_{number:05}_x" for number in range(499, 479, -1)]
    assert source.count() == 500
    chosen = Filters(ids=frozenset(head.session_id for head in heads))
    assert sum(len(batch.counts) for batch in source.batches(chosen, ())) == 20
    assert wire.documents <= 20 + 20 + 1  # heads, sessions, and the look at the first document


def test_the_newest_of_some_is_found_where_the_server_cannot_tell(store: Store, source: MongoSource) -> None:
    group: dict[int, Any] = {3: {"model_group": None}, 5: {"model_group": None}}
    store.sessions.insert_many([session(number, **group.get(number, {})) for number in range(100)])
    assert [head.session_id for head in source.newest(Filters(group="unknown"), 2)] == ["user_00005_x", "user_00003_x"]
    assert source.count(Filters(group="unknown")) == 2
    assert source.count(Filters(group="a")) == 98
    assert source.count(Filters(user="u1")) == 15


def test_sessions_without_a_date_are_found_in_one_question(store: Store, source: MongoSource, wire: Wire) -> None:
    documents = [session(number) for number in range(300)]
    for document in documents[:200]:
        del document["start_time"]
    documents[150]["events"][0]["t"] = MS + 10**9
    store.sessions.insert_many(documents)
    assert source.newest()[0].session_id == "user_00150_x"
    assert len(wire.commands) <= 3
    assert source.count(Filters(since=START + timedelta(seconds=1))) == 101


def test_an_event_that_is_no_object_is_missed_by_nobody(store: Store, source: MongoSource) -> None:
    """A server that picks fields of events leaves out what is none: the number of events tells."""
    odd = session(2)
    odd |= {"events": [7, *odd["events"]], "event_count": 2}
    twins = [{"t": MS, "type": "copy", "data": {"selected_text": text}} for text in ("one", "two", "two")]
    store.sessions.insert_many([session(1), odd, session(3, events=twins, event_count=3), session(4, events="none")])
    source._sends_whole = False
    batches = list(source.batches(Filters(), ("latency_ms",)))
    assert [name for batch in batches for name in batch.sessions["session_id"]] == [
        "user_00001_x", "user_00002_x", "user_00003_x",
    ]  # fmt: skip
    assert sum(batch.broken["event_not_an_object"] for batch in batches) == 1
    assert [bool(same) for batch in batches for same in batch.same] == [False, False, False, True, True]
    assert source.unreadable == {"events_not_a_list": 1}


@pytest.mark.parametrize("indexed", [True, False])
def test_ids_are_cut_by_their_neighbours(store: Store, source: MongoSource, indexed: bool) -> None:
    if not indexed:
        store.sessions.drop_indexes()
    names = ["user_anna_1700001", "user_anna_1700422", "user_anna_18", "user_b", "other"]
    store.sessions.insert_many([session(k, session_id=name) for k, name in enumerate(names)])
    found = set(source.beside(["user_anna_1700001"]))
    assert {"user_anna_1700001", "user_anna_1700422"} <= found <= set(names)
