"""Formulas, code and tables: drawn by libraries that come when they are needed, and copied as they were written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chat.reader import PHONE, ask, ask_slowly, button
from tests.browser.chat.server import ChatServer, Reply

FORMULAS = r"""The solution of \(ax^2 + b_1 = 0\) and \(*x*\) is

\[
x = \frac{-b}{2a}
+ 1
\]

with $$\sum_{i=1}^n i$$ in a line.

- In a list: \[ \sqrt{2} \]
- **Bold \(y\)**
"""
SOURCES = [
    r"\(ax^2 + b_1 = 0\)",
    r"\(*x*\)",
    "\\[\nx = \\frac{-b}{2a}\n+ 1\n\\]",
    r"$$\sum_{i=1}^n i$$",
    r"\[ \sqrt{2} \]",
    r"\(y\)",
]


def answered(page: Page, server: ChatServer, text: str) -> None:
    server.plan(Reply(text=text))
    expect(ask(page)).to_have_attribute("data-state", "done")


def test_formulas_are_typeset_and_copied_as_they_were_written(chat: Page, server: ChatServer) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    asked_for: list[str] = []
    chat.on("request", lambda request: asked_for.append(request.url))
    answered(chat, server, "No formula.")
    assert not [url for url in asked_for if "katex" in url or "highlight" in url]
    answered(chat, server, FORMULAS)
    answer = chat.locator(".answer").last
    expect(answer.locator("x-formula .katex-html")).to_have_count(len(SOURCES))
    expect(answer.locator(".katex-display")).to_have_count(3)
    answer.evaluate("(answer) => getSelection().selectAllChildren(answer.querySelector('.prose'))")
    chat.keyboard.press("Control+C")
    copied = chat.evaluate("navigator.clipboard.readText()")
    for source in SOURCES:
        assert source in copied, copied
    assert copied.count("frac") == 1
    assert "In a list:" in copied
    button(answer, "Copy").click()
    assert chat.evaluate("navigator.clipboard.readText()") == FORMULAS


def test_a_part_of_a_formula_is_copied_whole(chat: Page, server: ChatServer) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answered(chat, server, r"Here is \(a + b\) again.")
    chat.locator(".katex-html").first.wait_for()
    chat.evaluate(
        """() => {
            const text = document.querySelector(".prose p").firstChild;
            const inside = document.querySelector(".katex-html .mord").firstChild;
            getSelection().setBaseAndExtent(text, 5, inside, 1);
        }"""
    )
    chat.keyboard.press("Control+C")
    assert chat.evaluate("navigator.clipboard.readText()") == r"is \(a + b\)"


TEXTS = {
    "prices": ("It costs $5, or $$ for short, and $6.", "It costs $5, or $$ for short, and $6."),
    "shell": ("Use `echo $$ $$` here.", "Use echo $$ $$ here."),
    "escaped brackets": (r"\[ not closed, and \( neither", "[ not closed, and ( neither"),
    "no formula at all": (r"\(\frac{\)", r"\(\frac{\)"),
    "an unknown command": (r"\(\nosuchcommand\)", r"\(\nosuchcommand\)"),
    "endless": (r"\(\def\a{\a\a}\a\)", r"\(\def\a{\a\a}\a\)"),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.values(), ids=TEXTS)
def test_what_is_no_formula_stays_as_it_is(chat: Page, server: ChatServer, text: str, shown: str) -> None:
    answered(chat, server, text)
    chat.wait_for_timeout(300)
    expect(chat.locator(".prose p")).to_have_text(shown)


HOSTILE = r"""\(\href{javascript:window.hacked=1}{x}\) \(\includegraphics{https://evil.example/x.png}\)
\(\htmlData{x=1}{y}\) \(\url{javascript:window.hacked=2}\) \(\htmlStyle{position:fixed;inset:0}{z}\)

\[ <img src=x onerror=window.hacked=3> \text{<script>window.hacked=4</script>} \]

```html
<img src=x onerror=window.hacked=5>
```
"""


def test_formulas_and_code_run_and_load_nothing(chat: Page, server: ChatServer) -> None:
    asked_for: list[str] = []
    chat.on("request", lambda request: asked_for.append(request.url))
    answered(chat, server, HOSTILE)
    prose = chat.locator(".prose")
    expect(prose.locator(".hljs-tag").first).to_be_visible()
    expect(prose.locator(".katex").first).to_be_visible()
    assert chat.evaluate("window.hacked") is None
    assert [url for url in asked_for if not url.startswith(server.url)] == []
    expect(prose.locator("a[href], img, script, [onerror], [data-x]")).to_have_count(0)
    expect(prose.locator("pre code")).to_have_text("<img src=x onerror=window.hacked=5>\n")


def test_code_is_coloured_when_it_is_whole(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "```python\nif True:\n")
    expect(answer.locator("pre")).to_contain_text("if True:")
    expect(answer.locator("[class^=hljs]")).to_have_count(0)
    reply.add("    print('x')\n```\n\n1. And:\n   ```js\n   let x = 1;\n   ```\n\n```nosuch\nlet y\n```\n")
    reply.end()
    expect(answer.locator(".hljs-keyword")).to_have_text(["if", "let"])
    expect(answer.locator("pre code")).to_have_text(["if True:\n    print('x')\n", "let x = 1;\n", "let y\n"])
    expect(button(answer, "Copy this code")).to_have_count(3)
    expect(answer.locator(".code-head span")).to_have_text(["python", "js", "nosuch"])


def test_colours_wait_for_what_is_selected(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "```python\nif True:\n    pass\n")
    expect(answer.locator("pre")).to_contain_text("pass")
    answer.locator("code").evaluate("code => getSelection().setBaseAndExtent(code.firstChild, 0, code.firstChild, 7)")
    reply.add("```\n\nAnd \\(x\\) more.")
    reply.end()
    expect(answer).to_have_attribute("data-state", "done")
    chat.wait_for_timeout(300)
    assert chat.evaluate("getSelection().toString()") == "if True"
    expect(answer.locator(".hljs-keyword")).to_have_count(0)
    chat.evaluate("getSelection().removeAllRanges()")
    expect(answer.locator(".hljs-keyword").first).to_have_text("if")


def test_a_selection_survives_formulas_that_arrive(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "The *first* words,")
    reply.add(" \\(x\\)")
    expect(answer.locator(".katex")).to_have_count(1)
    answer.locator("em").dblclick()
    for n in range(10):
        reply.add(f" and \\(y_{n}\\)")
    reply.end()
    expect(answer.locator(".katex")).to_have_count(11)
    assert str(chat.evaluate("getSelection().toString()")).strip() == "first"


def test_a_wide_table_says_that_it_goes_on(new_context: Callable[..., BrowserContext], server: ChatServer) -> None:
    page = new_context(has_touch=True, is_mobile=True).new_page()
    page.set_viewport_size(PHONE)
    page.goto(server.url)
    head = "| " + " | ".join(f"column {n}" for n in range(5)) + " |"
    server.plan(Reply(text=f"{head}\n{'|---' * 5}|\n{'| value ' * 5}|\n\n| a | b |\n|---|---|\n| 1 | 2 |"))
    page.get_by_label("Your message").fill("a table")
    button(page, "Send").tap()
    wide, narrow = page.locator(".table-box").nth(0), page.locator(".table-box").nth(1)
    hint = wide.get_by_text("Scroll sideways for more")
    expect(hint).to_be_visible()
    expect(narrow.get_by_text("Scroll sideways for more")).to_be_hidden()
    table = page.get_by_role("group", name="Table, scrolls sideways")
    expect(table).to_have_count(1)
    table.evaluate("table => table.scrollTo(10_000, 0)")
    expect(hint).to_be_hidden()
    page.set_viewport_size({"width": 1280, "height": 740})
    expect(page.get_by_role("group", name="Table, scrolls sideways")).to_have_count(0)
