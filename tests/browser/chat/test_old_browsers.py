"""Browsers of 2023, browsers that refuse storage, and drawing that goes wrong: the chat goes on."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat.reader import ask, button
from tests.browser.chat.server import ChatServer, Reply

OLD = """
const young = {
  URL: "parse canParse", Promise: "withResolvers try", Object: "groupBy", Map: "groupBy", AbortSignal: "any",
  window: "requestIdleCallback scheduler Highlight", crypto: "randomUUID",
  "HTMLElement.prototype": "showPopover hidePopover togglePopover", "ReadableStream.prototype": "values",
  "Element.prototype": "checkVisibility moveBefore setHTML setHTMLUnsafe", RegExp: "escape",
  "Set.prototype": "union difference isSubsetOf",
  "Iterator.prototype": "map filter take toArray find some forEach",
};
delete ReadableStream.prototype[Symbol.asyncIterator];
for (const [path, names] of Object.entries(young)) {
  const holder = path.split(".").reduce((at, name) => at[name], window);
  for (const name of names.split(" ")) {
    delete (Object.hasOwn(holder, name) ? holder : Object.getPrototypeOf(holder))[name];
  }
}
delete window.Iterator;
"""
REFUSED = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
window.BroadcastChannel = class { constructor() { throw new DOMException("denied", "SecurityError"); } };
"""
TEXT = r"""A [link](https://example.org/a), a formula \(x^2\), and

```python
print("hello")
```

| a | b |
|---|---|
| 1 | 2 |
"""


def test_a_browser_of_2023_shows_all_of_an_answer(page: Page, server: ChatServer, complaints: list[str]) -> None:
    page.add_init_script(OLD)
    page.goto(server.url)
    assert page.evaluate("[URL.parse, Promise.withResolvers, crypto.randomUUID, window.Iterator].every((it) => !it)")
    server.plan(
        Reply(text=TEXT, citations=[{"url": "https://example.org/c"}, {"url": "no address", "title": "A book"}])
    )
    answer = ask(page)
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer.get_by_role("link", name="link")).to_have_attribute("href", "https://example.org/a")
    expect(answer.locator(".katex").first).to_be_visible()
    expect(answer.locator(".hljs-string")).to_have_text('"hello"')
    expect(answer.get_by_role("group", name="Sources").get_by_role("listitem")).to_have_text(["example.org", "A book"])
    button(page, "New Chat").first.click()
    expect(page.locator(".turn")).to_have_count(0)
    assert [text for text in complaints if "undecorated" in text] == []


def test_a_browser_that_refuses_storage_chats_all_the_same(
    page: Page, server: ChatServer, complaints: list[str]
) -> None:
    page.add_init_script(REFUSED)
    page.goto(server.url)
    expect(ask(page, "one")).to_contain_text("Hello, world.")
    expect(ask(page, "two")).to_contain_text("Hello, world.")
    button(page, "New Chat").first.click()
    expect(ask(page, "three")).to_contain_text("Hello, world.")
    first, second, third = (query["sessionId"] for query in server.queries)
    assert first == second != third
    page.get_by_role("link", name="one").click()
    expect(page.locator(".question")).to_have_text(["one", "two"])
    page.reload()
    expect(page.locator(".question")).to_have_text(["one", "two"])  # by its address


BROKEN = {
    "boxes": ("text/wide.js", "export function boxTables() { throw new Error('odd'); } export function watchWide() {}"),
    "growing": ("text/morph.js", "export function morph() { throw new Error('odd'); }"),
}


@pytest.mark.parametrize(("file", "script"), BROKEN.values(), ids=BROKEN)
def test_an_answer_that_cannot_be_drawn_is_shown_as_it_is(
    page: Page, server: ChatServer, complaints: list[str], file: str, script: str
) -> None:
    page.route(f"**/assets/{file}", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    page.goto(server.url)
    reply = server.plan(Reply(open=True))
    answer = ask(page)
    for piece in ("Some **bold** text", " that grows", " and goes on.\n\n| a |\n|---|\n| 1 |"):
        reply.add(piece)
        page.wait_for_timeout(50)
    reply.end()
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer.locator(".plain")).to_have_text("Some **bold** text that grows and goes on.\n\n| a |\n|---|\n| 1 |")
    expect(button(answer, "Copy")).to_be_visible()
    expect(button(answer, "Answer again")).to_be_visible()
    expect(ask(page, "next")).to_have_attribute("data-state", "done")


def test_without_the_libraries_formulas_and_code_stay_readable(
    page: Page, server: ChatServer, complaints: list[str]
) -> None:
    page.route("**/vendor/katex/*", lambda route: route.abort())
    page.route("**/vendor/highlight/*", lambda route: route.abort())
    page.goto(server.url)
    server.plan(Reply(text=TEXT))
    answer = ask(page)
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer).to_contain_text(r"\(x^2\)")
    expect(answer.locator("pre code")).to_have_text('print("hello")\n')
