"""Enter and Escape, as the reader means them: input methods, phones, boxes inside boxes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chat.reader import PHONE, ask, ask_slowly, button, told
from tests.browser.chat.server import ChatServer

# Keys of an input method: Chromium and Firefox say isComposing; Safari's Enter comes after the composition has ended.
METHODS = {"Chromium": {"isComposing": True}, "Safari": {"keyCode": 229}}
PRESS = """([selector, key, extra]) => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...extra });
    document.querySelector(selector).dispatchEvent(event);
}"""


@pytest.mark.parametrize("extra", METHODS.values(), ids=METHODS)
def test_enter_of_an_input_method_sends_nothing(chat: Page, server: ChatServer, extra: dict[str, object]) -> None:
    chat.get_by_label("Your message").fill("にほんご")
    chat.evaluate(PRESS, ["#prompt", "Enter", extra])
    expect(chat.get_by_label("Your message")).to_have_value("にほんご")
    chat.keyboard.press("Enter")
    expect(chat.locator(".question")).to_have_text("にほんご")
    assert len(server.queries) == 1


@pytest.mark.parametrize("extra", METHODS.values(), ids=METHODS)
def test_escape_of_an_input_method_stops_no_answer(chat: Page, server: ChatServer, extra: dict[str, object]) -> None:
    _, answer = ask_slowly(chat, server, "Half an answer")
    chat.evaluate(PRESS, ["#prompt", "Escape", extra])
    chat.wait_for_timeout(200)
    expect(answer).to_have_attribute("data-state", "streaming")
    assert server.stopped == []
    chat.keyboard.press("Escape")
    expect(answer).to_have_attribute("data-state", "stopped")


def test_composing_for_real_sends_only_what_was_composed(chat: Page, server: ChatServer) -> None:
    chat.get_by_label("Your message").focus()
    devtools = chat.context.new_cdp_session(chat)
    devtools.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    chat.evaluate(PRESS, ["#prompt", "Enter", {"isComposing": True, "keyCode": 229}])
    devtools.send("Input.insertText", {"text": "日本"})
    chat.keyboard.press("Enter")
    expect(chat.locator(".question")).to_have_text("日本")
    assert [query["query"] for query in server.queries] == ["日本"]


def test_on_a_phone_enter_makes_a_line(new_context: Callable[..., BrowserContext], server: ChatServer) -> None:
    page = new_context(has_touch=True, is_mobile=True).new_page()
    page.set_viewport_size(PHONE)
    page.goto(server.url)
    box = page.get_by_label("Your message")
    box.tap()
    expect(box).to_have_attribute("enterkeyhint", "enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    page.keyboard.type("lines")
    expect(box).to_have_value("two\nlines")
    button(page, "Send").tap()
    expect(page.locator(".question")).to_have_text("two\nlines")
    assert [query["query"] for query in server.queries] == ["two\nlines"]


def test_escape_closes_the_innermost_thing_only(chat: Page, server: ChatServer) -> None:
    server.save("old", "An old one", *told("hello"))
    expect(ask(chat, "one")).to_have_attribute("data-state", "done")
    _, answer = ask_slowly(chat, server, "Half")
    chat.get_by_role("searchbox").fill("old")
    chat.keyboard.press("Escape")
    expect(chat.get_by_role("searchbox")).to_have_value("")
    chat.get_by_text("An old one").hover()
    button(chat, "Rename “An old one”").click()
    chat.keyboard.press("Escape")
    expect(chat.get_by_role("link", name="An old one")).to_be_focused()
    expect(answer).to_have_attribute("data-state", "streaming")
    chat.keyboard.press("Escape")
    expect(answer).to_have_attribute("data-state", "stopped")
