"""Somebody else's collection: nothing is written there, and it is said what it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import ReadPreference

from llmtrack.cli.checks.examine import check_store
from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import whose
from llmtrack.store.load import load
from llmtrack.store.sources.documents import Found

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
LOGINS: dict[str, dict[str, Any]] = {
    "LibreChat": {"refreshTokenHash": "0" * 64, "expiration": NOW, "user": ObjectId()},
    "connect-mongo": {"_id": "sid", "expires": NOW, "session": '{"cookie":{}}'},
    "Auth.js": {"sessionToken": "t", "userId": ObjectId(), "expires": NOW},
    "Flask-Session": {"id": "session:1", "val": b"x", "expiration": NOW},
    "another kind": {"session_id": "a", "data": "x", "expires": NOW},
}
VISIT = {"session_id": "a", "start_time": NOW, "events": []}


@pytest.mark.parametrize("kind", LOGINS)
def test_logins_are_named_and_left_alone(kind: str, store: Store, settings: Settings) -> None:
    store.sessions.drop()
    store.sessions.insert_many([LOGINS[kind] | {"_id": number} for number in range(3)])
    before = list(store.sessions.find())
    with pytest.raises(LlmtrackError, match=kind):
        store.ensure_indexes()
    checks = {check.check: check for check in check_store(settings, store)}
    assert checks["store writable"].status == "failed"
    assert kind in checks["store writable"].finding
    assert "remove" not in str(checks).lower()
    assert list(store.sessions.find()) == before
    assert len(store.sessions.index_information()) == 1


def test_another_collection_can_be_named(mongodb_uri: str, store: Store) -> None:
    store.sessions.drop()
    store.sessions.insert_one(dict(LOGINS["LibreChat"]))
    store.database["chats"].insert_one({"title": "somebody's"})
    with pytest.raises(LlmtrackError, match="LLMTRACK_CHATS_COLLECTION"):
        Chats(store).ensure_indexes()
    with Store(mongodb_uri, collection="visits", chats="saved") as ours:
        ours.ensure_indexes()
        Chats(ours).ensure_indexes()
        assert load(ours, [Found("line 1", VISIT)]).inserted == 1
    assert store.database["visits"].count_documents({}) == 1
    assert store.sessions.count_documents({}) == 1


def test_a_check_writes_nothing_beside_the_visits_of_another_application(store: Store, settings: Settings) -> None:
    store.sessions.insert_one(dict(VISIT))
    assert whose(store.sessions).kind == "shared"
    checks = {check.check: check.status for check in check_store(settings, store)}
    assert checks["store writable"] == "skipped"
    store.start({"session_id": "b", "user_id": "u", "start_time": NOW})
    assert whose(store.sessions).kind == "ours"


def test_a_check_finds_what_would_forbid_the_indexes(store: Store, settings: Settings) -> None:
    store.sessions.drop()
    store.sessions.insert_many([dict(VISIT), dict(VISIT)])
    checks = {check.check: check for check in check_store(settings, store)}
    assert checks["indexes"].status == "failed"
    assert "'a' stands more than once" in checks["indexes"].finding


def test_options_of_a_uri_that_would_lose_writes_or_read_stale(mongodb_uri: str, store: Store) -> None:
    end = "&" if "?" in mongodb_uri and not mongodb_uri.endswith("?") else ""
    with Store(f"{mongodb_uri}{end}w=0&readPreference=secondaryPreferred") as careless:
        assert careless.sessions.write_concern.acknowledged
        assert careless.sessions.read_preference == ReadPreference.PRIMARY
        assert careless.to_read.read_preference == ReadPreference.SECONDARY_PREFERRED
        careless.start({"session_id": "a", "user_id": "u", "start_time": NOW})
    assert store.find("a") is not None
