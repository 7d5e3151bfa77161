"""Data of other applications: recognised by itself, and read as the visits that it holds."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId

from llmtrack.cli import main
from llmtrack.config import Settings, load_settings
from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.session.times import epoch_ms
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.documents import Found
from llmtrack.store.sources.messages import MODEL, PERSON, Message, text_of, visits
from llmtrack.store.sources.open import open_source
from llmtrack.store.sources.presets import PRESETS

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MS = round(NOON.timestamp() * 1000)


def librechat(conversations: int = 40) -> list[dict[str, Any]]:
    """Messages as LibreChat stores them: pauses, regenerated answers, failures, thumbs, several models."""
    draw, found = random.Random(4), []
    for number in range(conversations):
        user, chat = f"user{draw.randrange(9)}", f"chat{number}"
        at = NOON + timedelta(minutes=draw.randrange(9_000))
        parent = "00000000-0000-0000-0000-000000000000"
        for turn in range(draw.randrange(1, 5)):
            at += timedelta(minutes=draw.choice([1, 2, 5, 45, 300]))
            asked = f"{chat}-{turn}"
            base = {"conversationId": chat, "user": user, "endpoint": "openAI", "unfinished": False, "error": False}
            text = {"text": f"Question {turn}?", "model": None, "isCreatedByUser": True}
            times = {"createdAt": at, "updatedAt": at}
            found.append({"_id": ObjectId(), "messageId": asked, "parentMessageId": parent, **base, **text, **times})
            for again in range(draw.choice([1, 1, 1, 2])):
                at += timedelta(seconds=draw.randrange(2, 20))
                answer = f"{asked}-{again}"
                more: dict[str, Any] = {"isCreatedByUser": False, "model": "gpt-4o", "createdAt": at, "updatedAt": at}
                more |= draw.choice(
                    [
                        {"text": "An answer."},
                        {
                            "text": "",
                            "content": [{"type": "think", "think": "hm"}, {"type": "text", "text": "An answer."}],
                        },
                        {"text": '{"type":"token_balance"}', "error": True},
                        {"text": "An answer.", "feedback": {"rating": "thumbsUp"}},
                    ]
                )
                found.append({"_id": ObjectId(), "messageId": answer, "parentMessageId": asked, **base, **more})
                parent = answer
    draw.shuffle(found)
    return found


def counted(messages: list[dict[str, Any]]) -> int:
    """Visits by the definition, counted plainly: a person's messages, split where 30 minutes pass."""
    times = defaultdict(list)
    for message in messages:
        times[message["user"]].append(message["createdAt"])
    pauses = timedelta(minutes=30)
    return sum(
        1 + sum(later - earlier > pauses for earlier, later in zip(sorted(each), sorted(each)[1:], strict=False))
        for each in times.values()
    )


