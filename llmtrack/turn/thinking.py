"""`<think>…</think>` at the start of an answer is what the model thought, not what it said."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN = re.compile(r"\s*<(think|thinking)>", re.IGNORECASE)
_TAGS = ("<think>", "<thinking>")
_ANY = re.compile(r"</?(?:think|thinking)>", re.IGNORECASE)
_CLOSES_ALONE = re.compile(r"^</(?:think|thinking)>[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class Said(NamedTuple):
    """What a piece of an answer holds of each."""

    thinking: str = ""
    text: str = ""


class Thinking:
    """Divides an answer as it comes. What may be the beginning of a tag waits for the next piece.

    >>> divided = Thinking()
    >>> [divided.add(piece) for piece in ("<thi", "nk>So", " 4.</th", "ink>", "\\n\\nIt is ", "4.")][1:4]
    [Said(thinking='So', text=''), Said(thinking=' 4.', text=''), Said(thinking='', text='')]
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._close = ""  # the tag that ends it, while the model thinks
        self._speaks = False  # from now on all is text
        self._trims = False  # the blank lines after an opening or a closing tag are nothing

    def add(self, piece: str) -> Said:
        """What can be told of it by now."""
        if self._speaks:
            return Said(text=self._trimmed(piece))
        self._waiting += piece
        if not self._close:
            if opened := _OPEN.match(self._waiting):
                self._close, self._trims = f"</{opened[1].lower()}>", True
                self._waiting = self._waiting[opened.end() :]
            elif _may_open(self._waiting):
                return Said()
            else:
                self._speaks = True
                return Said(text=self._taken(len(self._waiting)))
        return self._thought()

    def end(self) -> Said:
        """The rest, when the answer has ended."""
        rest = self._taken(len(self._waiting))
        return Said(thinking=self._trimmed(rest)) if self._close and not self._speaks else Said(text=rest)

    def _thought(self) -> Said:
        at = self._waiting.lower().find(self._close)
        if at >= 0:
            thinking = self._trimmed(self._taken(at)).rstrip("\n")
            text = self._waiting[len(self._close) :]
            self._waiting, self._speaks, self._trims = "", True, True
            return Said(thinking, self._trimmed(text))
        kept = next(
            (n for n in range(min(len(self._close) - 1, len(self._waiting)), 0, -1)
             if self._close.startswith(self._waiting[-n:].lower())),
            0,
        )  # fmt: skip
        return Said(thinking=self._trimmed(self._taken(len(self._waiting) - kept)))

    def _taken(self, length: int) -> str:
        taken, self._waiting = self._waiting[:length], self._waiting[length:]
        return taken

    def _trimmed(self, text: str) -> str:
        if self._trims:
            text = text.lstrip()
            self._trims = not text
        return text


def unopened(answer: str) -> Said | None:
    """What a whole answer holds whose thinking the prompt's template opened, so that only its end was said.

    It is one when its first tag closes, on a line of its own, outside a block of code. An answer that names the tag in
    a sentence or in code is text: None.

    >>> unopened("2 and 2.\\n</think>\\n\\nIt is 4.")
    Said(thinking='2 and 2.', text='It is 4.')
    >>> unopened("It ends with `</think>`.")
    """
    tag = _ANY.search(answer)
    if tag is None or not _CLOSES_ALONE.match(answer, tag.start()):
        return None
    before = answer[: tag.start()]
    if len(_FENCE.findall(before)) % 2:
        return None
    return Said(before.strip(), answer[tag.end() :].lstrip())


def _may_open(waiting: str) -> bool:
    begun = waiting.lstrip().lower()
    return any(tag.startswith(begun) for tag in _TAGS)
