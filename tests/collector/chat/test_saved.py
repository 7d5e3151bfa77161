"""The saved chats over HTTP: searched and renamed by the one whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from llmtrack.collector.app import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store


@pytest.fixture
def browser(settings: Settings, store: Store) -> Iterator[FlaskClient]:
    app = create_app(settings, store, ChatClient(settings, demo_delay_s=0))
    with app.test_client() as client:
        client.get("/")
        client.post("/query", json={"query": "What is machine learning?", "sessionId": "c1"})
        client.post("/query", json={"query": "Show me some Python", "sessionId": "c2"})
        yield client


def titles(browser: FlaskClient, words: str = "") -> list[str]:
    answer: Any = browser.get("/api/chats", query_string={"q": words} if words else {})
    return [chat["title"] for chat in answer.json["chats"]]


def rename(browser: FlaskClient, chat: str, **body: Any) -> TestResponse:
    return browser.patch(f"/api/chats/{chat}", json=body)


def test_a_chat_gets_another_title_and_is_found_by_it(browser: FlaskClient) -> None:
    assert rename(browser, "c1", title="  Learning  machines ").status_code == 204
    assert titles(browser) == ["Show me some Python", "Learning machines"]
    assert titles(browser, "learning MACHINES") == ["Learning machines"]
    assert titles(browser, "neural") == ["Learning machines"]  # which stands in the answer
    assert titles(browser, "nowhere") == []


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "  "}, {"title": 7}, {"title": "x" * 300}])
def test_a_title_that_is_none_is_refused(browser: FlaskClient, body: dict[str, Any]) -> None:
    answer: Any = rename(browser, "c1", **body)
    assert answer.status_code == 422
    assert "title" in answer.json["error"]
    assert titles(browser) == ["Show me some Python", "What is machine learning?"]


def test_a_chat_of_somebody_else_is_not_there(browser: FlaskClient, settings: Settings, store: Store) -> None:
    other = create_app(settings, store, ChatClient(settings)).test_client()
    assert rename(other, "c1", title="Mine").status_code == 404
    assert titles(other, "machine") == []


def test_pages_of_other_origins_rename_nothing(browser: FlaskClient) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert browser.patch("/api/chats/c1", json={"title": "x"}, headers=headers).status_code == 403
    assert browser.patch("/api/chats/c1", data='{"title": "x"}', content_type="text/plain").status_code == 415


def test_every_chat_has_an_address(browser: FlaskClient) -> None:
    for address in ("/chat/c1", "/chat/of-nobody", "/chat/a/b"):
        answer = browser.get(address)
        assert answer.status_code == 200
        assert b'id="conversation"' in answer.data
        assert answer.headers["Cache-Control"] == "no-store"
