"""The states of the page, each reached as a reader reaches it: for axe, and for eyes.

    python -m tests.browser.chat.states FOLDER [STATE…]

takes a picture of each at three widths, light and dark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

from tests.browser.chat.reader import DESK, PHONE, told
from tests.browser.chat.server import ChatServer, Reply, serve
from tests.browser.driving import launch_chromium

TABLET: ViewportSize = {"width": 820, "height": 1100}
ZOOMED: ViewportSize = {"width": 320, "height": 256}  # 1280 by 1024 at 400 %
ANSWER = r"""Here is the short version, with **bold**, *emphasis*, `code` and a [link](https://example.org/a).

## The formula

The solution of \(ax^2 + bx + c = 0\) is

\[
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
\]

and the area under it is $$\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}$$

## The code

```python
from dataclasses import dataclass

@dataclass
class Point:
    x: float = 0.0  # metres
    y: float = 0.0

    def norm(self) -> float:
        return (self.x ** 2 + self.y ** 2) ** 0.5

print(f"{Point(3, 4).norm()} m, and this is a rather long line that will not fit on a phone or even on a desk")
```

1. First do this:
   ```sh
   export KEY=value && pip install "llmtrack[embedded]"
   ```
2. Then that.

| setting | what it does | default | range | remark |
|---|---|---|---:|---|
| `temperature` | how much the answers vary | 1.0 | 0 to 2 | lower is calmer |
| `max_tokens` | where an answer is cut off | none | 1 to 128,000 | counts the thinking, too |

> A quoted line, to see how it looks.
"""
State = Callable[[Page, ChatServer], None]
STATES: dict[str, State] = {}


def state(reach: State) -> State:
    STATES[reach.__name__] = reach
    return reach


def _ask(page: Page, reply: Reply, server: ChatServer, prompt: str = "What is the quadratic formula?") -> Locator:
    server.plan(reply)
    page.get_by_label("Your message").fill(prompt)
    page.locator("#send").click()
    assert reply.asked.wait(5)
    return page.locator(".answer").last


def _ended(answer: Locator) -> None:
    expect(answer).to_have_attribute("aria-busy", "false")


def _list(page: Page, server: ChatServer) -> Locator:
    """Saved chats, in the drawer on a phone; the second of them."""
    server.save("a", "Reading a CSV file in Python", *told("hello"), age_s=180)
    server.save("b", "A very long title of a chat that certainly does not fit into the list", *told("hi"), age_s=7200)
    server.save("c", "Polite reminder", *told("hello"), age_s=300_000)
    page.reload()
    _drawer(page)
    row = page.locator(".chat").nth(1)
    row.hover()
    return row


def _drawer(page: Page) -> None:
    if page.locator("#open-sidebar").is_visible():
        page.locator("#open-sidebar").click()
        page.wait_for_timeout(300)


@state
def empty(page: Page, server: ChatServer) -> None:
    expect(page.locator("#empty")).to_be_visible()


@state
def demo(page: Page, server: ChatServer) -> None:
    server.provider = "demo"
    page.reload()
    expect(page.locator("#empty")).to_be_visible()


@state
def demo_note(page: Page, server: ChatServer) -> None:
    demo(page, server)
    page.locator(".demo-label").click()


@state
def waiting(page: Page, server: ChatServer) -> None:
    _ask(page, Reply(open=True), server)


@state
def thinking(page: Page, server: ChatServer) -> None:
    answer = _ask(page, Reply(open=True, thinking=("Let me see: the formula.\n", "I should derive it.")), server)
    answer.locator("summary").click()


@state
def streaming(page: Page, server: ChatServer) -> None:
    reply = Reply(open=True)
    answer = _ask(page, reply, server)
    reply.add(ANSWER[:420])
    expect(answer.locator(".katex").first).to_be_visible()


@state
def answered(page: Page, server: ChatServer) -> None:
    cited = [{"title": "A book on it", "url": "https://example.org/b"}, {"url": "https://example.org/c"}]
    answer = _ask(page, Reply(text=ANSWER, thinking=("Hm.",), citations=cited), server)
    _ended(answer)
    expect(answer.locator(".hljs-string").first).to_be_visible()
    expect(answer.locator(".katex").nth(2)).to_be_visible()
    page.wait_for_timeout(100)


@state
def answered_from_the_top(page: Page, server: ChatServer) -> None:
    answered(page, server)
    page.evaluate("document.querySelector('#scroller').scrollTop = 0")
    expect(page.locator("#to-latest")).to_be_visible()


@state
def conversation(page: Page, server: ChatServer) -> None:
    for prompt in ("And why?", "Tell me more", "Thanks"):
        _ended(_ask(page, Reply(citations=[{"url": "https://example.org/c"}]), server, prompt))


@state
def failed(page: Page, server: ChatServer) -> None:
    _ended(_ask(page, Reply(status=502, error="The model does not answer. Try again in a minute."), server))


@state
def failed_in_the_middle(page: Page, server: ChatServer) -> None:
    _ended(_ask(page, Reply(text="Half of an answer", error="The model stopped answering."), server))


@state
def cut_off(page: Page, server: ChatServer) -> None:
    done = {"partial": True, "finish_reason": "length"}
    _ended(_ask(page, Reply(text="Half of an answer that went on and on", done=done), server))


@state
def stopped(page: Page, server: ChatServer) -> None:
    reply = Reply(open=True)
    answer = _ask(page, reply, server)
    reply.add("Half of an answer. ")
    expect(answer).to_contain_text("Half")
    page.locator("#stop").click()
    _ended(answer)


@state
def untracked(page: Page, server: ChatServer) -> None:
    notice = "Not tracked: the database does not answer."
    _ended(_ask(page, Reply(tracked=False, provider="demo", notice=notice), server))


@state
def editing(page: Page, server: ChatServer) -> None:
    _ended(_ask(page, Reply(), server, "A first question, which is long enough for more than one line on a phone"))
    _ended(_ask(page, Reply(), server, "And a second one"))
    page.locator(".turn").first.hover()
    page.locator(".asked .edit").first.click()


@state
def chats(page: Page, server: ChatServer) -> None:
    _list(page, server)


@state
def renaming(page: Page, server: ChatServer) -> None:
    _list(page, server).locator(".edit").click()


@state
def deleted(page: Page, server: ChatServer) -> None:
    _list(page, server).locator(".delete").click()


@state
def found_nothing(page: Page, server: ChatServer) -> None:
    _list(page, server)
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No chat with")).to_be_visible()


@state
def list_away(page: Page, server: ChatServer) -> None:
    server.chats_fail = True
    page.reload()
    _drawer(page)
    expect(page.get_by_text("The saved chats could not be loaded.")).to_be_visible()


@state
def chat_away(page: Page, server: ChatServer) -> None:
    page.route("**/api/chats/*", lambda route: route.abort())
    page.goto(f"{server.url}/chat/away")
    expect(page.locator("#chat-problem .retry")).to_be_visible()


def main(folder: Path, names: list[str]) -> None:
    """Take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"phone": PHONE, "tablet": TABLET, "desk": DESK, "zoomed": ZOOMED}
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        for name in names or STATES:
            for width, size in sizes.items():
                with serve() as server:
                    touch = {"has_touch": True, "is_mobile": True} if width == "phone" else {}
                    page = browser.new_context(viewport=size, **touch).new_page()  # type: ignore[arg-type]
                    page.goto(server.url)
                    STATES[name](page, server)
                    for scheme in ("light", "dark"):
                        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                        page.wait_for_timeout(200)
                        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
                    page.context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
