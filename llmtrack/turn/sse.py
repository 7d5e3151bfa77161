"""Server-sent events (WHATWG HTML, section 9.2), as they come: bytes in, events out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_LINE = re.compile("\r\n|\n|\r(?!$)")  # a \r at the end may be half of \r\n
BOM = "\ufeff"


class Event(NamedTuple):
    """`name` is empty where none was sent."""

    name: str
    data: str


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream, whatever pieces it comes in. Bytes that are no UTF-8 become U+FFFD; comments go.

    An event that the stream's end cuts short is given, too: it may be the only one that says what went wrong.

    >>> list(events([b": hello\\n", b"data: a\\ndata: b\\r", b"\\n\\nevent: error\\ndata:c"]))
    [Event(name='', data='a\\nb'), Event(name='error', data='c')]
    """
    name, data = "", list[str]()
    for line in _lines(pieces):
        if not line:
            if data:
                yield Event(name, "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    if data:
        yield Event(name, "\n".join(data))


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest, begun = "", False
    for piece in pieces:
        text = decoder.decode(piece)
        if text and not begun:
            text, begun = text.removeprefix(BOM), True
        *whole, rest = _LINE.split(rest + text)
        yield from whole
    rest += decoder.decode(b"", final=True)
    yield from _LINE.split(rest.removesuffix("\r"))
