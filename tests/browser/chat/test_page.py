"""The page around the chat: keyboard, demo, tracker away, scrolling, phone and desk."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect

from tests.browser.chat.reader import DESK, PHONE, ask, ask_slowly, asked_id, button, session_id, told
from tests.browser.chat.server import ChatServer, Reply

LONG = "\n\n".join(f"Paragraph {n} of a long answer, with words enough for a line or two." for n in range(60))


def test_every_prompt_carries_the_chat_and_the_visit(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_contain_text("Hello, world.")
    ids = {"sessionId": session_id(chat), "trackingSessionId": "user_test_1_a"}
    assert server.queries == [{"query": "one", "turn_id": asked_id(server), "stream": True, **ids}]


def test_the_keyboard_is_enough(chat: Page, server: ChatServer) -> None:
    box = chat.get_by_label("Your message")
    expect(box).to_be_focused()
    chat.keyboard.type("two")
    chat.keyboard.press("Shift+Enter")
    chat.keyboard.type("lines")
    reply = server.plan(Reply(open=True))
    chat.keyboard.press("Enter")
    assert reply.asked.wait(5)
    assert server.queries[0]["query"] == "two\nlines"
    expect(box).to_have_value("")
    chat.keyboard.type("a draft")
    chat.keyboard.press("Enter")  # not while an answer is being written
    chat.keyboard.press("Escape")
    expect(chat.locator(".answer")).to_contain_text("Stopped.")
    expect(box).to_have_value("a draft")
    assert len(server.queries) == 1


def test_the_skip_link_comes_first_and_leads_to_the_message_box(chat: Page) -> None:
    button(chat, "New Chat").focus()
    chat.keyboard.press("Shift+Tab")
    expect(chat.get_by_role("link", name="Skip to the message box")).to_be_focused()
    chat.keyboard.press("Enter")
    expect(chat.get_by_label("Your message")).to_be_focused()


def test_the_end_of_an_answer_is_announced(chat: Page) -> None:
    ask(chat)
    expect(chat.get_by_role("status")).to_contain_text("Answer: Hello, world.")


def test_the_demo_says_that_it_is_one(page: Page, server: ChatServer, complaints: list[str]) -> None:
    server.provider = "demo"
    page.goto(server.url)
    button(page, "Demo").click()
    expect(page.locator("#demo-note")).to_contain_text("OPENAI_API_KEY")
    page.keyboard.press("Escape")
    server.plan(Reply(provider="demo"))
    expect(ask(page)).to_contain_text("Demo, not a model")


def test_a_model_is_no_demo(chat: Page) -> None:
    expect(ask(chat)).to_contain_text("Hello")
    expect(chat.get_by_text("Demo")).to_have_count(0)


def test_the_chat_works_without_the_tracker(page: Page, server: ChatServer, complaints: list[str]) -> None:
    server.tracker = False
    page.goto(server.url)
    answer = ask(page)
    expect(answer).to_contain_text("Hello, world.")
    assert server.queries[0]["trackingSessionId"] is None
    button(answer, "Good answer").click()
    expect(answer).to_contain_text("Not sent: this session is not tracked.")
    button(page, "New Chat").first.click()
    expect(page.locator(".turn")).to_have_count(0)


def test_the_page_follows_the_answer_only_while_the_reader_is_at_its_end(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, LONG)
    top = "document.querySelector('#scroller').scrollTop"
    chat.wait_for_timeout(100)
    assert chat.evaluate(top) > 0
    expect(button(chat, "Jump to latest")).to_be_hidden()
    chat.mouse.move(700, 400)
    chat.mouse.wheel(0, -600)
    expect(button(chat, "Jump to latest")).to_be_visible()
    before = chat.evaluate(top)
    reply.add("\n\n" + LONG)
    reply.end()
    expect(answer).to_have_attribute("data-state", "done")
    assert chat.evaluate(top) == before
    button(chat, "Jump to latest").click()
    expect(button(chat, "Jump to latest")).to_be_hidden()
    expect(answer.get_by_role("group", name="About this answer")).to_be_in_viewport()


WIDE = f"""# {"Long" * 30}

```
{"x = 1; " * 60}
```

| a | b |
|---|---|
| {"w" * 90} | {"w " * 90} |

https://e.org/{"u" * 200}
"""


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_makes_the_page_scroll_sideways(
    new_context: Callable[..., BrowserContext], server: ChatServer, size: ViewportSize, scheme: Any
) -> None:
    page = new_context(color_scheme=scheme).new_page()
    page.set_viewport_size(size)
    page.goto(server.url)
    server.plan(Reply(text=WIDE))
    server.plan(Reply(status=502, error="broken-" * 40))
    expect(ask(page, "w" * 300)).to_have_attribute("data-state", "done")
    expect(ask(page)).to_have_attribute("data-state", "failed")
    widths = "[document.documentElement, document.querySelector('#scroller')].map(e => e.scrollWidth - e.clientWidth)"
    assert page.evaluate(widths) == [0, 0]


def test_on_a_phone_the_chats_are_a_drawer(chat: Page, server: ChatServer) -> None:
    server.save("old", "In the drawer", *told("hello"))
    chat.set_viewport_size(PHONE)
    chat.reload()
    expect(button(chat, "Delete “In the drawer”")).to_be_hidden()
    chat.get_by_role("button", name="Open the list of chats").click()
    expect(chat.get_by_role("button", name="Close the list of chats")).to_be_focused()
    chat.keyboard.press("Escape")
    expect(chat.get_by_role("button", name="Open the list of chats")).to_be_focused()
    chat.get_by_role("button", name="Open the list of chats").click()
    chat.get_by_text("In the drawer").click()
    expect(chat.locator(".question")).to_have_text(["hello"])
    expect(chat.locator("#sidebar")).to_be_hidden()


def test_a_suggestion_is_sent_as_it_stands(chat: Page, server: ChatServer) -> None:
    suggestion = chat.locator("#suggestions button").first
    text = suggestion.text_content()
    suggestion.click()
    expect(chat.locator(".answer")).to_contain_text("Hello")
    assert server.queries[0]["query"] == text
    expect(chat).to_have_title(re.compile(re.escape(text or "")))
