"""A question that is asked again, read along, stopped, or asked before its visit has started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from llmtrack.collector.access.rates import network
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.collector.chat.test_query import LATE, SESSION, Asking, app_of, cookie_of, events, logged, question, wait_for
from tests.collector.conftest import Browser
from tests.collector.model_server import ModelServer, running

TURN = "turn-0123456789"
KEY = "ingest-key-for-tests"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def collector(settings: Settings, store: Store, server: ModelServer, serve: Callable[..., str]) -> Callable[..., str]:
    def start(model: str = "good") -> str:
        groups = [{"name": "arm", "model": model, "base_url": server.base_url}]
        return serve(app_of(settings, store, {"trial": {"groups": groups}}, ingest_key=KEY))

    store.start({"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    return start


def kinds(store: Store, session_id: str = SESSION) -> list[str]:
    return [event["type"] for event in logged(store, session_id)]


def test_the_same_id_again_is_the_same_turn(collector: Callable[..., str], store: Store) -> None:
    browser = Browser(collector())
    answers = [browser.post("/query", question(turn_id=TURN)).json for _ in range(2)]
    assert [answer["turn_id"] for answer in answers] == [TURN, TURN]
    assert kinds(store) == ["prompt", "model_response", "model_response"]
    assert [event["data"].get("attempt") for event in logged(store)] == [None, None, 2]
    other = browser.post("/query", question("Another question?", turn_id=TURN))
    assert other.status == 409


def test_a_second_reader_of_a_running_answer_gets_all_of_it_and_no_second_one(
    collector: Callable[..., str], server: ModelServer, store: Store
) -> None:
    server.answer, server.delay_s = "word " * 40, 0.02
    browser = Browser(collector())
    browser.get("/")
    body = question(turn_id=TURN, stream=True)
    with Asking(browser.base, body, f"Cookie: llmtrack_user={cookie_of(browser)}") as first:
        while b"event: token" not in first.recv(4096):
            pass
    steps = events(browser.post("/query", body).json)  # the page was reloaded
    assert "".join(data["text"] for name, data in steps if name == "token") == server.answer
    assert steps[-1][0] == "done"
    assert len(server.requests) == 1
    assert kinds(store) == ["prompt", "model_response"]


def test_a_stop_ends_the_answer(collector: Callable[..., str], server: ModelServer, store: Store) -> None:
    server.answer, server.delay_s = "word " * 500, 0.02
    browser = Browser(collector())
    browser.get("/")
    thread = threading.Thread(target=browser.post, args=("/query", question(turn_id=TURN)))
    thread.start()
    wait_for(lambda: server.requests)
    assert browser.post("/api/chats/chat-1/stop", {"turn_id": TURN}).status == 204
    thread.join(timeout=20)
    data = logged(store)[1]["data"]
    assert (data["partial"], data["stopped"]) == (True, True)


def test_a_question_before_the_start_of_its_visit_is_logged_when_that_arrives(
    collector: Callable[..., str], store: Store
) -> None:
    answer = Browser(collector()).post("/query", question(visit=LATE)).json
    assert answer["tracked"] is False
    assert "within 60 s" in answer["notice"]
    store.start({"session_id": LATE, "user_id": "u", "model_group": "arm", "experiment_id": "trial"})
    wait_for(lambda: len(logged(store, LATE)) == 2)
    assert kinds(store, LATE) == ["prompt", "model_response"]


def test_a_caller_without_cookies_keeps_its_chat_by_the_token(
    collector: Callable[..., str], server: ModelServer
) -> None:
    address = collector()
    started = Browser(address).post("/api/session/start", {"environment": {}}).json
    for text in ("One?", "Two?"):
        body = question(text, visit=started["session_id"], token=started["token"])
        assert Browser(address).post("/query", body).json["tracked"] is True
    assert len(server.requests[1]["messages"]) == 3
    Browser(address).post("/query", question("Three?", visit=started["session_id"], token="wrong"))
    assert len(server.requests[2]["messages"]) == 1


def test_retries_of_an_openai_sdk_are_one_turn_with_attempts(
    collector: Callable[..., str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenAI, "_sleep_for_retry", lambda self, **more: None)
    asked: Any = [{"role": "user", "content": "Why?"}]
    headers = {"X-LLMTrack-Session": SESSION}
    client = OpenAI(base_url=f"{collector('fails')}/v1", api_key=KEY, default_headers=headers, max_retries=2)
    with client, pytest.raises(APIStatusError):
        client.chat.completions.create(model="m", messages=asked)
    assert kinds(store) == ["prompt", *["model_response"] * 3]
    assert len({event["data"]["turn_id"] for event in logged(store)}) == 1
    assert [event["data"].get("attempt") for event in logged(store)[1:]] == [None, 2, 3]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:db8::2]:443", "2001:db8::/64"),
        ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_limit_counts_whose_address_it_is(address: str, expected: str) -> None:
    assert network(address) == expected
