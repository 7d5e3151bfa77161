"""What a reader does at the chat page, and what can be seen there."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.browser.chat.server import ChatServer, Reply

PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 800}


def ask(page: Page, prompt: str = "What is machine learning?") -> Locator:
    """Send a prompt by keyboard; the answer that comes."""
    page.get_by_label("Your message").fill(prompt)
    page.get_by_label("Your message").press("Enter")
    return page.locator(".answer").last


def ask_slowly(page: Page, server: ChatServer, text: str = "") -> tuple[Reply, Locator]:
    """An answer that the test writes piece by piece."""
    reply = server.plan(Reply(open=True))
    answer = ask(page)
    assert reply.asked.wait(5)
    if text:
        reply.add(text)
        expect(answer).to_contain_text(text.split()[-1])
    return reply, answer


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def selected(page: Page) -> str:
    return str(page.evaluate("getSelection().toString()"))


def tracked(page: Page, type: str) -> list[dict[str, Any]]:
    return [event["data"] for event in page.evaluate("window.tracked") if event["type"] == type]


def session_id(page: Page) -> str:
    return str(page.evaluate("sessionStorage.getItem('sessionId')"))


def told(prompt: str, answer: str = "An answer.") -> tuple[dict[str, Any], dict[str, Any]]:
    """The two messages of a turn."""
    ids = {"turn_id": f"turn of {prompt}"}
    return {"role": "user", "text": prompt, **ids}, {"role": "assistant", "text": answer, **ids}


def asked_id(server: ChatServer, number: int = 0) -> str:
    """The id that the page gave its question."""
    return str(server.queries[number]["turn_id"])


def faults(page: Page) -> list[str]:
    """What axe finds fault with in the page, light and dark."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.wait_for_timeout(50)
        for violation in Axe().run(page).response["violations"]:
            found += [f"{scheme}: {violation['id']}: {node['html'][:200]}" for node in violation["nodes"]]
    return found
