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
from llmtrack.store.sources.open import open_source

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
    before = store.sessions.index_information()
    assert whose(store.sessions).kind == "others"
    checks = {check.check: check.status for check in check_store(settings, store)}
    assert (checks["store writable"], checks["indexes"]) == ("skipped", "skipped")
    checks = {check.check: check.status for check in check_store(settings, store, serving=True)}
    assert checks["store writable"] == "failed"
    with pytest.raises(LlmtrackError, match="sessions that another application wrote"):
        store.ensure_indexes()
    assert store.sessions.count_documents({}) == 1
    assert store.sessions.index_information() == before


def test_what_was_imported_is_llmtrack_s_own(store: Store) -> None:
    load(store, [Found("line 1", VISIT), Found("line 2", VISIT | {"session_id": 7})])
    assert whose(store.sessions) == ("ours", "")
    store.ensure_indexes()


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_mix_is_looked_at_from_both_ends_and_told(ours_first: bool, store: Store, settings: Settings) -> None:
    """More than a look's worth of somebody else's documents may lie before one's own, or after them."""
    store.sessions.drop()
    mine = [VISIT | {"_id": f"{'a' if ours_first else 'z'}{i}", "schema_version": 1} for i in range(50)]
    logins = [LOGINS["LibreChat"] | {"_id": f"m{i}"} for i in range(50)]
    store.sessions.insert_many([*logins, *mine])
    assert whose(store.sessions) == ("ours", "login sessions of LibreChat")
    check = next(each for each in check_store(settings, store) if each.check == "store writable")
    assert check.status == "warning"
    assert "login sessions of LibreChat" in check.finding


def test_somebody_s_sessions_beside_somebody_s_logins_are_nobody_s_to_write_to(store: Store) -> None:
    store.sessions.drop()
    store.sessions.insert_many([VISIT | {"_id": 1}, LOGINS["Auth.js"] | {"_id": 2}])
    assert whose(store.sessions).kind == "foreign"
    with pytest.raises(LlmtrackError, match=r"Auth\.js"):
        store.ensure_indexes()


def test_a_check_finds_what_would_forbid_the_indexes(store: Store, settings: Settings) -> None:
    store.sessions.drop()
    store.sessions.insert_many([VISIT | {"schema_version": 1}, VISIT | {"schema_version": 1}])
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


@pytest.mark.parametrize("opens", ["s3cr3t-cookie", b"s3cr3t-cookie", {"cookie": "s3cr3t"}])
def test_what_opens_somebody_s_login_is_never_shown(opens: Any, store: Store, settings: Settings) -> None:
    store.sessions.drop()
    store.sessions.insert_many([{"_id": opens, "expires": NOW, "session": "{}"}, {"_id": 7, "session_id": None}])
    with open_source(None, settings) as source:
        assert not list(source.documents())
        told = str(source.unreadable.named)
    assert "_id 7: no session id" in told
    assert "a document, login sessions of connect-mongo" in told
    assert "s3cr3t" not in told
