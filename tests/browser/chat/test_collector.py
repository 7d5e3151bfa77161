"""The chat page, the tracker and the collector together, with the built-in demo for a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.browser.chat.reader import ask, button, session_id

ARRIVES_S = 10


@pytest.fixture
def address(settings: Settings, store: Store) -> Iterator[str]:
    app = create_app(settings, store, ChatClient(settings, demo_delay_s=0.001))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def recorded(page: Page, store: Store, visit: str, *types: str) -> list[dict[str, Any]]:
    """The visit's events of these types, once all of them have come."""
    give_up = time.monotonic() + ARRIVES_S
    while time.monotonic() < give_up:
        events = (store.find(visit) or {}).get("events", [])
        if set(types) <= {event["type"] for event in events}:
            return [event for event in events if event["type"] in types]
        page.wait_for_timeout(100)
    raise AssertionError(f"of {types} came {sorted({event['type'] for event in events})}")


def test_what_a_reader_does_with_an_answer_is_recorded_with_its_turn(page: Page, address: str, store: Store) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    answer = ask(page, "What is machine learning?")
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer).to_contain_text("Machine learning in short")
    expect(answer.locator(".untracked")).to_have_count(0)
    expect(answer.locator(".demo-answer")).to_be_visible()
    answer.locator(".prose p").last.click(click_count=3)
    page.wait_for_timeout(700)  # a selection counts once it has settled
    button(answer, "Copy").click()
    button(answer, "Good answer").click()
    ids = {"turn_id": answer.get_attribute("data-turn-id"), "chat_session_id": session_id(page)}
    visit = page.evaluate("llmtrack.sessionId")
    button(page, "New Chat").first.click()
    assert page.evaluate("llmtrack.sessionId") == visit

    events = recorded(page, store, visit, "prompt", "model_response", "selection", "copy", "feedback", "new_chat")
    by_type = {event["type"]: event["data"] for event in events}
    for type in ("prompt", "model_response", "selection", "copy", "feedback"):
        assert {name: by_type[type].get(name) for name in ids} == ids, type
    assert by_type["copy"]["button"] is True
    assert by_type["feedback"]["rating"] == "up"
    assert by_type["new_chat"]["chat_session_id"] == session_id(page) != ids["chat_session_id"]
    assert [text for text in said if "Content Security Policy" in text] == []


def test_chats_are_saved_opened_and_deleted(page: Page, address: str, store: Store) -> None:
    page.goto(address)
    expect(ask(page, "What is machine learning?")).to_have_attribute("data-state", "done")
    button(page, "Answer again").click()
    expect(page.locator(".answer")).to_have_attribute("data-state", "done")
    button(page, "New Chat").first.click()
    page.locator(".chat-title").click()
    expect(page.locator(".question")).to_have_text(["What is machine learning?"])
    expect(page.locator(".answer")).to_contain_text("Machine learning in short")
    page.locator(".chat").hover()
    button(page, "Delete “What is machine learning?”").click()
    page.reload()
    expect(page.get_by_text("Your chats will be kept here.")).to_be_visible()
