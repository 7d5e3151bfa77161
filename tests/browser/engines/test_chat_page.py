"""The chat page in each engine: a question by keyboard, an answer with all that can be in one, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.chat.server import ChatServer, Reply, serve
from tests.browser.driving import Tab

ANSWER = r"""A [link](https://example.org/a), a formula \(x^2\), and

```python
print("hello")
```

| a | b |
|---|---|
| 1 | 2 |
"""
NOTE_FAULTS = """() => {
  window.faults = [];
  addEventListener("error", ({ message }) => faults.push(message));
  addEventListener("unhandledrejection", ({ reason }) => faults.push(String(reason)));
  addEventListener("securitypolicyviolation", ({ violatedDirective }) => faults.push(violatedDirective));
}"""


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serve() as server:
        yield server


def text(tab: Tab, selector: str) -> list[str]:
    script = "(selector) => [...document.querySelectorAll(selector)].map((each) => each.textContent)"
    return list(tab.run(script, selector))


def ask(tab: Tab, prompt: str) -> None:
    tab.click("document.querySelector('#prompt')")
    tab.type(prompt)
    tab.press("Enter")
    tab.until(lambda: text(tab, ".question")[-1:] == [prompt])
    tab.until(lambda: text(tab, ".turn:last-child .answer[data-state=done]"))


def test_an_answer_is_drawn_whole(tab: Tab, server: ChatServer) -> None:
    tab.open(server.url)
    tab.until(lambda: tab.run("() => history.state !== null"))
    tab.run(NOTE_FAULTS)
    server.plan(Reply(text=ANSWER, thinking=("Hm.",), citations=[{"url": "https://example.org/c"}]))
    ask(tab, "Show me everything")
    tab.until(lambda: text(tab, ".hljs-string") == ['"hello"'])
    tab.until(lambda: tab.run("() => document.querySelector('.katex-html')?.getBoundingClientRect().height > 5"))
    assert text(tab, ".prose a[href]") == ["link"]
    assert text(tab, ".citations li") == ["example.org"]
    assert text(tab, "summary") == ["Thought for a moment"]
    assert tab.run("() => getComputedStyle(document.body).backgroundColor !== 'rgba(0, 0, 0, 0)'")
    assert tab.run("() => faults") == []


def test_the_way_back_leads_to_the_chat_before(tab: Tab, server: ChatServer) -> None:
    tab.open(server.url)
    tab.until(lambda: tab.run("() => history.state !== null"))
    ask(tab, "one")
    address = str(tab.run("() => location.pathname"))
    assert address.startswith("/chat/")
    tab.click("document.querySelector('#new-chat')")
    ask(tab, "two")
    tab.run("() => history.back()")
    tab.until(lambda: text(tab, ".question") == ["one"])
    assert tab.run("() => location.pathname") == address
    other = tab.another()
    other.open(server.url + address)
    other.until(lambda: text(other, ".question") == ["one"])
    ask(other, "from the other tab")
    tab.until(lambda: text(tab, ".question") == ["one", "from the other tab"])
