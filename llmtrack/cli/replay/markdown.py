"""Answers as a terminal shows them, and all of them. Apart from plain.py, as rich's markdown is slow to import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from rich.console import JustifyMethod
from rich.markdown import Heading, Markdown, MarkdownElement

_FORMULA = re.compile(r"\\\((?s:.+?)\\\)|\\\[(?s:.+?)\\\]|\$\$(?s:.+?)\$\$")


class _LeftHeading(Heading):
    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {}


class Answer(Markdown):
    """Markdown whose headings stand on the left, as the text around them does.

    HTML, XML and what looks like them are text; lines end where they were ended; an image is its source, in place; a
    formula stays as it was written.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _LeftHeading}

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.markup = text
        self.parsed = kept(parser().parse(text))


@cache
def parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.inline.ruler.before("escape", "formula", _formula)
    return made


def _formula(state: StateInline, silent: bool) -> bool:
    """A rule of markdown-it: TeX between its brackets is one text, its backslashes and stars are no markdown."""
    found = _FORMULA.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("text", "", 0).content = found[0]
    state.pos = found.end()
    return True


def kept(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with what rich would join, drop or move made into text."""
    for token in tokens:
        if token.type == "image":
            token.type, token.tag = "text", ""
            title = f' "{token.attrs["title"]}"' if "title" in token.attrs else ""
            token.content, token.children = f"![{token.content}]({token.attrs['src']}{title})", None
        elif token.type == "softbreak":
            token.type = "hardbreak"
        elif token.children:
            kept(token.children)
    return list(tokens)
