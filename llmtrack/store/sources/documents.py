"""Session documents out of bytes: JSONL, JSON arrays, Extended JSON (mongoexport), BSON (mongodump), gzipped or not.

What a file is, its first bytes say; its name does not matter. Reading streams: one document is held at a time.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC
from typing import IO, Any, NamedTuple

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from llmtrack.session.schema import well_formed

Document = dict[str, Any]

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024  # MongoDB holds 16 MB; the same as text can be larger
_CHUNK = 256 * 1024
_CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_JSON = json_util.JSONOptions(tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_ARCHIVE = b"\x6d\xe2\x99\x81"  # mongodump --archive
_MARK = re.compile(rb'"(?:[^"\\\n]|\\[^\n])*+"|[{}"\n]')  # a whole string, or what may change where we are


class Found(NamedTuple):
    """A document and where it stands ("line 12", "byte 4096")."""

    where: str
    document: Document


class Unreadable(NamedTuple):
    """What could not be read, where, and why."""

    where: str
    why: str


def read_documents(stream: IO[bytes]) -> Iterator[Found | Unreadable]:
    """Every document of the stream, in order; what cannot be read is named and reading goes on where it can."""
    buffered: io.BufferedReader = stream if isinstance(stream, io.BufferedReader) else _peekable(stream)
    try:
        if buffered.peek(2)[:2] == b"\x1f\x8b":
            buffered = _peekable(gzip.GzipFile(fileobj=buffered))
        yield from _documents(buffered)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Unreadable("the rest", f"the gzipped data is damaged: {error}")


def _peekable(stream: Any) -> io.BufferedReader:
    return io.BufferedReader(stream)


def _documents(stream: io.BufferedReader) -> Iterator[Found | Unreadable]:
    head = stream.peek(4096)
    if head[:4] == _ARCHIVE:
        yield Unreadable("byte 0", "this is a mongodump --archive file; dump without --archive")
    elif head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield Unreadable("byte 0", "this is UTF-16 text; save it as UTF-8")
    elif len(head) > 4 and head[3] == 0:  # a BSON length under 16 MB; JSON has no NUL
        yield from _bson(stream)
    else:
        if head.startswith(b"\xef\xbb\xbf"):
            stream.read(3)
        text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        pretty = text.startswith(b"{") and b"\n" in text and not text.split(b"\n", 1)[0].rstrip().endswith(b"}")
        if text.startswith(b"[") or pretty:
            pieces, between = _objects(stream), b" \t\r\n,[]"
        else:
            pieces, between = _lines(stream), b" \t\r\n"
        for line, piece in pieces:
            begun = piece.lstrip(between)
            if begun:
                line += piece.count(b"\n", 0, len(piece) - len(begun))
                yield _parsed(f"line {line}", begun.rstrip(between))


def _bson(stream: io.BufferedReader) -> Iterator[Found | Unreadable]:
    offset = 0
    while size := stream.read(4):
        length = int.from_bytes(size, "little")
        where = f"byte {offset}"
        if len(size) < 4 or not 5 <= length <= MAX_DOCUMENT_BYTES:
            yield Unreadable(where, "no BSON document starts here; the rest of the file is left out")
            return
        body = stream.read(length - 4)
        if len(body) < length - 4:
            yield Unreadable(where, f"the file ends {length - 4 - len(body)} bytes too early")
            return
        try:
            yield Found(where, bson.decode(size + body, _CODEC))
        except (BSONError, ValueError) as error:
            yield Unreadable(where, f"damaged BSON: {error}")
        offset += length


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(MAX_DOCUMENT_BYTES):
        number += 1
        yield number, line


def _objects(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    splitter = _Splitter()
    while chunk := stream.read1(_CHUNK):
        yield from splitter.feed(chunk)
        if len(splitter.rest) > MAX_DOCUMENT_BYTES:
            break
    yield from splitter.feed(b"\n")  # ends a string that was cut off
    yield splitter.started, splitter.rest


class _Splitter:
    """Cuts an array or pretty-printed JSON into its outermost {…}, each with the line it starts on.

    What stands between them is a piece, too, so that it is named as unreadable. A line that ends inside a string ends
    its object: JSON does not allow that, and the next object may be well.
    """

    def __init__(self) -> None:
        self.rest = b""  # from the start of the current piece
        self.line = self.started = 1
        self._at = self._depth = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        self.rest += chunk
        while mark := _MARK.search(self.rest, self._at):
            sign, self._at = mark[0], mark.end()
            if sign == b"\n":
                self.line += 1
            elif sign == b"{":
                if not self._depth:
                    yield self._cut(mark.start())
                self._depth += 1
            elif sign == b"}":
                self._depth -= 1
                if self._depth <= 0:
                    yield self._cut(mark.end())
            elif sign == b'"':  # no end in sight
                newline = self.rest.find(b"\n", self._at)
                if newline < 0:
                    self._at = mark.start()
                    return
                yield self._cut(newline)

    def _cut(self, end: int) -> tuple[int, bytes]:
        piece = self.started, self.rest[:end]
        self.rest, self._at, self._depth, self.started = self.rest[end:], max(0, self._at - end), 0, self.line
        return piece


def _parsed(where: str, piece: bytes) -> Found | Unreadable:
    try:
        value = json.loads(piece.decode(), object_pairs_hook=lambda pairs: json_util.object_pairs_hook(pairs, _JSON))
    except UnicodeDecodeError as error:
        return Unreadable(where, f"not UTF-8: {error.reason} at byte {error.start}")
    except json.JSONDecodeError as error:
        return Unreadable(where, f"not JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Unreadable(where, "nested too deeply")
    except (BSONError, ValueError, TypeError, ArithmeticError) as error:
        return Unreadable(where, f"not Extended JSON: {error}")
    if not isinstance(value, dict):
        return Unreadable(where, "not an object")
    return Found(where, _well_formed(value) if b"\\u" in piece else value)


def _well_formed(value: Any) -> Any:
    """Half an emoji, cut off by a script, is good JSON that BSON cannot hold."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed(key): _well_formed(member) for key, member in value.items()}
    return [_well_formed(member) for member in value] if isinstance(value, list) else value
