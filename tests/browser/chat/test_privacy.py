"""GET /privacy as the page's user sees it: what it says, and that its no is heeded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import load_settings
from llmtrack.session.pseudonym import pseudonym
from llmtrack.store.database.sessions import Store
from tests.browser.chat.reader import faults

KEY = "a key for these tests"
EVIL = "<img src=x onerror=alert(1)>"
GROUPS = [
    {"name": "a", "model": "m"},
    {"name": "b", "model": "m", "provider": EVIL, "base_url": "http://127.0.0.1:11434/v1"},
    {"name": "c", "model": "m", "provider": "far", "base_url": "https://user:secret@llm.example:8443/v1"},
    {"name": "off", "model": "m", "provider": "never", "weight": 0},
]


@pytest.fixture
def serve(store: Store, mongodb_uri: str) -> Iterator[Callable[..., str]]:
    servers = []

    def start(groups: list[dict[str, Any]] | None = None, **privacy: Any) -> str:
        more: dict[str, Any] = {"experiments": {"trial": {"groups": groups}}} if groups else {}
        settings = load_settings(MONGODB_URI=mongodb_uri, secret_key="for tests", privacy=privacy, **more)
        server = make_server("127.0.0.1", 0, create_app(settings, store, ChatClient(settings)), threaded=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_says_what_the_settings_say(page: Page, complaints: list[str], serve: Callable[..., str]) -> None:
    address = serve(
        GROUPS,
        texts="hash",
        events={"prompt": "full", "copy": "none"},
        truncate=2000,
        user_key=KEY,
        retention_days=180,
        save_chats=False,
        respect_signals=True,
    )
    page.set_extra_http_headers({"Sec-GPC": "1"})
    page.goto(address)
    user = page.evaluate("document.querySelector('script[data-user]').dataset.user")
    assert user == pseudonym(KEY, user)
    assert page.locator("script[data-respect-dnt]").count() == 1
    page.get_by_role("link", name="What is recorded").click()
    said = page.locator("main").inner_text()
    for part in (
        "Word for word, the first 2,000 characters",
        "Only its length",
        "Only that it happened",
        f"openai (at api.openai.com), {EVIL} (on this page's own server) or far (at llm.example)",
        "180 days",
        "not saved",
        "not recorded. Yours does.",
        "pseudonym",
        user,
    ):
        assert part in said
    for secret in ("user:secret", "8443", "never", KEY):
        assert secret not in page.content()
    assert page.locator("main img").count() == 0
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read_and_used_with_the_keyboard(page: Page, serve: Callable[..., str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{serve()}/privacy")
    expect(page).to_have_title("What is recorded")
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
    said = page.locator("main").inner_text()
    assert "sent to nobody else" in said
    assert "No time limit" in said
    assert page.context.cookies() == []  # it records nothing, so nobody is known
    page.get_by_role("button", name="Do not record my visits").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Your visits are not recorded in this browser.")
    expect(page.get_by_role("button", name="Record my visits again")).to_be_focused()


def test_a_no_is_heeded_until_it_is_taken_back(page: Page, store: Store, serve: Callable[..., str]) -> None:
    address = serve()
    page.goto(f"{address}/privacy")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Do not record my visits").click()
    page.goto(address)
    expect(page.get_by_label("Your message")).to_be_focused()
    assert page.evaluate("llmtrack.sessionId") is None
    expect(page.get_by_text("Use of this page is recorded.")).to_be_hidden()
    page.wait_for_timeout(500)
    assert store.sessions.count_documents({}) == 0
    page.get_by_role("link", name="What is recorded").click()
    page.get_by_role("button", name="Record my visits again").click()
    expect(page.get_by_role("button", name="Do not record my visits")).to_be_focused()
    page.goto(address)
    page.wait_for_function("window.llmtrack?.sessionId")


def test_where_a_choice_cannot_be_kept_the_page_says_so(page: Page, serve: Callable[..., str]) -> None:
    refused = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )
    page.add_init_script(refused)
    page.goto(f"{serve()}/privacy")
    page.get_by_role("button", name="Do not record my visits").click()
    expect(page.get_by_role("status")).to_contain_text("it cannot keep your choice")


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_in_it(browser: Browser, serve: Callable[..., str], width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, bypass_csp=True) as context:
        page = context.new_page()
        page.goto(f"{serve(GROUPS)}/privacy")
        assert faults(page) == []
