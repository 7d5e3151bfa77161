"""What a person sees of an answer: answers are markdown, copies and selections are the text of the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_SURE: Final = 4  # letters and digits: a shorter text is found by its words and signs alone
_SPAN: Final = 8  # letters and digits of each of two answers that a copy spans


class Shown:
    """A text as its writer wrote it, and as a page shows it; each is worked out when it is needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def folded(self) -> str:
        """The text as it was written, white space folded."""
        return " ".join(self.text.split())

    @cached_property
    def written(self) -> str:
        """The letters and digits of the text."""
        return _letters(self.text)

    @cached_property
    def seen(self) -> tuple[str, ...]:
        """The letters and digits of what a page shows of it, if it is markdown.

        Some browsers put the numbers of lists into a copy, and some do not; KaTeX puts its source between two readings
        of a formula.
        """
        formulas = any(mark in self.text for mark in ("$", r"\(", r"\["))
        ways = itertools.product((False, True), (False, True) if formulas else (False,))
        return tuple(dict.fromkeys(_letters(visible(self.text, numbers=one, thrice=other)) for one, other in ways))

    def holds(self, part: Shown) -> bool:
        """Whether a person who saw this can have copied that: blocks, quotes, dashes and markers may read otherwise."""
        if part.folded in self.folded:
            return True
        letters = part.written
        return len(letters) >= _SURE and any(letters in text for text in (self.written, *self.seen))

    def ends_in(self, part: Shown) -> bool:
        """Whether that begins within this and goes on after it."""
        if len(part.written) < 2 * _SPAN:
            return False
        starts = ((seen, seen.find(part.written[:_SPAN])) for seen in self.seen)
        return any(start >= 0 and part.written.startswith(seen[start:]) for seen, start in starts)

    def begins_in(self, part: Shown) -> bool:
        """Whether that began before this and ends within it."""
        if len(part.written) < 2 * _SPAN:
            return False
        ends = ((seen, seen.find(part.written[-_SPAN:])) for seen in self.seen)
        return any(end >= 0 and part.written.endswith(seen[: end + _SPAN]) for seen, end in ends)


def visible(text: str, *, numbers: bool = False, thrice: bool = False) -> str:
    """The text that a page shows of markdown; with the `numbers` of its lists as they are written.

    `thrice`: formulas as KaTeX holds them.

    >>> visible("A **round** [loaf](https://example.org) &amp; `rye`")
    'A round loaf & rye'
    >>> visible(r"Its density is $\\theta$.")
    'Its density is θ.'
    """
    return "".join(_pieces(_parser().parse(text), numbers, thrice)).strip()


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.texmath import texmath_plugin

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return parser.use(texmath_plugin, delimiters="brackets").use(
        dollarmath_plugin, allow_space=False, double_inline=True
    )


def _pieces(tokens: Sequence[Token], numbers: bool, thrice: bool) -> Iterator[str]:
    for token in tokens:
        if token.type == "image":
            yield token.content  # its alternative text
        elif token.type.startswith("math_"):
            shown = _formula(token.content)
            yield f"{shown}{token.content}{shown}" if thrice else shown
        elif token.children is not None:
            yield from _pieces(token.children, numbers, thrice)
        elif token.type == "list_item_open" and numbers:
            yield f"{token.info} "  # nothing where no numbers are shown
        elif token.type in ("softbreak", "hardbreak") or (token.nesting < 0 and token.block):
            yield "\n"
        elif token.type in ("text", "text_special", "code_inline", "fence", "code_block"):
            yield token.content


def _formula(source: str) -> str:
    from pylatexenc.latex2text import LatexNodes2Text
    from pylatexenc.latexwalker import LatexWalkerError

    try:
        return str(LatexNodes2Text(math_mode="text").latex_to_text(source))
    except (LatexWalkerError, RecursionError, ValueError, IndexError):  # no TeX after all: it is seen as it stands
        return source


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
