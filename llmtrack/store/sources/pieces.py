"""JSON text cut into its documents: lines, arrays, and objects one after the other. Each byte is looked at once."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024  # MongoDB holds 16 MB; the same as text can be larger
_CHUNK: Final = 256 * 1024
_PLAIN: Final = re.compile(rb'(?:[^"{}\n]++|"(?:[^"\\\n]|\\[^\n])*+")*+')  # whole strings, and what moves no brace
_INSIDE: Final = re.compile(rb'(?:[^"\\\n]|\\[^\n])*+')  # of a string, up to its end, a line's, or the chunk's
_NEWLINE, _QUOTE, _OPEN, _BACKSLASH = b'\n"{\\'


def lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Each line with its number."""
    number = 0
    while line := stream.readline(MAX_DOCUMENT_BYTES):
        number += 1
        yield number, line


def objects(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Each outermost object, and what stands between them, with the line on which it starts."""
    splitter = Splitter()
    while chunk := stream.read1(_CHUNK):
        yield from splitter.feed(chunk)
        if splitter.waiting > MAX_DOCUMENT_BYTES:
            break
    yield from splitter.finish()


class Splitter:
    """Cuts an array or documents one after the other into their outermost {…}, each with the line it starts on.

    What stands between them is a piece, too, so that it is named as unreadable. A line that ends inside a string ends
    its object: JSON does not allow that, and the next object may be well.
    """

    def __init__(self, line: int = 1) -> None:
        self._rest = bytearray()  # from the start of the current piece
        self._line = self._started = line
        self._at = self._depth = 0
        self._in_string = False

    @property
    def waiting(self) -> int:
        """Bytes of the piece that is not whole yet."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces that are whole with this chunk."""
        self._rest += chunk
        while True:
            if self._in_string:
                if not self._leave_string():
                    return
                if self._in_string:  # a line ended inside it
                    self._in_string = False
                    yield self._cut(self._at)
                continue
            at = self._end(_PLAIN)
            if at >= len(self._rest):
                self._at = at
                return
            sign, self._at = self._rest[at], at + 1
            if sign == _NEWLINE:
                self._line += 1
            elif sign == _QUOTE:  # a string without an end in sight
                self._in_string = True
            elif sign == _OPEN:
                if not self._depth:
                    yield self._cut(at)
                    self._at = 1
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    yield self._cut(at + 1)

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """What is left at the end."""
        yield from self.feed(b"\n")  # ends a string that was cut off
        yield self._started, bytes(self._rest)

    def _leave_string(self) -> bool:
        """Go to the end of the string; False when it is not there yet. One that a line ends is left open."""
        self._at = end = self._end(_INSIDE)
        if end < len(self._rest) and self._rest[end] == _BACKSLASH:
            end += 1  # its sign is in the next chunk, or the end of the line
        if end >= len(self._rest):
            return False
        if self._rest[end] == _QUOTE:
            self._in_string = False
            end += 1
        self._at = end
        return True

    def _end(self, pattern: re.Pattern[bytes]) -> int:
        """Where the pattern ends. The match is gone by then: it would hold the buffer, which is about to shrink."""
        found = pattern.match(self._rest, self._at)
        return found.end() if found else self._at

    def _cut(self, end: int) -> tuple[int, bytes]:
        piece = self._started, bytes(self._rest[:end])
        del self._rest[:end]
        self._at, self._depth, self._started = max(0, self._at - end), 0, self._line
        return piece
