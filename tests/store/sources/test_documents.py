"""Reading session documents from files: whatever form, and what is broken is named while the rest is read."""

from __future__ import annotations

import gzip
import io
import json
import time
import zlib
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import json_util
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.store.sources.documents import Found, Unreadable, read_documents

AT = datetime(2024, 10, 27, 10, 0, 0, 123000, tzinfo=UTC)
DOCUMENTS: list[dict[str, Any]] = [
    {"session_id": "a", "start_time": AT, "n": 2**40, "events": [{"t": 1.5, "data": {"text": 'quotes " {[ \\ }'}}]},
    {"session_id": "b", "start_time": "2024-10-27T10:00:00Z", "end_time": None, "events": []},
    {"session_id": "c", "text": "ümläut 🙂\nsecond line"},
]


def read(raw: bytes) -> list[Found | Unreadable]:
    return list(read_documents(io.BytesIO(raw)))


def documents(raw: bytes) -> list[dict[str, Any]]:
    return [found.document for found in read(raw) if isinstance(found, Found)]


def unreadable(raw: bytes) -> list[tuple[str, str]]:
    return [(found.where, found.why) for found in read(raw) if isinstance(found, Unreadable)]


def lines(options: json_util.JSONOptions) -> bytes:
    return "".join(json_util.dumps(document, json_options=options) + "\n" for document in DOCUMENTS).encode()


CANONICAL, RELAXED = json_util.CANONICAL_JSON_OPTIONS, json_util.RELAXED_JSON_OPTIONS
FORMS = {
    "mongoexport canonical": lines(CANONICAL),
    "mongoexport relaxed": lines(RELAXED),
    "mongoexport --jsonArray": b"[" + lines(RELAXED).strip().replace(b"\n", b",\n") + b"]\n",
    "mongoexport --jsonArray --pretty": json_util.dumps(DOCUMENTS, json_options=RELAXED, indent=2).encode(),
    "pretty documents one after the other": b"\n".join(
        json_util.dumps(document, json_options=RELAXED, indent=1).encode() for document in DOCUMENTS
    ),
    "an array on one line": json_util.dumps(DOCUMENTS, json_options=RELAXED).encode(),
    "lines with CRLF, blank lines and a byte order mark": b"\xef\xbb\xbf" + lines(RELAXED).replace(b"\n", b"\r\n\r\n"),
    "no newline at the end": lines(RELAXED).rstrip(),
    "mongodump": b"".join(map(bson.encode, DOCUMENTS)),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_documents(raw: bytes, packed: bool) -> None:
    assert documents(gzip.compress(raw) if packed else raw) == DOCUMENTS


BROKEN: dict[str, tuple[bytes, int, list[tuple[str, str]]]] = {  # bytes, documents read, what is unreadable
    "nothing": (b"", 0, []),
    "an empty array": (b"[]\n", 0, []),
    "a line that is no JSON": (b'{"a": 1}\noops\n{"a": 2}\n', 2, [("line 2", "not JSON: Expecting value at column 1")]),
    "a line cut in a string": (
        b'{"a": 1}\n{"a": "cu\n{"a": 2}',
        2,
        [("line 2", "not JSON: Unterminated string starting at at column 7")],
    ),
    "a value that is no object": (b'{"a": 1}\n[1]\n', 1, [("line 2", "not an object")]),
    "members of an array that are no objects": (b'[{"a": 1},\n 7, {"a": 2}]', 2, [("line 2", "not an object")]),
    "an array cut in an object": (b'[{"a": 1},\n{"a": ', 1, [("line 2", "not JSON: Expecting value at column 6")]),
    "an array cut in a string": (
        b'[{"a": 1},\n{"a": "x',
        1,
        [("line 2", "not JSON: Unterminated string starting at at column 7")],
    ),
    "not UTF-8": (b'{"a": "\xff"}\n{"a": 1}', 1, [("line 1", "not UTF-8: invalid start byte at byte 7")]),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), 0, [("byte 0", "this is UTF-16 text; save it as UTF-8")]),
    "a mongodump archive": (
        b"\x6d\xe2\x99\x81" + bytes(30),
        0,
        [("byte 0", "this is a mongodump --archive file; dump without --archive")],
    ),
    "nested without end": (b'{"a":' * 100_000 + b'\n{"a": 1}', 1, [("line 1", "nested too deeply")]),
    "BSON cut short": (
        bson.encode({"a": 1}) * 2 + b"\x0c\0\0\0\x10",
        2,
        [("byte 24", "the file ends 7 bytes too early")],
    ),
    "BSON, then something else": (
        bson.encode({"a": 1}) + b"what is this",
        1,
        [("byte 12", "no BSON document starts here; the rest of the file is left out")],
    ),
}


