"""The chat page, the tracker and the collector together, with the built-in demo for a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def serving(settings: Settings, store: Store, delay_s: float) -> Iterator[str]:
    app = create_app(settings, store, ChatClient(settings, demo_delay_s=delay_s))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(settings: Settings, store: Store) -> Iterator[str]:
    with serving(settings, store, 0.001) as address:
        yield address


@pytest.fixture
def slow(settings: Settings, store: Store) -> Iterator[str]:
    """A model that takes some seconds for an answer."""
    with serving(settings, store, 0.03) as address:
        yield address


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


def turns(store: Store, visit: str) -> list[dict[str, Any]]:
    events = (store.find(visit) or {}).get("events", [])
    return [event["data"] for event in events if event["type"] in ("prompt", "model_response")]


def test_a_reload_in_mid_answer_goes_on_and_is_one_turn(page: Page, slow: str, store: Store) -> None:
    page.goto(slow)
    page.wait_for_function("llmtrack.sessionId")
    visit = page.evaluate("llmtrack.sessionId")
    expect(ask(page, "What is machine learning?")).to_contain_text("Machine learning")
    page.wait_for_timeout(1200)  # the text so far is saved once a second
    page.reload()
    answer = page.locator(".answer")
    expect(answer).to_contain_text("Machine learning")
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(answer).to_have_attribute("data-state", "done", timeout=20_000)
    expect(answer).to_contain_text("All it writes follows from that.")
    prompt, response = turns(store, visit)
    assert prompt["turn_id"] == response["turn_id"] == answer.get_attribute("data-turn-id")
    assert "partial" not in response or not response["partial"]


def test_a_stop_after_a_reload_stops_the_model(page: Page, slow: str, store: Store) -> None:
    page.goto(slow)
    page.wait_for_function("llmtrack.sessionId")
    visit = page.evaluate("llmtrack.sessionId")
    expect(ask(page, "What is machine learning?")).to_contain_text("Machine learning")
    page.wait_for_timeout(1200)
    page.reload()
    expect(page.locator(".answer")).to_have_attribute("data-state", "streaming")
    button(page, "Stop answering").click()
    expect(page.locator(".answer")).to_contain_text("Stopped.")
    _, response = turns(store, visit)
    assert response["partial"] is True
    expect(button(page, "Answer again")).to_be_visible()


def test_a_question_that_is_edited_names_the_old_in_the_log(page: Page, address: str, store: Store) -> None:
    page.goto(address)
    page.wait_for_function("llmtrack.sessionId")
    visit = page.evaluate("llmtrack.sessionId")
    for prompt in ("What is machine learning?", "Show me some Python"):
        expect(ask(page, prompt)).to_have_attribute("data-state", "done")
    page.locator(".turn").first.hover()
    button(page.locator(".turn").first, "Edit this message").click()
    page.get_by_label("Edit your message").fill("Write a polite reminder")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text(["Write a polite reminder"])
    expect(page.locator(".answer")).to_contain_text("polite")
    expect(page.locator(".answer")).to_have_attribute("data-state", "done")
    page.reload()
    expect(page.locator(".question")).to_have_text(["Write a polite reminder"])
    prompts = [data for data in turns(store, visit) if "edits" in data or data.get("text", "").startswith("What")]
    assert prompts[1]["edits"] == prompts[0]["turn_id"]


def test_two_first_tabs_at_once_are_both_tracked(page: Page, address: str, store: Store) -> None:
    """Both asked for the page without a cookie: each was given a user, and one of two cookies stays."""
    page.goto(address)
    page.context.clear_cookies()
    other = page.context.new_page()
    other.goto(address)
    for tab in (page, other):
        expect(ask(tab)).to_have_attribute("data-state", "done")
        expect(tab.locator(".untracked")).to_have_count(0)
        recorded(tab, store, tab.evaluate("llmtrack.sessionId"), "prompt", "model_response")
    users = {tab.locator("script[data-user]").get_attribute("data-user") for tab in (page, other)}
    assert len(users) == 2
