"""Script in every text that the chat page shows: it stays text, and the policy would not let it run."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from werkzeug.serving import make_server

from llmtrack.collector import create_app
from llmtrack.collector.access.proofs import COOKIE
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.models.reading import Piece
from llmtrack.config import Group, Settings
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store
from llmtrack.turn.chunk import Citation, Delta
from tests.browser.chat.reader import ask

SCRIPTS = """<script>alert(1)</script> <img src=x onerror="alert(2)"> <svg onload="alert(3)"></svg>
<iframe srcdoc="<script>alert(4)</script>"></iframe> <a href="javascript:alert(5)">here</a>
<details open ontoggle=alert(6)>

[link](javascript:alert(7)) ![picture](x"onerror="alert(8)) [data](data:text/html,<script>alert(9)</script>)

<form action="javascript:alert(10)"><button>Send</button></form> <style>*{display:none}</style>

```"><img src=x onerror=alert(11)>
</code><script>alert(12)</script>
```
"""
CITED = [
    {"title": SCRIPTS, "url": "javascript:alert(13)"},
    {"title": "<img src=x onerror=alert(14)>", "url": 'https://127.0.0.1:1/"onmouseover="alert(15)'},
]


class Hostile(ChatClient):
    """A model that was told what to say."""

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        for at in range(0, len(SCRIPTS), 9):
            yield Piece(None, Delta(SCRIPTS[at : at + 9], model=SCRIPTS[:200]))
        yield Piece(None, Delta("", citations=tuple(Citation(**cited) for cited in CITED)), done=True)


@pytest.fixture
def address(settings: Settings, store: Store) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(settings, store, Hostile(settings)), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def opened(page: Page) -> list[str]:
    """Every dialog that the page opened."""
    found: list[str] = []

    def note(dialog: Any) -> None:
        found.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    return found


def harmless(page: Page, shown: Locator, address: str) -> None:
    """What could run, load or send is not there; and clicking on what is there opens nothing."""
    for bad in ("script", "iframe", "form", "style", "svg[onload]", "[onerror]", "[ontoggle]", "[onmouseover]"):
        expect(shown.locator(bad)).to_have_count(0)
    links = shown.locator("a")
    for href in links.evaluate_all("links => links.map(link => link.getAttribute('href') ?? '')"):
        assert not href or href.startswith(("https://", "http://", "/chat/")), href
    for number in range(links.count()):
        links.nth(number).evaluate("link => { link.removeAttribute('target'); link.onclick = null; }")
        if not links.nth(number).get_attribute("href"):
            links.nth(number).click(timeout=2_000, force=True)
    page.wait_for_timeout(300)
    assert page.url.startswith(address)


def test_script_in_question_answer_and_sources_stays_text(
    page: Page, address: str, opened: list[str], complaints: list[str]
) -> None:
    page.goto(address)
    answer = ask(page, SCRIPTS)
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer).to_contain_text("alert(12)")
    expect(page.locator(".question")).to_contain_text("<script>alert(1)</script>")
    harmless(page, page.locator("#conversation"), address)
    page.reload()
    expect(page.locator(".chat-title").first).to_contain_text("<script>alert(1)</script>")
    page.locator(".chat-title").first.click()
    expect(page.locator(".answer")).to_contain_text("alert(12)")
    harmless(page, page.locator("header"), address)
    harmless(page, page.locator("#chats"), address)
    assert opened == []


def test_script_in_a_saved_chat_that_another_writer_left_stays_text(
    page: Page, address: str, store: Store, opened: list[str], complaints: list[str]
) -> None:
    page.goto(address)
    [user_id] = [cookie["value"].partition(".")[0] for cookie in page.context.cookies() if cookie["name"] == COOKIE]
    chats, turn_id = Chats(store), '"><img src=x onerror=alert(16)>'
    for number, outcome in enumerate(({"text": SCRIPTS}, {"text": "", "error": SCRIPTS})):
        chats.ask(user_id, f"chat-{number}", {"turn_id": turn_id, "t": 1, "text": SCRIPTS})
        answer = {"t": 2, "citations": CITED, "provider": SCRIPTS, "model": SCRIPTS, **outcome}
        chats.answer(user_id, f"chat-{number}", turn_id, answer)
    page.reload()
    for number in range(2):
        page.locator(".chat-title").nth(number).click()
        expect(page.locator(".answer")).to_contain_text("alert(12)")
        harmless(page, page.locator("#conversation"), address)
    assert opened == []


def test_the_policy_stops_what_would_get_past_the_page(page: Page, address: str, opened: list[str]) -> None:
    page.goto(address)
    violated = page.evaluate(
        """async () => {
          const found = [];
          document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
          const part = document.createElement("div");
          part.innerHTML = '<img src="https://127.0.0.1:1/x"><img src="data:x" onerror="alert(1)">';
          document.body.append(part);
          const script = document.createElement("script");
          script.textContent = "alert(2)";
          document.body.append(script);
          await new Promise((done) => setTimeout(done, 1000));
          return [...new Set(found)].sort();
        }"""
    )
    assert {"img-src", "script-src-attr", "script-src-elem"} <= set(violated)
    assert opened == []