@pytest.mark.parametrize(("raw", "readable", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_and_the_rest_is_read(
    raw: bytes, readable: int, expected: list[tuple[str, str]]
) -> None:
    assert len(documents(raw)) == readable
    assert [where for where, _ in unreadable(raw)] == [where for where, _ in expected]
    assert [why for _, why in unreadable(raw)] == [why for _, why in expected]


def test_damaged_bson_costs_one_document() -> None:
    good, bad = bson.encode({"a": "text"}), bytearray(bson.encode({"a": "text"}))
    bad[11] = 0xFF  # not UTF-8
    (where, why), *rest = unreadable(good + bytes(bad) + good)
    assert where == f"byte {len(good)}"
    assert "damaged BSON" in why
    assert not rest
    assert len(documents(good + bytes(bad) + good)) == 2


def test_a_gzip_that_ends_early_keeps_what_was_read() -> None:
    packed = gzip.compress(b'{"a": 1}\n' * 10_000, compresslevel=0)
    cut = packed[: len(packed) // 2]
    assert len(documents(cut)) > 3000
    assert unreadable(cut)[-1][0] == "the rest"


def test_extended_json_that_cannot_be_is_named() -> None:
    assert unreadable(b'{"a": {"$date": "soon"}}')[0][1].startswith("not Extended JSON")


def test_a_date_after_year_9999_is_kept() -> None:
    raw = b'{"d": {"$date": {"$numberLong": "999999999999999"}}}'
    assert documents(raw) == [{"d": DatetimeMS(999999999999999)}]


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert documents(b'{"a": ["cut \\ud83d"]}\n{"b": 1}') == [{"a": ["cut \ufffd"]}, {"b": 1}]


KEYS = st.text(max_size=5).filter(lambda key: not key.startswith("$"))
VALUES = st.recursive(st.text(max_size=5) | st.integers(), st.lists, max_leaves=4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=4), st.sampled_from([None, 1]), st.integers(1, 40))
def test_an_array_reads_the_same_in_whatever_pieces_it_arrives(
    values: list[dict[str, Any]], indent: int | None, size: int
) -> None:
    class Slow(io.RawIOBase):
        def __init__(self, raw: bytes) -> None:
            self.raw = io.BytesIO(raw)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            piece = self.raw.read(min(size, len(buffer)))
            buffer[: len(piece)] = piece
            return len(piece)

    raw = json.dumps(values, indent=indent, ensure_ascii=False).encode()
    found = list(read_documents(io.BufferedReader(Slow(raw))))
    assert [piece.document for piece in found if isinstance(piece, Found)] == values
    assert len(found) == len(values)


LINES = [json.dumps({"i": i, "text": "some words " * (i % 7)}).encode() + b"\n" for i in range(1000)]


def test_gzip_members_and_what_stands_behind_them() -> None:
    first, second = gzip.compress(b"".join(LINES[:500])), gzip.compress(b"".join(LINES[500:]))
    for packed in (first + second, first + second + b"\n", first + bytes(512) + second + bytes(100)):
        assert len(documents(packed)) == 1000
        assert unreadable(packed) == []
    assert len(documents(first + second + b"what is this")) == 1000
    assert unreadable(first + second + b"what is this")[0][1].endswith("what stands behind the gzipped data is none")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_every_whole_document_before_a_cut_is_read(share: float) -> None:
    packed = gzip.compress(b"".join(LINES))
    cut = packed[: round(len(packed) * share)]
    whole = zlib.decompressobj(wbits=31).decompress(cut).count(b"\n")
    assert len(documents(cut)) >= whole > 0
    assert unreadable(cut)[-1] == ("the rest", "the gzipped data is damaged: it ends too early")


def test_what_comes_before_a_damaged_byte_is_read() -> None:
    packed = bytearray(gzip.compress(b"".join(LINES), compresslevel=0))
    packed[len(packed) - 4] ^= 0xFF  # the length at the end
    assert len(documents(bytes(packed))) == 1000
    assert "damaged" in unreadable(bytes(packed))[-1][1]


OTHERS = {
    "CSV": (b"session_id,t\na,5\n", "CSV"),
    "semicolons": (b"session_id;t;type\na;5;x\n", "CSV"),
    "tabs": (b"session_id\tt\na\t5\n", "TSV"),
    "Parquet": (b"PAR1\x15\x04", "Parquet"),
    "zip": (b"PK\x03\x04" + bytes(30), "zip"),
    "SQLite": (b"SQLite format 3\0" + bytes(100), "SQLite"),
    "an archive, gzipped": (gzip.compress(b"\x6d\xe2\x99\x81" + bytes(30)), "mongodump --archive"),
    "gzip twice": (gzip.compress(gzip.compress(b"{}")), "a gzip file in a gzip file"),
    "zlib": (zlib.compress(b"{}" * 9), "zlib's data"),
    "zlib, best": (zlib.compress(b"{}" * 9, 9), "zlib's data"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(9), "an lz4 file"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd"),
    "HTML": (b"<!doctype html>", "HTML"),
}


@pytest.mark.parametrize("text", range(20, 70))
def test_no_length_of_a_document_is_taken_for_another_kind(text: int) -> None:
    raw = bson.encode({"text": "x" * text})  # 60 bytes begin as HTML does
    assert len(documents(raw)) == 1


@pytest.mark.parametrize(("raw", "kind"), OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_kind_is_named_once(raw: bytes, kind: str) -> None:
    ((where, why),) = unreadable(raw)
    assert where == "byte 0"
    assert kind in why
    assert documents(raw) == []


def test_documents_without_a_newline_between() -> None:
    assert documents(b'{"a": 1}{"b": "}{"} {"c": {"d": 2}}\n{"e": 3}') == [
        {"a": 1},
        {"b": "}{"},
        {"c": {"d": 2}},
        {"e": 3},
    ]


def test_a_string_of_many_megabytes_is_looked_at_once() -> None:
    raw = json.dumps([{"a": "x" * 20_000_000}, {"b": '\\"' * 1_000_000}]).encode()
    began = time.perf_counter()
    assert [list(each) for each in documents(raw)] == [["a"], ["b"]]
    assert time.perf_counter() - began < 60  # read anew with every piece that arrives it takes minutes
