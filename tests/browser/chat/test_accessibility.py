"""Nothing in any state that axe finds fault with; keyboards, fingers, and 400 % zoom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.browser.chat.reader import DESK, PHONE, ask, button, faults, told
from tests.browser.chat.server import ChatServer, Reply
from tests.browser.chat.states import ANSWER, STATES, ZOOMED

DRAWN = ("chats", "renaming", "deleted", "found_nothing", "list_away")  # other than on a desk: in a drawer


LOOKS = [(name, DESK) for name in STATES] + [(name, PHONE) for name in (*DRAWN, "answered", "editing")]


@pytest.mark.parametrize(("name", "size"), LOOKS, ids=[f"{name}-{size['width']}" for name, size in LOOKS])
def test_axe_finds_nothing(browser: Browser, server: ChatServer, name: str, size: ViewportSize) -> None:
    with browser.new_context(viewport=size, bypass_csp=True) as context:  # axe puts a script into the page
        page = context.new_page()
        page.goto(server.url)
        STATES[name](page, server)
        assert faults(page) == []


def test_four_times_as_large_there_is_room_to_chat(
    new_context: Callable[..., BrowserContext], server: ChatServer
) -> None:
    """1280 by 1024 at 400 %: at least half of the window is for reading, and nothing is scrolled sideways."""
    page = new_context().new_page()
    page.set_viewport_size(ZOOMED)
    page.goto(server.url)
    server.plan(Reply(text=ANSWER))
    expect(ask(page)).to_have_attribute("data-state", "done")
    box = page.locator("#scroller").bounding_box()
    assert box is not None
    assert box["height"] >= ZOOMED["height"] / 2
    for part in ("#prompt", "#send", "#open-sidebar"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    page.get_by_label("Your message").fill("a line\n" * 20)
    box = page.locator("#scroller").bounding_box()
    assert box is not None
    assert box["height"] >= ZOOMED["height"] / 4
    expect(page.get_by_text("Use of this page is recorded.")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= ZOOMED["width"]


def test_a_walk_with_the_keyboard_alone(chat: Page, server: ChatServer) -> None:
    """Ask, read on, copy, edit, rename, search, start anew: each by Tab, Enter and Escape, and the focus is seen."""
    server.plan(Reply(text=ANSWER))
    chat.keyboard.type("What is it?")
    chat.keyboard.press("Enter")
    expect(chat.locator(".answer")).to_have_attribute("data-state", "done")
    expect(chat.get_by_label("Your message")).to_be_focused()
    seen = []
    for _ in range(40):
        chat.keyboard.press("Shift+Tab")
        seen.append(str(chat.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")))
        outline = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        assert chat.evaluate(outline), f"the focus on {seen[-1]!r} is not to be seen"
        if seen[-1] == "Skip to the message box":
            break
    for name in ("Bad answer", "Copy", "Copy this code", "Code, scrolls sideways", "link", "Edit this message"):
        assert name in seen
    assert [name for name in seen if "Rename" in name]
    chat.keyboard.press("Enter")
    expect(chat.get_by_label("Your message")).to_be_focused()


def test_a_walk_with_a_finger(new_context: Callable[..., BrowserContext], server: ChatServer) -> None:
    """Everything is large enough to hit, and nothing waits for a pointer that hovers."""
    server.save("old", "An old one", *told("hello"))
    page = new_context(has_touch=True, is_mobile=True).new_page()
    page.set_viewport_size(PHONE)
    page.goto(server.url)
    page.get_by_label("Your message").tap()
    page.keyboard.type("What is it?")
    button(page, "Send").tap()
    expect(page.locator(".answer")).to_have_attribute("data-state", "done")
    button(page, "Good answer").tap()
    expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
    button(page, "Edit this message").tap()
    page.get_by_label("Edit your message").fill("What else?")
    page.locator(".edit-form").get_by_role("button", name="Send").tap()
    expect(page.locator(".question")).to_have_text(["What else?"])
    button(page, "Open the list of chats").tap()
    button(page, "Rename “An old one”").tap()
    page.get_by_label("New name of “An old one”").fill("Renamed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Renamed")).to_be_visible()
    page.get_by_role("link", name="Renamed").tap()
    expect(page.locator(".question")).to_have_text(["hello"])
    small = """[...document.querySelectorAll("button, a[href], input, textarea, summary")]
        .filter((part) => part.getClientRects().length && !part.closest(".prose, .small-print, .skip"))
        .map((part) => [part.ariaLabel ?? part.textContent, part.getBoundingClientRect()])
        .filter(([, { width, height }]) => width < 24 || height < 24).map(([name]) => name)"""
    assert page.evaluate(small) == []
