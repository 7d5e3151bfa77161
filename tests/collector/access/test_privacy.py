"""What the collector records of people's words and names, as the settings say."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from llmtrack.collector import create_app
from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Privacy, load_settings
from llmtrack.errors import UsageError
from llmtrack.session.pseudonym import pseudonym
from llmtrack.store.database.sessions import Store

KEY = "a key for these tests"
ANN = pseudonym(KEY, "ann@example.org")
QUESTION = "What is machine learning?"
IDS = {"turn_id": "t1", "chat_session_id": "c1"}


def stored(privacy: Privacy, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """The data of an event as it reaches the store; hashes as "#"."""
    event = PrivateStore(None, privacy, "secret").event({"t": 1, "type": kind, "data": data})  # type: ignore[arg-type]
    return {key: "#" if key.endswith("hash") and len(value) == 16 else value for key, value in event["data"].items()}


@pytest.mark.parametrize(
    ("kind", "data", "hashed", "nothing"),
    [
        ("prompt", {"text": "Hello"} | IDS, {"text_length": 5, "text_hash": "#"} | IDS, IDS),
        (
            "model_response",
            {"text": "Hi!", "response_length": 3, "model": "m", "provider": "p", "latency_ms": 7} | IDS,
            {"response_length": 3, "response_hash": "#", "model": "m", "provider": "p", "latency_ms": 7} | IDS,
            {"response_length": 3, "model": "m", "provider": "p", "latency_ms": 7} | IDS,
        ),
        ("model_response", {"error": "it quotes you"}, {"error": "not recorded"}, {"error": "not recorded"}),
        (
            "selection",
            {"selected_text": "word", "page_url": "https://a.org/p"},
            {"selected_length": 4, "selected_hash": "#", "page_url": "https://a.org/p"},
            {"page_url": "https://a.org/p"},
        ),
        (  # the tracker cut it: its length is the true one
            "copy",
            {"selected_text": "cut", "selected_length": 30_000},
            {"selected_length": 30_000, "selected_hash": "#"},
            {"selected_length": 30_000},
        ),
        ("click", {"target": "A", "x": 1}, {"target": "A", "x": 1}, {"target": "A", "x": 1}),
        ("activity", {"activity_state": "idle"}, {"activity_state": "idle"}, {"activity_state": "idle"}),
        ("feedback", {"rating": "up"} | IDS, {"rating": "up"} | IDS, {"rating": "up"} | IDS),
        (
            "their own",
            {"note": "abc", "rating": "up", "size": 3, "deep": {"target": "x", "n": [1, {"s": "yz"}]}},
            {
                "note_length": 3,
                "note_hash": "#",
                "rating_length": 2,
                "rating_hash": "#",
                "size": 3,
                "deep": {"target_length": 1, "target_hash": "cfd1e1ee43e6d0ee", "n": [1, {"s_length": 2}]},
            },
            {"size": 3, "deep": {"n": [1, {}]}},
        ),
    ],
)
def test_texts_become_lengths_and_hashes_or_nothing(
    kind: str, data: dict[str, Any], hashed: dict[str, Any], nothing: dict[str, Any]
) -> None:
    assert stored(Privacy(), kind, data) == data
    found = stored(Privacy(texts="hash"), kind, data)
    if "deep" in found:
        assert found["deep"].pop("target_hash") != found["deep"]["n"][1].pop("s_hash")
        del hashed["deep"]["target_hash"]
    assert found == hashed
    assert stored(Privacy(texts="none"), kind, data) == nothing
    assert stored(Privacy(events={kind: "none"}), kind, data) == nothing
    assert stored(Privacy(texts="none", events={kind: "full"}), kind, data) == data


def test_lists_of_strings_follow_the_rule() -> None:
    data = {"tags": ["abc", 1]}
    assert stored(Privacy(texts="none"), "mine", data) == {"tags": [1]}
    (tag, number) = stored(Privacy(texts="hash"), "mine", data)["tags"]
    assert (tag["length"], len(tag["hash"]), number) == (3, 16, 1)


def test_equal_texts_have_equal_hashes_under_one_key_only() -> None:
    def hashed(text: str, secret: str) -> str:
        store = PrivateStore(None, Privacy(texts="hash"), secret)  # type: ignore[arg-type]
        return store.event({"t": 1, "type": "prompt", "data": {"text": text}})["data"]["text_hash"]

    assert hashed(QUESTION, "one") == hashed(QUESTION, "one")
    assert len({hashed(QUESTION, "one"), hashed(QUESTION, "two"), hashed(f"{QUESTION} ", "one")}) == 3


def test_long_texts_are_cut_and_keep_their_length() -> None:
    privacy = Privacy(truncate=4)
    assert stored(privacy, "prompt", {"text": "abcdef"}) == {"text": "abcd", "text_length": 6}
    assert stored(privacy, "prompt", {"text": "abcd"}) == {"text": "abcd"}
    assert stored(privacy, "copy", {"selected_text": "abcdef", "page_url": "https://long.example"}) == {
        "selected_text": "abcd",
        "selected_length": 6,
        "page_url": "https://long.example",
    }
    assert stored(privacy, "mine", {"tags": ["abcdef"]}) == {"tags": ["abcd"]}


def test_addresses_of_pages_lose_their_query_and_fragment_and_words_lose_nothing() -> None:
    data = {"page_url": "/p?token=1", "deep": [{"referrer": "https://a.org/p#x"}], "text": "https://a.org/p?x=1"}
    kept = {"page_url": "/p", "deep": [{"referrer": "https://a.org/p"}], "text": "https://a.org/p?x=1"}
    assert stored(Privacy(), "click", data) == kept
    assert stored(Privacy(drop_queries=False), "click", data) == data


def test_sources_of_an_answer_keep_their_query() -> None:
    data = {"text": "Look.", "citations": [{"url": "https://video.example/watch?v=1"}]}
    assert stored(Privacy(), "model_response", data) == data


def client(store: Store, mongodb_uri: str, **privacy: Any) -> FlaskClient:
    settings = load_settings(MONGODB_URI=mongodb_uri, secret_key="for tests only", privacy=privacy)
    return create_app(settings, store, ChatClient(settings, demo_delay_s=0)).test_client()


def visit(http: FlaskClient, session_id: str = "user_annexample.org_1700000000000_rnd") -> dict[str, Any]:
    body = {
        "session_id": session_id,
        "user_id": "ann@example.org",
        "previous_session_id": "user_annexample.org_1600000000000_rnd",
        "environment": {"page_url": "https://a.org/p?token=1", "referrer": "https://b.org/?q=me"},
    }
    answer = http.post("/api/session/start", json=body)
    assert answer.status_code == 201, answer.json
    return answer.json


def test_a_visit_is_stored_without_its_users_name_and_still_reached_by_its_own_id(
    store: Store, mongodb_uri: str
) -> None:
    http = client(store, mongodb_uri, user_key=KEY)
    session = visit(http)
    assert session["session_id"] == "user_annexample.org_1700000000000_rnd"
    event = {"n": 1, "t": 1_700_000_000_000, "type": "click", "data": {}}
    body = {"session_id": session["session_id"], "token": session["token"], "events": [event]}
    assert http.post("/api/session/event", json=body).json["accepted"] == 1
    asked = {"query": QUESTION, "sessionId": "c1", "trackingSessionId": session["session_id"]}
    assert http.post("/query", json=asked).json["tracked"]
    assert http.post("/api/session/end", json=body).json["duplicates"] == 1

    (document,) = store.sessions.find()
    assert document["user_id"] == session["user_id"] == ANN
    assert document["session_id"].startswith("user_anon-")
    assert [each["type"] for each in document["events"]] == ["click", "prompt", "model_response"]
    assert document["environment"]["page_url"] == "https://a.org/p"
    assert document["environment"]["referrer"] == "https://b.org/"
    everything = str([document, *store.database["chats"].find()])
    assert "annexample" not in everything
    assert "ann@" not in everything
    for known_as in (session["session_id"], document["session_id"]):
        assert http.get(f"/session/{known_as}").json["user_id"] == ANN


def test_a_chat_belongs_to_a_pseudonym_and_is_found_again(store: Store, mongodb_uri: str) -> None:
    before = client(store, mongodb_uri)  # the cookie is older than the key
    before.post("/query", json={"query": "An older one", "sessionId": "c0"})
    (older,) = store.database["chats"].find()
    http = client(store, mongodb_uri, user_key=KEY)
    http.set_cookie("llmtrack_user", before.get_cookie("llmtrack_user").value)
    http.post("/query", json={"query": QUESTION, "sessionId": "c1"})
    assert [chat["sessionId"] for chat in http.get("/api/chats").json["chats"]] == ["c1"]
    assert store.database["chats"].find_one({"chat_session_id": "c1"})["user_id"] == pseudonym(KEY, older["user_id"])

    fresh = client(store, mongodb_uri, user_key=KEY)
    fresh.post("/query", json={"query": QUESTION, "sessionId": "c2"})
    assert fresh.get("/api/chats/c2").status_code == 200


def test_chats_that_are_not_saved_can_still_be_had_and_deleted_where_they_are_older(
    store: Store, mongodb_uri: str
) -> None:
    before = client(store, mongodb_uri)
    before.post("/query", json={"query": QUESTION, "sessionId": "c0"})
    http = client(store, mongodb_uri, save_chats=False)
    http.set_cookie("llmtrack_user", before.get_cookie("llmtrack_user").value)
    assert http.post("/query", json={"query": QUESTION, "sessionId": "c1"}).json["answer"]
    assert [chat["sessionId"] for chat in http.get("/api/chats").json["chats"]] == ["c0"]
    assert http.delete("/api/chats/c0").status_code == 204
    assert store.database["chats"].count_documents({}) == 0


def test_a_turn_is_logged_without_its_texts(store: Store, mongodb_uri: str) -> None:
    http = client(store, mongodb_uri, events={"prompt": "hash", "model_response": "none"}, save_chats=False)
    session_id = visit(http)["session_id"]
    answer = http.post("/query", json={"query": QUESTION, "sessionId": "c1", "trackingSessionId": session_id}).json
    prompt, response = store.find(session_id)["events"]
    assert prompt["data"] == {
        "text_length": len(QUESTION),
        "text_hash": prompt["data"]["text_hash"],
        "turn_id": answer["turn_id"],
        "chat_session_id": "c1",
    }
    assert response["data"]["response_length"] == len(answer["answer"])
    assert "machine" not in str(store.find(session_id)).lower()


def test_settings_come_from_file_and_environment_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "llmtrack.toml").write_text('[privacy]\ntexts = "hash"\n[privacy.events]\nprompt = "none"\n')
    monkeypatch.setenv("LLMTRACK_PRIVACY__USER_KEY", KEY)
    monkeypatch.setenv("LLMTRACK_PRIVACY__EVENTS__COPY", "full")
    privacy = load_settings().privacy
    assert (privacy.texts, privacy.events) == ("hash", {"prompt": "none", "copy": "full"})
    assert privacy.known_as("ann@example.org") == ANN


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TEXTS", "some", "privacy.texts"),
        ("RETENTION_DAYS", "0", "privacy.retention_days"),
        ("NO_SUCH", "1", "privacy.no_such"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"LLMTRACK_PRIVACY__{name}", value)
    with pytest.raises(UsageError, match=said):
        load_settings()


def test_a_key_that_is_too_short_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACK_PRIVACY__USER_KEY", "tiny-secret")
    with pytest.raises(UsageError, match=r"privacy\.user_key") as error:
        load_settings()
    assert "tiny" not in str(error.value)
