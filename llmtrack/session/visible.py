"""What a person sees of an answer: answers are markdown, copies and selections are the text of the page."""

from __future__ import annotations

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
    def seen(self) -> str:
        """The letters and digits of what a page shows of it, if it is markdown."""
        return _letters(visible(self.text))

    def holds(self, part: Shown) -> bool:
        """Whether a person who saw this can have copied that: blocks, quotes, dashes and markers may read otherwise."""
        if part.folded in self.folded:
            return True
        letters = part.written
        return len(letters) >= _SURE and (letters in self.written or letters in self.seen)

    def ends_in(self, part: Shown) -> bool:
        """Whether that begins within this and goes on after it."""
        start = self.seen.find(part.written[:_SPAN]) if len(part.written) >= 2 * _SPAN else -1
        return start >= 0 and part.written.startswith(self.seen[start:])

    def begins_in(self, part: Shown) -> bool:
        """Whether that began before this and ends within it."""
        end = self.seen.find(part.written[-_SPAN:]) if len(part.written) >= 2 * _SPAN else -1
        return end >= 0 and part.written.endswith(self.seen[: end + _SPAN])


def visible(text: str) -> str:
    """The text that a page shows of markdown.

    >>> visible("A **round** [loaf](https://example.org) &amp; `rye`")
    'A round loaf & rye'
    """
    return "".join(_pieces(_parser().parse(text))).strip()


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _pieces(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "image":
            yield token.content  # its alternative text
        elif token.children is not None:
            yield from _pieces(token.children)
        elif token.type in ("softbreak", "hardbreak") or (token.nesting < 0 and token.block):
            yield "\n"
        elif token.type in ("text", "text_special", "code_inline", "fence", "code_block"):
            yield token.content


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
