"""The chat page in front of a stand-in for the collector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat.reader import DESK
from tests.browser.chat.server import ChatServer, serve


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serve() as server:
        yield server


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the page's console says; at the end of every test nobody has violated the Content-Security-Policy."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
    yield said
    assert [text for text in said if "Content Security Policy" in text or "uncaught" in text] == []


@pytest.fixture
def chat(page: Page, server: ChatServer, complaints: list[str]) -> Page:
    """The page, open at a new chat."""
    page.set_viewport_size(DESK)
    page.goto(server.url)
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    return page