def events(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [
        event["data"] | {"t": event["t"]} for each in documents for event in each["events"] if event["type"] == kind
    ]


def read(source: str, settings: Settings) -> list[dict[str, Any]]:
    with open_source(source, settings) as opened:
        return list(opened.documents())


def written(tmp_path: Path, documents: Any, name: str = "chats.json") -> str:
    (tmp_path / name).write_text(json.dumps(documents, default=str))
    return str(tmp_path / name)


@pytest.mark.parametrize("where", ["database", "dump", "file"])
def test_librechat_from_wherever_it_lies(where: str, store: Store, settings: Settings, tmp_path: Path) -> None:
    messages = librechat()
    logins = {"refreshTokenHash": "0" * 64, "expiration": NOON, "user": ObjectId()}
    if where == "database":
        store.database["messages"].insert_many(messages)
        store.sessions.drop()
        store.sessions.insert_one(logins)
        source = str(settings.mongodb_uri.reveal()) if settings.mongodb_uri else ""
    elif where == "dump":
        (tmp_path / "messages.bson").write_bytes(b"".join(map(bson.encode, messages)))
        (tmp_path / "sessions.bson").write_bytes(bson.encode(logins))
        source = str(tmp_path)
    else:
        source = written(tmp_path, messages)
    found = read(source, settings)
    assert len(found) == counted(messages)
    people = [message for message in messages if message["isCreatedByUser"]]
    answers = [message for message in messages if not message["isCreatedByUser"]]
    assert len(events(found, "prompt")) == len(people)
    responses = events(found, "model_response")
    assert sorted(each["turn_id"] for each in responses) == sorted(each["parentMessageId"] for each in answers)
    assert sum("error" in each for each in responses) == sum(each["error"] for each in answers)
    assert {each["text"] for each in responses} == {"An answer.", ""}
    assert not any("latency_ms" in each for each in responses)
    thumbs = sum("feedback" in each for each in answers)
    assert [each["rating"] for each in events(found, "feedback")] == ["up"] * thumbs
    with open_source(source, settings) as opened:
        list(opened.documents())
        assert "librechat" in opened.remark


def test_from_download_to_engagement(tmp_path: Path, mongodb_uri: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    path = written(tmp_path, librechat(), "messages.json")
    for arguments in (["import", path], ["engagement", "--by", "none"]):
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        assert not exited.value.code
    said = capsys.readouterr()
    assert "LibreChat's messages" in said.err
    assert f"{counted(librechat())} sessions" in said.out


@pytest.mark.parametrize("command", [["replay", "last", "--instant"], ["sessions"], ["export", "turns"]])
def test_every_command_says_how_a_file_is_read(command: list[str], tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as exited:
        main([*command, "--source", written(tmp_path, librechat(4), "messages.json")])
    assert not exited.value.code
    assert "is read as LibreChat's messages (preset librechat)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "output_text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}], "a"),
        ({"role": "model", "parts": [{"text": "a"}, {"text": "b"}]}, "a\nb"),  # Gemini
        ({"content_type": "text", "parts": ["a", None]}, "a"),  # ChatGPT
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a"),  # assistants
        ([{"type": "refusal", "refusal": "No."}], "No."),
        ([{"type": "reasoning", "text": "hm"}, {"type": "tool_use", "input": {"text": "x"}}, None], ""),
        (None, ""),
    ],
)
def test_the_text_of_any_content(content: Any, text: str) -> None:
    assert text_of(content) == text


def test_rows_of_nobody_known_are_read_one_at_a_time(settings: Settings, tmp_path: Path) -> None:
    def rows() -> Iterator[Found]:
        for number in range(3):
            seen.append(number)
            yield Found(f"line {number}", {"id": f"{number}", "conversations": [{"from": "human", "value": "Q?"}]})

    seen: list[int] = []
    first = next(PRESETS["sharegpt"].sessions(rows()))
    assert isinstance(first, Found)
    assert seen == [0]


