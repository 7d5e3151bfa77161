"""The chat page with the real tracker, and where a blocker stops the script, or what it sends."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chat.reader import ask, button
from tests.browser.chat.server import ChatServer, Reply
from tests.browser.standin import TRACKER, until

FORMULA = r"The area is \(\frac{a + b}{2} \cdot h\), as you know."


def events(page: Page) -> list[dict[str, Any]]:
    """What the page will have sent so far, in order; the real tracker is in it from now on."""
    sent: list[dict[str, Any]] = []

    def take(route: Route) -> None:
        sent.extend(json.loads(route.request.post_data or "{}").get("events", []))
        route.fulfill(json={"token": "token", "server_time": time.time() * 1000})

    page.route("**/llmtrack.js", lambda route: route.fulfill(path=TRACKER, content_type="text/javascript"))
    page.route("**/api/session/*", take)
    return sent


def test_the_copy_of_a_formula_is_its_source_for_everybody(
    page: Page, server: ChatServer, complaints: list[str]
) -> None:
    sent = events(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(server.url)
    page.wait_for_function("window.llmtrack?.sessionId")
    server.plan(Reply(text=FORMULA))
    answer = ask(page)
    answer.locator(".katex-html").wait_for()
    turn = answer.get_attribute("data-turn-id")
    answer.click()  # leaves the message box
    answer.evaluate("(answer) => getSelection().selectAllChildren(answer.querySelector('.prose'))")
    page.keyboard.press("Control+C")
    page.wait_for_timeout(600)  # more than two looks at the screen
    button(page, "New Chat").first.click()
    until(lambda: [each for each in sent if each["type"] == "view"], pause=lambda s: page.wait_for_timeout(s * 1000))
    told = {each["type"]: each["data"] for each in sent}
    assert told["copy"]["selected_text"] == page.evaluate("navigator.clipboard.readText()") == FORMULA
    assert told["copy"]["turn_id"] == told["view"]["turn_id"] == turn
    assert told["view"]["visible_ms"] >= 250
    assert told["view"]["seen_share"] == 1


@pytest.mark.parametrize("blocked", ["**/llmtrack.js", "**/api/session/*"], ids=["the script", "what it sends"])
def test_the_chat_lives_where_the_tracker_is_blocked(
    page: Page, server: ChatServer, complaints: list[str], blocked: str
) -> None:
    events(page)
    page.route(blocked, lambda route: route.abort("blockedbyclient"))
    page.goto(server.url)
    expect(ask(page)).to_contain_text("Hello, world.")
    button(page, "Answer again").click()
    expect(page.locator(".answer[data-state=done]")).to_contain_text("Hello, world.")
    button(page, "New Chat").first.click()
    expect(ask(page, "And another?")).to_contain_text("Hello, world.")
    assert [query["trackingSessionId"] is None for query in server.queries] == [blocked.endswith("js")] * 3
