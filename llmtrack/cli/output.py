"""How results leave: a table for people, JSON, CSV or markdown for programs; no text commands a terminal."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmtrack.errors import LlmtrackError
from llmtrack.jsonable import jsonable

if TYPE_CHECKING:
    from rich.console import Console

# Controls (C0 but tab and newline, DEL, C1), bidi overrides and marks, line and paragraph separators, lone surrogates
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# The whole of an escape sequence, so that its letters do not stay behind: CSI; OSC, DCS, … up to their end; two bytes
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")
PIPED_WIDTH = 10_000  # columns: what reads a pipe wants whole cells


class Format(StrEnum):
    """What --format takes."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


class Column(NamedTuple):
    """One column of a result: its key in the rows, its title and wording for people."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    fold: bool = False  # long text: the only kind of column that gives way on a narrow terminal


def safe(text: object) -> str:
    """Text without what could command a terminal: escape sequences, controls, bidi overrides.

    Tabs and newlines stay; carriage returns before a newline go.

    >>> safe("\\x1b[31mred\\x1b[0m \\x1b]8;;http://x\\x07link\\u202e")
    'red link'
    """
    return _UNSAFE.sub("", _SEQUENCE.sub("", str(text)))


def line(text: object) -> str:
    """`safe` text on one line: every run of white space becomes one space."""
    return " ".join(safe(text).split())


def emit(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    document: Mapping[str, Any],
    *,
    format: Format = Format.table,
    out: Path | None = None,
) -> None:
    """Print a result in the format asked for, to stdout or to the file `out`.

    JSON is `document`; the others are the `columns` of `rows`: CSV as values, table and markdown as their `show` says.
    A missing value (None, NaN) is null, an empty cell, or "-". Raises LlmtrackError when `out` cannot be written.
    """
    if format is Format.table:
        table(rows, columns, out)
    elif format is Format.json:
        write(as_json(document) + "\n", out)
    elif format is Format.csv:
        write(as_csv(rows, [column.key for column in columns]), out)
    else:
        write(as_markdown(rows, columns), out)


def write(text: str, out: Path | None = None) -> None:
    """Text as it is, to stdout or to the file `out`."""
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        out.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise LlmtrackError(
            f"Cannot write {str(out)!r}: {error.strerror}.", "Choose another file with --out."
        ) from None


def note(text: str, quiet: bool = False) -> None:
    """A remark beside the data: one line on stderr."""
    if not quiet:
        print(safe(text), file=sys.stderr)


def console(stream: io.StringIO | None = None) -> Console:
    """A rich console on stdout, or on `stream` for a file; without markup, guesses and links in people's texts.

    Off a terminal it is wide enough never to break a line, unless COLUMNS says how wide to be. NO_COLOR and TERM are
    rich's to honour.
    """
    from rich.console import Console

    settings: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}
    if stream is not None:
        return Console(file=stream, width=PIPED_WIDTH, force_terminal=False, color_system=None, **settings)
    screen = Console(**settings)
    if not screen.is_terminal:
        screen.width = shutil.get_terminal_size((PIPED_WIDTH, 0)).columns  # COLUMNS, when it is set
    return screen


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], out: Path | None = None) -> None:
    """Rows for people: aligned columns, cut to the terminal's width; whole when piped or in a file."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", border_style="dim")
    for column in columns:
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold" if column.fold else "ellipsis",
            no_wrap=not column.fold,
        )
    for row in rows:
        drawn.add_row(*(Text(_shown(column, row)) for column in columns))
    if out is None:
        console().print(drawn)
        return
    stream = io.StringIO()
    console(stream).print(drawn)
    write(_without_trailing_space(stream.getvalue()), out)


def as_json(document: Any) -> str:
    """JSON, indented; other alphabets stay readable, what could command a terminal is escaped."""
    text = json.dumps(jsonable(document), ensure_ascii=False, allow_nan=False, indent=2)
    return _UNSAFE.sub(lambda unsafe: f"\\u{ord(unsafe[0]):04x}", text)


def as_csv(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """RFC 4180 with a header. A text that a spreadsheet would take for a formula gets a leading apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_cell(key) for key in keys])
    writer.writerows([_cell(row.get(key)) for key in keys] for row in rows)
    return text.getvalue()


def as_markdown(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """A pipe table; people's texts are escaped, newlines become <br>."""
    lines = [
        [_escaped(column.title) for column in columns],
        ["---:" if column.right else "---" for column in columns],
        *([_escaped(_shown(column, row)) for column in columns] for row in rows),
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(value: Any) -> Any:
    value = jsonable(value)
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    text = safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _shown(column: Column, row: Mapping[str, Any]) -> str:
    value = row.get(column.key)
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return "-" if missing else line(column.show(value))


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text).replace("\n", "<br>")


def _without_trailing_space(text: str) -> str:
    return "".join(f"{row.rstrip()}\n" for row in text.splitlines())


def duration(seconds: float | None) -> str:
    """A length of time for people; "-" when missing.

    >>> [duration(s) for s in (0.25, 2.5, 18.2, 240, 930, 7500, 200_000)]
    ['0.3 s', '2.5 s', '18 s', '4 min', '15 min 30 s', '2 h 5 min', '2 days 7 h']
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 9.95:
        return f"{_half_up(seconds * 10) / 10:g} s"
    whole = _half_up(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 48 * 3600:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86400, "days", 3600, "h")


def clock(seconds: float) -> str:
    """A position in a visit.

    >>> [clock(s) for s in (0, 12.34, 75, 3723.4)]
    ['0:00.0', '0:12.3', '1:15.0', '1:02:03.4']
    """
    sign, tenths = ("-" if seconds < -0.05 else ""), _half_up(abs(seconds) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{sign}{start}:{tenths // 10:02}.{tenths % 10}"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in one unit: "now", "5 min ago", "3 h ago", "2 days ago", or the date after 30 days."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    if seconds < 0 or seconds >= 30 * 86400:
        return f"{moment:%Y-%m-%d}"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {'day' if unit == 'days' and count == 1 else unit} ago"
    return "now"


def many(count: int, one: str, more: str = "") -> str:
    """A count with its noun.

    >>> many(1, "prompt"), many(1234, "prompt"), many(2, "copy", "copies")
    ('1 prompt', '1,234 prompts', '2 copies')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _two(seconds: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    first, rest = divmod(seconds, big)
    second = rest // small
    unit = "day" if (first, big_unit) == (1, "days") else big_unit
    return f"{first} {unit} {second} {small_unit}" if second else f"{first} {unit}"


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