CHATGPT = {
    "title": "Bread",
    "create_time": NOON.timestamp(),
    "conversation_id": "c",
    "mapping": {
        "root": {"id": "root", "message": None, "parent": None},
        "hidden": {
            "message": {"author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]}},
            "parent": "root",
        },
        "q": {
            "message": {
                "author": {"role": "user"},
                "create_time": NOON.timestamp() + 1,
                "content": {"content_type": "text", "parts": ["How long?"]},
                "recipient": "all",
            },
            "parent": "hidden",
        },
        "call": {
            "message": {
                "author": {"role": "assistant"},
                "create_time": NOON.timestamp() + 2,
                "content": {"content_type": "code", "text": "search()"},
                "recipient": "browser",
            },
            "parent": "q",
        },
        "a": {
            "message": {
                "author": {"role": "assistant"},
                "create_time": NOON.timestamp() + 4,
                "content": {"content_type": "text", "parts": ["Four days."]},
                "recipient": "all",
                "metadata": {"model_slug": "gpt-4o"},
            },
            "parent": "call",
        },
    },
}
OPEN_WEBUI_CHAT = {
    "history": {
        "currentId": "a2",
        "messages": {
            "q": {"id": "q", "parentId": None, "role": "user", "content": "How long?", "timestamp": MS // 1000},
            "a1": {
                "id": "a1",
                "parentId": "q",
                "role": "assistant",
                "content": "Three.",
                "model": "llama3.2",
                "timestamp": MS // 1000 + 1,
            },
            "a2": {
                "id": "a2",
                "parentId": "q",
                "role": "assistant",
                "content": "Four days.",
                "model": "qwen",
                "timestamp": MS // 1000 + 9,
                "annotation": {"rating": 1},
            },
        },
    }
}
OPEN_WEBUI = {"id": "c", "user_id": "u", "title": "Bread", "chat": OPEN_WEBUI_CHAT, "created_at": MS // 1000}
CLAUDE = {
    "uuid": "c",
    "name": "Bread",
    "account": {"uuid": "u"},
    "created_at": NOON.isoformat(),
    "chat_messages": [
        {"uuid": "q", "sender": "human", "text": "How long?", "created_at": NOON.isoformat()},
        {
            "uuid": "a",
            "sender": "assistant",
            "text": "",
            "content": [{"type": "text", "text": "Four days."}],
            "created_at": (NOON + timedelta(seconds=4)).isoformat(),
        },
    ],
}
WILDCHAT = {
    "conversation_hash": "c",
    "model": "gpt-4-0314",
    "timestamp": "2026-11-02T12:00:04+00:00",
    "turn": 1,
    "conversation": [
        {"role": "user", "content": "How long?", "hashed_ip": "u", "timestamp": None},
        {"role": "assistant", "content": "Four days.", "hashed_ip": None, "timestamp": "2026-11-02T12:00:04+00:00"},
    ],
}
SHAREGPT = {
    "id": "c",
    "conversations": [{"from": "human", "value": "How long?"}, {"from": "gpt", "value": "Four days."}],
}
LANGFUSE = {
    "id": "a",
    "timestamp": NOON.isoformat(),
    "sessionId": "c",
    "userId": "u",
    "input": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How long?"}]},
    "output": {"role": "assistant", "content": "Four days."},
    "latency": 4.0,
    "scores": [{"name": "thumb", "value": 1, "timestamp": NOON.isoformat()}],
    "observations": [{"model": "gpt-4o"}],
}
SHAPES = {  # preset: document, user, model of the last answer, rating
    "chatgpt": (CHATGPT, "export", "gpt-4o", None),
    "open-webui": (OPEN_WEBUI, "u", "qwen", "up"),
    "claude": (CLAUDE, "u", None, None),
    "wildchat": (WILDCHAT, "u", "gpt-4-0314", None),
    "sharegpt": (SHAREGPT, None, None, None),
    "langfuse": (LANGFUSE, "u", "gpt-4o", "up"),
}


@pytest.mark.parametrize("preset", SHAPES)
@pytest.mark.parametrize("several", [False, True], ids=["one", "array"])
def test_each_shape_is_recognised_and_read(preset: str, several: bool, settings: Settings, tmp_path: Path) -> None:
    document, user, model, rating = SHAPES[preset]
    source = written(tmp_path, [document] if several else document)
    with open_source(source, settings) as opened:
        (visit,) = opened.documents()
        assert f"preset {preset}" in opened.remark
    assert visit.get("user_id") == user
    (prompt,) = events([visit], "prompt")
    assert (prompt["text"], prompt["chat_session_id"]) == ("How long?", "c")
    answer = events([visit], "model_response")[-1]
    assert (answer["text"], answer.get("model"), answer["turn_id"]) == ("Four days.", model, prompt["turn_id"])
    assert [each["rating"] for each in events([visit], "feedback")] == ([rating] if rating else [])
    assert ("latency_ms" in answer) == (preset == "langfuse")
    if preset == "langfuse":
        assert answer["latency_ms"] == 4000
    if preset != "sharegpt":
        assert 0 <= epoch_ms(visit["start_time"]) - MS <= 4000  # type: ignore[operator]


def test_open_webui_s_database_is_read(settings: Settings, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "webui.db") as database:
        database.execute("CREATE TABLE chat (id TEXT, user_id TEXT, title TEXT, chat JSON, created_at INTEGER)")
        database.execute("INSERT INTO chat VALUES ('c', 'u', 'Bread', ?, 1)", [json.dumps(OPEN_WEBUI_CHAT)])
    database.close()
    (visit,) = read(str(tmp_path / "webui.db"), settings)
    assert [event["type"] for event in visit["events"]] == ["prompt", "model_response", "model_response", "feedback"]
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE x (id TEXT)")
    database.close()
    with pytest.raises(LlmtrackError, match="SQLite"):
        read(str(tmp_path / "other.db"), settings)


PLATFORM = {
    "session_id": "s",
    "user_id": "u",
    "start_time": NOON,
    "end_time": NOON + timedelta(seconds=4),
    "events": [
        {"t": MS + 1000, "type": "key", "data": {"target": "Enter"}},
        {"t": MS + 1000, "type": "prompt", "data": {"query_id": "q", "text_preview": "How"}},
        {"t": MS + 9000, "type": "copy", "data": {"selected_text": "Four days.", "embedding": [0.5] * 8}},
    ],
}
RECORD = {
    "session_id": "s",
    "user_id": "u",
    "query": "How long?",
    "response": "Four days.",
    "timestamp": NOON + timedelta(seconds=4),
    "latency_ms": 3000.0,
    "model_name": "gpt-4o-mini",
    "model_provider": "openai",
    "success": True,
    "embedding": [0.25] * 1536,
}


def test_the_llm_platform_keeps_texts_in_another_collection(store: Store, settings: Settings) -> None:
    store.sessions.insert_one(dict(PLATFORM))
    alone = {**RECORD, "session_id": "never stored", "success": False, "response": "Error: no."}
    store.database["queries"].insert_many([dict(RECORD), alone])
    assert settings.mongodb_uri
    with open_source(settings.mongodb_uri.reveal(), settings) as opened:
        visit, lost = opened.documents()
        assert "llm-platform" in opened.remark
    assert [event["type"] for event in visit["events"]] == ["key", "prompt", "model_response", "copy"]
    assert [event["t"] for event in visit["events"]] == [MS + 1000, MS + 1000, MS + 4000, MS + 9000]
    answer = events([visit], "model_response")[0]
    assert (answer["text"], answer["model"], answer["latency_ms"]) == ("Four days.", "gpt-4o-mini", 3000)
    assert "embedding" not in json.dumps(visit, default=str)
    assert events([lost], "model_response")[0]["error"] == "Error: no."


def test_sessions_of_the_llm_platform_that_hold_texts_stay_as_they_are(store: Store, settings: Settings) -> None:
    told = {"t": MS + 1000, "type": "prompt", "data": {"text": "How long?"}}
    store.sessions.insert_one({**PLATFORM, "events": [told]})
    store.database["queries"].insert_one(dict(RECORD))
    assert settings.mongodb_uri
    (visit,) = read(settings.mongodb_uri.reveal(), settings)
    assert visit["events"] == [told]


@pytest.mark.parametrize(
    ("changes", "asked_s", "answered_s", "latency_ms"),
    [
        pytest.param({}, 1, 4, 3000, id="newest: the time of the answer"),
        pytest.param({"model_name": None, "model_used": "m"}, 4, 7, 3000, id="older: the time of the question"),
        pytest.param({"model_name": None, "model_used": "m", "latency_ms": 2000}, 2, 4, None, id="streamed: made up"),
        pytest.param({"model_name": None, "model_used": "m", "latency_ms": None}, 4, 4, None, id="first: not measured"),
    ],
)
def test_records_of_the_llm_platform_are_dated_as_their_version_wrote_them(
    tmp_path: Path, settings: Settings, changes: dict[str, Any], asked_s: int, answered_s: int, latency_ms: float | None
) -> None:
    record = {key: value for key, value in {**RECORD, **changes}.items() if value is not None}
    path = tmp_path / "queries.json"
    path.write_text(json.dumps({**record, "timestamp": record["timestamp"].isoformat()}))
    (visit,) = read(str(path), settings)
    prompt, answer = visit["events"]
    assert (prompt["t"], answer["t"]) == (MS + asked_s * 1000, MS + answered_s * 1000)
    assert answer["data"].get("latency_ms") == latency_ms
    assert answer["data"]["model"] == changes.get("model_used", "gpt-4o-mini")


def test_a_chat_that_goes_on_in_a_newer_version_has_its_turns_once(store: Store, settings: Settings) -> None:
    told = {"t": MS + 1000, "type": "prompt", "data": {"text": "How long?"}}
    store.sessions.insert_one({**PLATFORM, "events": [told]})
    later = {**RECORD, "query": "And rye?", "timestamp": NOON + timedelta(days=2)}
    store.database["queries"].insert_many([dict(RECORD), later])
    assert settings.mongodb_uri
    (visit,) = read(settings.mongodb_uri.reveal(), settings)
    assert [event["data"]["text"] for event in visit["events"]] == ["How long?", "And rye?", "Four days."]
    assert visit["is_chat"] is True


VISITS = """
[sources.ours]
kind = "visits"
uri = "{uri}"
collection = "trips"
session_id = "id"
user_id = "who.id"
start_time = "began"
events = "log"
t = "at"
type = "name"
data = "props"
types = {{ asked = "prompt", copied = "copy" }}

[sources.ours.turns]
collection = "answers"
session_id = "trip"
query = "q"
response = "a"
time = "when"
time_is = "asked"
latency_ms = "took"

[sources.talk]
kind = "messages"
uri = "{uri}"
collection = "talk"
chat = "room"
user = "who.id"
text = ["body", "parts"]
time = "when"
begin = "began"
rating = "thumb"
"""


def test_sources_that_the_configuration_describes(store: Store, mongodb_uri: str) -> None:
    Path("llmtrack.toml").write_text(VISITS.format(uri=mongodb_uri))
    log = [{"at": MS + 5, "name": "copied", "props": {"selected_text": "Four"}}, {"at": MS + 6, "name": "own"}]
    store.database["trips"].insert_one({"id": 7, "who": {"id": "u"}, "began": NOON, "log": log})
    store.database["answers"].insert_one({"trip": 7, "q": "How long?", "a": "Four", "when": NOON, "took": 3})
    rows = [
        {"_id": 1, "room": "r", "who": {"id": "u"}, "role": "user", "body": "How long?", "when": NOON},
        {"_id": 2, "room": "r", "who": {"id": "u"}, "role": "bot", "parts": [{"type": "text", "text": "Four"}]}
        | {"when": NOON + timedelta(seconds=3), "began": NOON + timedelta(seconds=1), "thumb": False},
    ]
    store.database["talk"].insert_many(rows)
    settings = load_settings()
    (trip,) = read("ours", settings)
    assert (trip["session_id"], trip["user_id"]) == (7, "u")
    assert [event["type"] for event in trip["events"]] == ["prompt", "model_response", "copy", "own"]
    assert [event["t"] for event in trip["events"]] == [MS, MS + 3, MS + 5, MS + 6]
    (talk,) = read("talk", settings)
    assert [event["type"] for event in talk["events"]] == ["prompt", "model_response", "feedback"]
    assert events([talk], "model_response")[0]["latency_ms"] == 2000
    assert events([talk], "feedback")[0]["rating"] == "down"


def test_import_from_a_source_and_again_when_the_visit_has_gone_on(
    store: Store, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    Path("llmtrack.toml").write_text(VISITS.format(uri=mongodb_uri))
    talk = store.database["talk"]
    row = {"room": "r", "who": {"id": "u"}, "role": "user", "body": "How long?", "when": NOON}
    for number, column in enumerate(("inserted", "completed")):
        talk.insert_one(row | {"when": NOON + timedelta(seconds=number)})
        with pytest.raises(SystemExit):
            main(["import", "--from", "talk", "--format", "json"])
        assert json.loads(capsys.readouterr().out)[column] == 1
    assert len(store.sessions.find_one({})["events"]) == 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('kind = "visit"', "sources.x"),
        ('kind = "messages"\ntime = "t"', "sources.x.chat: is missing"),
        ('preset = "nobody"', "There is no preset 'nobody'"),
        ('preset = "librechat"\ncolection = "x"', "sources.x.colection"),
    ],
)
def test_a_source_that_is_described_wrongly_is_named(section: str, said: str) -> None:
    Path("llmtrack.toml").write_text(f"[sources.x]\n{section}\n")
    with pytest.raises(UsageError, match=said):
        open_source("x", load_settings())


def test_answers_are_answers_of_the_prompt_above_them() -> None:
    def message(key: str, role: str, seconds: float | None, parent: str | None = None) -> Message:
        return Message(key, "c", role, None if seconds is None else MS + seconds * 1000, user="u", parent=parent)

    given = [
        message("q1", PERSON, 0),
        message("step", MODEL, 1, "q1"),
        message("a1", MODEL, 2, "step"),
        message("a1 again", MODEL, 50, "q1"),
        message("q2", PERSON, None, "a1"),
        message("a2", MODEL, 60),
    ]
    (visit,) = visits(given)
    turns = {
        event["t"] - MS: event["data"]["turn_id"] for event in visit["events"] if event["type"] == "model_response"
    }
    assert turns == {1000: "q1", 2000: "q1", 50_000: "q1", 60_000: "q2"}
