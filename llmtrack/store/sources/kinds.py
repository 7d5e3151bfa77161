"""Files that hold no session documents: what each is, told by its first bytes, and what to do with it."""

from __future__ import annotations

import csv
import io
from typing import Final

SQLITE: Final = b"SQLite format 3\0"
_UNPACK: Final = "unpack it and name the file in it"
_MAGIC: Final = (
    (b"\x6d\xe2\x99\x81", "a mongodump --archive file; dump without --archive"),
    (b"PAR1", "a Parquet file; name the archive's folder, or turn its rows into JSON lines (docs/importing.md)"),
    (SQLITE, "an SQLite database; of those only Open WebUI's webui.db is read"),
    (b"PK\x03\x04", f"a zip file; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd file; {_UNPACK}"),
    (b"\x1f\x8b", "a gzip file in a gzip file; unpack it once"),  # the outer one is read
    *((b"x" + level, f"zlib's data; {_UNPACK}") for level in (b"\x01", b"\x9c", b"\xda")),
    (b"\x04\x22\x4d\x18", f"an lz4 file; {_UNPACK}"),
    (b"Rar!", f"a RAR file; {_UNPACK}"),
    (b"BZh", f"a bzip2 file; {_UNPACK}"),
    (b"\xfd7zXZ\0", f"an xz file; {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z file; {_UNPACK}"),
    (b"%PDF-", "a PDF"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"ARROW1", "an Arrow file; turn its rows into JSON lines (docs/importing.md)"),
    (b"OBJ\x01", "an Avro file; turn its rows into JSON lines (docs/importing.md)"),
    (b"<", "HTML or XML"),
)


_BSON_TYPES: Final = frozenset([0, *range(1, 0x14), 0x7F, 0xFF])


def is_bson(head: bytes) -> bool:
    """Whether a BSON document stands here: a length under 16 MB and the type of its first field."""
    wide = head.startswith(b"\xff\xfe") and head[5:6] == b"\0"  # UTF-16 text
    return len(head) > 4 and head[3] == 0 and head[4] in _BSON_TYPES and not wide and head[257:262] != b"ustar"


def other_kind(head: bytes) -> str | None:
    """What a file with these first bytes is, and what to do; None when it may hold documents."""
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return f"a tar file; {_UNPACK}"
    return _table(head)


def _table(head: bytes) -> str | None:
    """CSV: a first line of names, a second one of as many values."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()
    if not text or text[0] in "{[" or "\n" not in text:
        return None
    for delimiter, kind in ((",", "a CSV file"), ("\t", "a TSV file"), (";", "a CSV file")):
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))[:2]
        except csv.Error:
            return None
        if len(rows) == 2 and len(rows[0]) == len(rows[1]) > 1 and all(rows[0]):
            return f"{kind}; turn its rows into JSON lines (docs/importing.md)"
    return None
