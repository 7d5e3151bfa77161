"""Session documents out of bytes: JSONL, JSON arrays, Extended JSON (mongoexport), BSON (mongodump), gzipped or not.

What a file is, its first bytes say; its name does not matter. Reading streams: one document is held at a time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from functools import partial
from typing import IO, Any, Final, NamedTuple
from urllib.parse import quote

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from llmtrack.session.schema import well_formed
from llmtrack.store.sources.inflate import MAGIC, Inflated
from llmtrack.store.sources.kinds import SQLITE, is_bson, other_kind
from llmtrack.store.sources.pieces import MAX_DOCUMENT_BYTES, Splitter, lines, objects

Document = dict[str, Any]

HEAD: Final = 64 * 1024  # bytes that say what a file is
_BETWEEN: Final = b" \t\r\n,[]"  # documents
_CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_JSON = json_util.JSONOptions(tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_EXTENDED = partial(json_util.object_pairs_hook, json_options=_JSON)


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
    buffered = _peekable(stream)
    if buffered.peek(len(MAGIC))[: len(MAGIC)] != MAGIC:
        yield from _documents(buffered)
        return
    inflated = Inflated(buffered)
    yield from _documents(_peekable(inflated))
    if inflated.fault:
        yield Unreadable("the rest", f"the gzipped data is damaged: {inflated.fault}")


def _peekable(stream: Any) -> io.BufferedReader:
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, HEAD)


def _documents(stream: io.BufferedReader) -> Iterator[Found | Unreadable]:
    head = stream.peek(HEAD)
    if is_bson(head):
        yield from _bson(stream)
    elif head.startswith(SQLITE) and (path := getattr(stream, "name", None)):
        yield from _rows(path)
    elif kind := other_kind(head):
        yield Unreadable("byte 0", f"this is {kind}")
    else:
        if head.startswith(b"\xef\xbb\xbf"):
            stream.read(3)
        text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        pretty = text.startswith(b"{") and b"\n" in text and not text.split(b"\n", 1)[0].rstrip().endswith(b"}")
        if text.startswith(b"[") or pretty:
            for line, piece in objects(stream):
                yield from _read(line, piece, _BETWEEN)
        else:
            for line, piece in lines(stream):
                yield from _line(line, piece)


def _rows(path: Any) -> Iterator[Found | Unreadable]:
    """The chats in Open WebUI's database."""
    import sqlite3

    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
        try:
            rows = database.execute("SELECT id, user_id, title, chat FROM chat")
            for place, (chat_id, user, title, chat) in enumerate(rows, 1):
                yield Found(f"chat {place}", {"id": chat_id, "user_id": user, "title": title, "chat": chat})
        except sqlite3.Error as error:
            yield Unreadable("byte 0", f"this is an SQLite database, but not Open WebUI's webui.db: {error}")


def _line(number: int, piece: bytes) -> Iterator[Found | Unreadable]:
    """The document on a line, or several of them without a newline between."""
    found = list(_read(number, piece, b" \t\r\n"))
    if found and isinstance(found[0], Unreadable) and "Extra data" in found[0].why and piece.lstrip()[:1] == b"{":
        splitter = Splitter(number)
        several = [*splitter.feed(piece), *splitter.finish()]
        found = [each for line, cut in several for each in _read(line, cut, _BETWEEN)]
    yield from found


def _read(line: int, piece: bytes, between: bytes) -> Iterator[Found | Unreadable]:
    """The document in a piece, if it holds more than what stands between documents."""
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


def _parsed(where: str, piece: bytes) -> Found | Unreadable:
    try:
        extended = _EXTENDED if b'"$' in piece else None
        value = json.loads(piece.decode(), object_pairs_hook=extended)
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
