"""POST /query and the saved chats, over real HTTP on both sides: a browser here, a model server there."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor

import pytest
from flask import Flask

from llmtrack.collector import create_app
from llmtrack.collector.chat.context import context
from llmtrack.collector.chat.record import Record
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.models.reading import Piece
from llmtrack.config import Group, Settings, load_settings
from llmtrack.errors import LlmtrackError, StoreUnavailable, UnknownSession
from llmtrack.session.claim import Claim
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Appended, Store
from llmtrack.store.spool.durable import DurableStore
from llmtrack.store.spool.queue import Spool
from tests.collector.conftest import Browser, wait_until
from tests.collector.model_server import ANSWER, KEY, ModelServer, running

Serve = Callable[[Flask], str]
LATE = "user_ann_2_0123456789abcdef"
SESSION = "user_ann_1_0123456789abcdef"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def collector(settings: Settings, store: Store, server: ModelServer, serve: Serve) -> Callable[..., str]:
    """Start a collector whose only group asks this model; returns its address."""

    def start(model: str = "good", *, over: Any = store, **group: Any) -> str:
        experiments = {"trial": {"groups": [{"name": "arm", "model": model, "base_url": server.base_url, **group}]}}
        return serve(app_of(settings, over, experiments))

    return start


HASTY = {"after_s": 0.3}  # of a database that is away for certain: nothing is won by waiting for it


def app_of(settings: Settings, store: Store, experiments: dict[str, Any], **more: Any) -> Flask:
    assert settings.mongodb_uri is not None
    values = {"MONGODB_URI": settings.mongodb_uri, "secret_key": "for tests only", "OPENAI_API_KEY": KEY}
    settings = load_settings(**{**values, "experiments": experiments, "model_timeout_s": 0.5, **more})
    return create_app(settings, store, ChatClient(settings, demo_delay_s=0))


@pytest.fixture
def visit(store: Store) -> str:
    """A session that has started, in group "arm" of experiment "trial"."""
    store.start({"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    return SESSION


def question(text: str = "Why is the sky blue?", visit: str | None = SESSION, **more: Any) -> dict[str, Any]:
    return {"query": text, "sessionId": "chat-1", **({"trackingSessionId": visit} if visit else {}), **more}


def events(raw: str) -> list[tuple[str, Any]]:
    """The server-sent events of a body."""
    found = []
    for block in filter(None, raw.split("\n\n")):
        if block.startswith(":"):  # a comment
            continue
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def logged(store: Store, session_id: str = SESSION) -> list[dict[str, Any]]:
    document = store.find(session_id)
    assert document is not None
    return list(document["events"])


def cookie_of(browser: Browser) -> str:
    [jar] = [handler.cookiejar for handler in browser.opener.handlers if isinstance(handler, HTTPCookieProcessor)]
    [cookie] = jar
    return str(cookie.value)


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


# one answer, both ways


@pytest.mark.usefixtures("visit")
def test_an_answer_in_one_body(collector: Callable[..., str]) -> None:
    answer = Browser(collector(provider="local")).post("/query", question())
    assert answer.status == 200
    body = answer.json
    assert body.pop("latency_ms") >= body.pop("ttft_ms") >= 0
    assert len(body.pop("turn_id")) == 16
    assert body == {
        "answer": ANSWER,
        "citations": [],
        "sessionId": "chat-1",
        "model": "good",
        "provider": "local",
        "tracked": True,
        "notice": None,
        "finish_reason": "stop",
    }
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.usefixtures("visit")
@pytest.mark.parametrize(
    ("more", "headers"), [({"stream": True}, {}), ({}, {"Accept": "text/event-stream"})], ids=["field", "header"]
)
def test_an_answer_word_by_word(collector: Callable[..., str], more: Any, headers: Any) -> None:
    answer = Browser(collector("annotated")).post("/query", question(**more), **headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    (first, meta), *tokens, (last, done) = events(answer.json)
    assert (first, last) == ("meta", "done")
    assert {name for name, _ in tokens} == {"token"}
    assert "".join(data["text"] for _, data in tokens) == done["answer"] == ANSWER
    assert len(tokens) > 10
    assert meta == {key: done[key] for key in ("turn_id", "sessionId", "model", "provider", "tracked", "notice")}
    assert meta["tracked"] is True
    assert done["citations"] == [{"url": "https://a.example/1", "title": "A source"}]
    assert done["latency_ms"] >= done["ttft_ms"]


@pytest.mark.usefixtures("visit")
def test_the_words_arrive_while_the_model_still_writes(collector: Callable[..., str], server: ModelServer) -> None:
    server.answer, server.delay_s = "one two three four five", 0.1
    with Asking(collector(), question(stream=True)) as connection:
        received = b""
        while b"one" not in received:
            received += connection.recv(4096)
        assert b"five" not in received


# what is logged


def test_both_ends_are_logged_into_the_visit(collector: Callable[..., str], store: Store, visit: str) -> None:
    before = time.time() * 1000 - 1
    body = Browser(collector("annotated", provider="local")).post("/query", question()).json
    prompt, response = logged(store, visit)
    assert prompt["type"] == "prompt"
    assert prompt["data"] == {"text": "Why is the sky blue?", "chat_session_id": "chat-1", "turn_id": body["turn_id"]}
    assert response["type"] == "model_response"
    assert response["data"] == {
        "text": ANSWER,
        "model": "annotated",
        "provider": "local",
        "latency_ms": body["latency_ms"],
        "ttft_ms": body["ttft_ms"],
        "response_length": len(ANSWER),
        "citations": [{"url": "https://a.example/1", "title": "A source"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18},
        "finish_reason": "stop",
        "chat_session_id": "chat-1",
        "turn_id": body["turn_id"],
    }
    assert before <= prompt["t"] <= response["t"] <= time.time() * 1000 + 1
    assert "n" not in prompt


def test_the_prompt_is_logged_before_the_model_is_asked(
    collector: Callable[..., str], store: Store, visit: str
) -> None:
    seen: list[str] = []
    address = collector("silent")
    thread = threading.Thread(target=Browser(address).post, args=("/query", question()))
    thread.start()
    wait_for(lambda: seen.extend(event["type"] for event in logged(store, visit)) or seen)
    assert seen[0] == "prompt"
    thread.join(timeout=10)


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_in_the_middle_leaves_a_partial_answer(
    collector: Callable[..., str], server: ModelServer, store: Store, visit: str, stream: bool
) -> None:
    """A reader of the stream is noticed; one who waits for the whole body gets the whole answer logged."""
    server.answer, server.delay_s = "word " * 60, 0.01
    with Asking(collector(), question(stream=stream)) as connection:
        if stream:
            while b"event: token" not in connection.recv(4096):
                pass
    response = wait_for(lambda: logged(store, visit)[1:])[0]["data"]
    assert response.get("partial", False) is stream
    assert server.answer.startswith(response["text"])
    assert (response["text"] == server.answer) is not stream
    assert response["response_length"] == len(response["text"]) > 0
    assert response["latency_ms"] > 0
    if stream:
        assert server.left.wait(5)


def test_who_leaves_before_the_first_word_leaves_a_partial_answer_too(
    collector: Callable[..., str], server: ModelServer, store: Store, visit: str
) -> None:
    server.answer, server.think_s, server.delay_s = "word " * 200, 0.3, 0.01
    with Asking(collector(), question(stream=True)):
        wait_for(lambda: logged(store, visit))
    assert server.left.wait(5)
    assert wait_for(lambda: logged(store, visit)[1:])[0]["data"]["partial"] is True


def test_who_leaves_finds_the_partial_answer_in_the_saved_chat(
    collector: Callable[..., str], server: ModelServer
) -> None:
    server.answer, server.delay_s = "word " * 500, 0.01
    browser = Browser(collector())
    browser.get("/")
    cookie = f"Cookie: llmtrack_user={cookie_of(browser)}"
    with Asking(browser.base, question(visit=None, stream=True), cookie) as connection:
        while b"event: token" not in connection.recv(4096):
            pass
    answer = wait_for(lambda: browser.get("/api/chats/chat-1").json["messages"][1:])[0]
    assert answer["partial"] is True
    assert answer["text"].startswith("word ")


class Asking:
    """A raw POST /query whose connection closes at the end of the block, answered or not."""

    def __init__(self, address: str, body: dict[str, Any], *headers: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        raw = json.dumps(body).encode()
        self.connection = socket.create_connection((host, int(port)), timeout=10)
        lines = [
            "POST /query HTTP/1.1",
            "Host: test",
            "Content-Type: application/json",
            f"Content-Length: {len(raw)}",
            *headers,
            "",
            "",
        ]
        self.connection.sendall("\r\n".join(lines).encode() + raw)

    def __enter__(self) -> socket.socket:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


# failures of the model

FAILURES = {
    # model: status, what the message says
    "wrong-key": (503, "environment variable OPENAI_API_KEY, which holds the key of group 'arm'"),
    "lost-model": (503, "Correct model of group 'arm' in llmtrack.toml"),
    "busy": (502, "asked too often, or its quota is used up (429)"),
    "fails": (502, "Model 'fails' failed (500)"),
    "silent": (504, "Model 'silent' did not answer within 0.5 s."),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FAILURES)
def test_a_failure_before_the_first_word_has_its_status_and_is_logged(
    collector: Callable[..., str], store: Store, visit: str, model: str, stream: bool
) -> None:
    """A stream has begun by then: the failure is its last event, and holds the status."""
    status, message = FAILURES[model]
    answer = Browser(collector(model)).post("/query", question(stream=stream))
    failure = events(answer.json)[-1][1] if stream else answer.json
    assert answer.status == (200 if stream else status)
    assert failure.get("status", status) == status
    assert message in failure["error"]
    assert failure["tracked"] is True
    assert failure["sessionId"] == "chat-1"
    prompt, response = logged(store, visit)
    assert response["data"]["turn_id"] == prompt["data"]["turn_id"] == failure["turn_id"]
    assert failure["error"].startswith(response["data"]["error"])
    assert "text" not in response["data"]
    assert response["data"]["latency_ms"] >= 0
    assert KEY not in json.dumps([failure, response["data"]])


@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_that_breaks_is_an_error_and_a_partial_answer(
    collector: Callable[..., str], store: Store, visit: str, stream: bool
) -> None:
    answer = Browser(collector("broken-after-3")).post("/query", question(stream=stream))
    if stream:
        assert answer.status == 200
        name, failure = events(answer.json)[-1]
        assert (name, failure["status"]) == ("error", 502)
    else:
        assert answer.status == 502
        failure = answer.json
    assert failure["error"] == "The answer of model 'broken-after-3' broke off. Try again."
    assert failure["tracked"] is True
    data = logged(store, visit)[1]["data"]
    assert data["text"] == "**Supervised learning** learns "
    assert data["partial"] is True
    assert data["error"] == "The answer of model 'broken-after-3' broke off."


def test_without_a_key_the_answer_names_the_variable(settings: Settings, store: Store, serve: Serve) -> None:
    groups = {"trial": {"groups": [{"name": "arm", "model": "gpt", "api_key_env": "MY_KEY"}]}}
    answer = Browser(serve(app_of(settings, store, groups))).post("/query", question(visit=None))
    assert answer.status == 503
    assert "Set the environment variable MY_KEY" in answer.json["error"]


# the answer matters more than the log


class Faulty:
    """A store, or the chats of one, that fails in one of its methods: after some calls, always or so many times."""

    def __init__(self, store: Any, method: str, error: Exception, after: int = 0, times: float = float("inf")) -> None:
        self._store, self._method, self._error, self._left, self._times = store, method, error, after, times

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._method else getattr(self._store, name)

    def _fail(self, *args: Any, **more: Any) -> Appended:
        if self._left == 0 and self._times > 0:
            self._times -= 1
            raise self._error
        self._left = max(0, self._left - 1)
        result: Appended = getattr(self._store, self._method)(*args, **more)
        return result


LATER = " It will be, if that happens within 60 s."
AWAY = StoreUnavailable("The database does not answer: 10.0.0.7:27017: refused.")
NOTICES: dict[str, tuple[str | None, tuple[str, Exception, int] | None, str]] = {
    # visit, fault of the store (method, error, calls that go well before), notice
    "no id": (None, None, "Not tracked: no trackingSessionId was given."),
    "empty id": ("", None, "Not tracked: no trackingSessionId was given."),
    "unknown id": (
        "user_x_1_y",
        None,
        f"Not tracked: no session 'user_x_1_y' was started.{LATER}",
    ),
    "odd id": (
        "$ne\x00",
        None,
        rf"Not tracked: no session '$ne\x00' was started.{LATER}",
    ),
    "odd id, database away": (
        "$ne\x00",
        ("owner", AWAY, 0),
        rf"Not tracked: no session '$ne\x00' was started.{LATER} The chat is not saved: the database does not answer.",
    ),
    "refused": (SESSION, ("append", LlmtrackError("too large"), 0), "Not tracked: the database refused it."),
}


@pytest.mark.usefixtures("visit")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", NOTICES)
def test_an_answer_that_is_not_tracked_says_why(
    collector: Callable[..., str], store: Store, case: str, stream: bool
) -> None:
    session_id, fault, notice = NOTICES[case]
    address = collector(over=Faulty(store, *fault) if fault else store)
    body = {**question(visit=None, stream=stream), "trackingSessionId": session_id}
    answer = Browser(address).post("/query", body)
    assert answer.status == 200
    done = events(answer.json)[-1][1] if stream else answer.json
    assert (done["answer"], done["tracked"], done["notice"]) == (ANSWER, False, notice)


@pytest.mark.parametrize(("method", "after"), [("owner", 0), ("append", 0), ("append", 1)])
def test_what_the_database_does_not_take_waits_and_is_stored(
    collector: Callable[..., str], store: Store, visit: str, method: str, after: int
) -> None:
    answer = (
        Browser(collector(over=Faulty(store, method, AWAY, after, times=1))).post("/query", question(visit=visit)).json
    )
    assert (answer["answer"], answer["tracked"]) == (ANSWER, True)
    wait_until(lambda: len(logged(store, visit)) == 2)
    assert [event["type"] for event in logged(store, visit)] == ["prompt", "model_response"]


def test_a_session_deleted_in_the_middle_is_named(collector: Callable[..., str], store: Store, visit: str) -> None:
    address = collector(over=Faulty(store, "append", UnknownSession("No session."), after=1))
    answer = Browser(address).post("/query", question(visit=visit)).json
    assert answer["notice"] == "The answer was not tracked: the session was deleted."


@pytest.mark.parametrize("method", ["turns", "ask", "answer"])
def test_an_answer_that_cannot_be_saved_is_tracked_all_the_same(
    store: Store, visit: str, method: str, tmp_path: Path
) -> None:
    chats: Any = Faulty(Chats(store), method, LlmtrackError("too large"))
    durable: Any = DurableStore(store, Spool(tmp_path / "spool.sqlite", 10**6, 10**6), 15)
    record = Record(durable, chats, "ann", "chat-1", visit, Claim(anything=True))
    record.turns()
    record.begin({"turn_id": "t1", "t": 1, "text": "Why?"})
    record.end("t1", 2, {"text": "Because."}, {"text": "Because."})
    assert record.notices == ["The chat is not saved: the database refused it."]
    assert record.tracked
    assert [event["type"] for event in logged(store, visit)] == ["prompt", "model_response"]


def test_without_any_database_the_answer_still_comes(settings: Settings, serve: Serve, server: ModelServer) -> None:
    groups = {"trial": {"groups": [{"name": "arm", "model": "good", "base_url": server.base_url}]}}
    with Store("mongodb://127.0.0.1:9/?directConnection=true", timeout_s=0.2) as away:
        browser = Browser(serve(app_of(settings, away, groups, spool=HASTY)))
        for visit in (SESSION, None):
            answer = browser.post("/query", question(visit=visit))
            assert (answer.status, answer.json["answer"], answer.json["tracked"]) == (200, ANSWER, visit is not None)
        assert answer.json["notice"] == (
            "Not tracked: no trackingSessionId was given. The chat is not saved: the database does not answer."
        )
        assert browser.get("/api/chats").status == 503


@pytest.mark.usefixtures("visit")
def test_no_text_and_no_key_gets_into_the_log(
    collector: Callable[..., str], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "llmtrack")
    for model in ("good", "refuses", "broken-after-3"):
        Browser(collector(model, over=Faulty(store, "append", AWAY))).post("/query", question("my secret question"))
    assert "failed with status 502" in caplog.text
    written = "".join(record.getMessage() for record in caplog.records if record.name == "llmtrack")
    for text in ("secret question", "Supervised", KEY):
        assert text not in written


# which group answers

TWO = {
    "trial": {"groups": [{"name": "a", "model": "model-a"}, {"name": "b", "model": "model-b", "weight": 0}]},
    "other": {"groups": [{"name": "c", "model": "model-c"}]},
}


@pytest.mark.parametrize(
    ("owner", "model", "notice"),
    [
        ({"model_group": "b", "experiment_id": "trial"}, "model-b", None),
        ({"model_group": "c", "experiment_id": "other"}, "model-c", None),
        ({"model_group": "b"}, "model-b", None),
        ({"model_group": "gone"}, "model-a", "Group 'gone' of this session is not configured any more: 'a' answers."),
        ({"model_group": {"$odd": 1}, "experiment_id": ["x"]}, "model-a", None),
        ({}, "model-a", None),
    ],
)
def test_the_visits_group_answers(
    settings: Settings, store: Store, serve: Serve, server: ModelServer, owner: Any, model: str, notice: str | None
) -> None:
    store.start({"session_id": SESSION, "user_id": "ann", **owner})
    app = app_of(settings, store, TWO, OPENAI_BASE_URL=server.base_url, experiment="trial")
    answer = Browser(serve(app)).post("/query", question()).json
    assert (answer["model"], answer["tracked"], answer["notice"]) == (model, True, notice)


def test_a_user_without_a_visit_keeps_one_group(
    settings: Settings, store: Store, serve: Serve, server: ModelServer
) -> None:
    groups = {"trial": {"groups": [{"name": name, "model": f"model-{name}"} for name in "abcdef"]}}
    address = serve(app_of(settings, store, groups, OPENAI_BASE_URL=server.base_url))
    browser = Browser(address)
    assert len({browser.post("/query", question(visit=None)).json["model"] for _ in range(4)}) == 1
    assert len({Browser(address).post("/query", question(visit=None)).json["model"] for _ in range(12)}) > 1


def test_the_demo_answers_without_any_key(settings: Settings, store: Store, serve: Serve, visit: str) -> None:
    app = create_app(settings, store, ChatClient(settings, demo_delay_s=0))
    answer = Browser(serve(app)).post("/query", question("What is machine learning?")).json
    assert (answer["provider"], answer["model"]) == ("demo", "demo")
    assert "not a model" in answer["answer"]
    assert logged(store, visit)[1]["data"]["provider"] == "demo"


# the chat's memory


def test_the_model_is_told_the_chat_so_far(collector: Callable[..., str], server: ModelServer) -> None:
    server.answer = "Because."
    browser = Browser(collector(system_prompt="Be brief."))
    browser.post("/query", question("Why?", visit=None))
    browser.post("/query", question("Really?", visit=None))
    assert server.requests[1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "Really?"},
    ]


def test_another_chat_and_another_user_start_anew(collector: Callable[..., str], server: ModelServer) -> None:
    browser = Browser(collector())
    browser.post("/query", question("Why?", visit=None))
    browser.post("/query", {**question("Really?", visit=None), "sessionId": "chat-2"})
    Browser(browser.base).post("/query", question("Mine?", visit=None))
    assert [len(request["messages"]) for request in server.requests] == [1, 1, 1]


def test_an_answer_asked_again_takes_the_place_of_the_first(
    collector: Callable[..., str], server: ModelServer, store: Store, visit: str
) -> None:
    browser = Browser(collector())
    for text in ("One?", "Two?"):
        server.answer = f"To {text}"
        first = browser.post("/query", question(text)).json
    server.answer = "Better."
    again = browser.post("/query", question("Two?", regenerate=True)).json
    assert again["turn_id"] == first["turn_id"]
    assert [message["content"] for message in server.requests[2]["messages"]] == ["One?", "To One?", "Two?"]
    messages = browser.get("/api/chats/chat-1").json["messages"]
    assert [message["text"] for message in messages] == ["One?", "To One?", "Two?", "Better."]
    assert [event["type"] for event in logged(store, visit)] == ["prompt", "model_response"] * 2 + ["model_response"]
    last = logged(store, visit)[-1]["data"]
    assert (last["regenerated"], last["attempt"], last["turn_id"]) == (True, 2, first["turn_id"])
    assert messages[-1]["attempts"] == 2


def test_asking_again_what_was_never_saved_is_a_new_turn(collector: Callable[..., str], server: ModelServer) -> None:
    browser = Browser(collector())
    browser.post("/query", question("One?", visit=None))
    assert browser.post("/query", question("Two?", visit=None, regenerate=True)).status == 200
    assert len(server.requests[1]["messages"]) == 3
    assert browser.get("/api/chats").json["chats"][0]["turns"] == 2


def test_a_failed_answer_is_kept_for_a_retry_and_not_told_to_the_model(
    collector: Callable[..., str], server: ModelServer
) -> None:
    browser = Browser(collector("fails"))
    browser.post("/query", question("Why?", visit=None))
    failed = browser.get("/api/chats/chat-1").json["messages"]
    assert [message["role"] for message in failed] == ["user", "assistant"]
    assert failed[1]["error"].startswith("Model 'fails' failed (500)")
    browser.base = collector("good")  # cookies know no ports
    browser.post("/query", question("Why?", visit=None, regenerate=True))
    assert server.requests[-1]["messages"] == [{"role": "user", "content": "Why?"}]
    retried = browser.get("/api/chats/chat-1").json["messages"]
    assert [(message["role"], message["text"]) for message in retried] == [("user", "Why?"), ("assistant", ANSWER)]


def test_two_requests_in_one_chat_at_once_are_both_kept(collector: Callable[..., str], server: ModelServer) -> None:
    server.delay_s = 0.005
    browser = Browser(collector())
    browser.get("/")
    threads = [
        threading.Thread(target=browser.post, args=("/query", question(text, visit=None, stream=True)))
        for text in ("One?", "Two?")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    messages = browser.get("/api/chats/chat-1").json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert {message["text"] for message in messages} == {"One?", "Two?", ANSWER}
    assert messages[0]["turn_id"] == messages[1]["turn_id"] != messages[2]["turn_id"] == messages[3]["turn_id"]


def answered(prompt: str, answer: str) -> dict[str, Any]:
    return {"text": prompt, "answer": {"text": answer}}


FAILED = {"error": "It failed."}
CONTEXTS: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    # turns, prompt, contents of the messages
    "first prompt": ([], "p", ["p"]),
    "in order": ([answered("p1", "a1"), answered("p2", "a2")], "p", ["p1", "a1", "p2", "a2", "p"]),
    "in flight": ([{"text": "p1"}], "p", ["p"]),
    "failed": ([{"text": "p1", "answer": FAILED}], "p", ["p1\n\np"]),
    "failed with some text": ([{"text": "p1", "answer": {**FAILED, "text": "a"}}], "p", ["p1\n\np"]),
    "failed and asked again": ([{"text": "p", "answer": FAILED}], "p", ["p"]),
    "failed before another turn": (
        [{"text": "p1", "answer": FAILED}, answered("p2", "a2")],
        "p",
        ["p1\n\np2", "a2", "p"],
    ),
    "stopped": ([{"text": "p1", "answer": {"text": "a", "partial": True}}], "p", ["p1", "a", "p"]),
    "too many": ([answered("p1", "a")] * 30, "p", ["p1", "a"] * 20 + ["p"]),
    "too long": (
        [answered("p1", "a"), answered("p2", "x" * 59_999 + "end")],
        "p",
        ["…", f"…{'x' * 59_997}end", "p"],
    ),
    "a question too long": ([answered("p" * 60_000, "a" * 9)], "p", [f"…{'p' * 59_991}", "a" * 9, "p"]),
}


@pytest.mark.parametrize("case", CONTEXTS)
def test_the_context_is_whole_turns_that_fit(case: str) -> None:
    turns, prompt, contents = CONTEXTS[case]
    messages = context("", turns, prompt).messages
    assert [message["content"] for message in messages] == contents
    assert [message["role"] for message in messages] == (["user", "assistant"] * 50)[: len(contents)]


# saved chats


def test_saved_chats_are_listed_read_and_deleted(collector: Callable[..., str]) -> None:
    browser = Browser(collector())
    turn_id = browser.post("/query", question("Why?", visit=None)).json["turn_id"]
    listed = browser.get("/api/chats")
    assert listed.headers["Cache-Control"] == "no-store"
    [chat] = listed.json["chats"]
    assert {key: chat[key] for key in ("sessionId", "title", "turns")} == {
        "sessionId": "chat-1",
        "title": "Why?",
        "turns": 1,
    }
    read = browser.get("/api/chats/chat-1").json
    user, assistant = read["messages"]
    assert user.pop("t") <= assistant.pop("t")
    assert user == {"role": "user", "text": "Why?", "turn_id": turn_id}
    assert assistant == {
        "role": "assistant",
        "text": ANSWER,
        "turn_id": turn_id,
        "model": "good",
        "provider": "openai",
        "citations": [],
        "finish_reason": "stop",
    }
    deleted = browser.call("DELETE", "/api/chats/chat-1")
    assert (deleted.status, deleted.json) == (204, "")
    assert browser.get("/api/chats").json == {"chats": []}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("cookie", ["own", "none", "forged", "another's"])
def test_nobody_reaches_anothers_chat(collector: Callable[..., str], method: str, cookie: str) -> None:
    owner = Browser(collector())
    owner.post("/query", question("Why?", visit=None))
    user_id = cookie_of(owner).partition(".")[0]
    stranger = Browser(owner.base)
    headers = {"Cookie": f"llmtrack_user={user_id}.AAAA"} if cookie == "forged" else {}
    if cookie == "another's":
        stranger.post("/query", {**question(visit=None), "sessionId": "chat-2"})
    asker = owner if cookie == "own" else stranger
    answer = asker.call(method, "/api/chats/chat-1", **headers)
    if cookie == "own":
        assert answer.status in (200, 204)
    else:
        assert answer.status == 404
        assert answer.json == {"error": "There is no chat 'chat-1'. See GET /api/chats."}
        assert owner.get("/api/chats/chat-1").status == 200


def test_a_chat_id_cannot_reach_into_anothers_key(collector: Callable[..., str]) -> None:
    owner = Browser(collector())
    owner.post("/query", question(visit=None))
    user_id = cookie_of(owner).partition(".")[0]
    for path in (f"{user_id}:chat-1", "%00", "..%2Fchat-1", "%24ne"):
        assert Browser(owner.base).get(f"/api/chats/{path}").status == 404


# bodies that cannot be read

BAD_BODIES: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b"{query", 400, "The body is not JSON"),
    "no object": ([1], 400, "The body is not a JSON object"),
    "no query": ({"sessionId": "c"}, 422, "query: Field required"),
    "no chat": ({"query": "Why?"}, 422, "sessionId: Field required"),
    "empty query": ({"query": "  ", "sessionId": "c"}, 422, "query: must not be empty"),
    "an object for text": ({"query": {"$ne": 1}, "sessionId": "c"}, 422, "query: should be a valid string"),
    "an object for the visit": (
        {"query": "Why?", "sessionId": "c", "trackingSessionId": {"$ne": 1}},
        422,
        "trackingSessionId: should be a valid string",
    ),
    "odd chat id": ({"query": "Why?", "sessionId": "a b"}, 422, "sessionId: must be 1 to 256 letters"),
    "too long a query": ({"query": "x" * 32_001, "sessionId": "c"}, 422, "query: String should have at most 32000"),
    "too large a body": (b'"' + b"x" * 300_000 + b'"', 413, ""),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_body_that_cannot_be_read_says_why(collector: Callable[..., str], server: ModelServer, case: str) -> None:
    body, status, reason = BAD_BODIES[case]
    answer = Browser(collector()).post("/query", body)
    assert answer.status == status
    assert reason in answer.json["error"]
    assert server.requests == []


def test_the_cookie_is_given_once(collector: Callable[..., str]) -> None:
    browser = Browser(collector())
    first = browser.post("/query", question(visit=None, stream=True))
    assert "HttpOnly" in first.headers["Set-Cookie"]
    assert "Set-Cookie" not in browser.post("/query", question(visit=None)).headers


def test_a_visit_that_starts_while_its_first_question_is_answered_is_tracked_whole(
    settings: Settings, store: Store, serve: Callable[[Flask], str]
) -> None:
    class Slow(ChatClient):
        def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
            store.start({"session_id": LATE, "user_id": "u", "model_group": "demo", "experiment_id": "default"})
            yield from super().complete(group, call)

    browser = Browser(serve(create_app(settings, store, Slow(settings, demo_delay_s=0))))
    answer = browser.post("/query", {"query": "Hello?", "sessionId": "c", "trackingSessionId": LATE})
    assert (answer.json["tracked"], answer.json["notice"]) == (True, None)
    assert [event["type"] for event in store.find(LATE)["events"]] == ["prompt", "model_response"]
