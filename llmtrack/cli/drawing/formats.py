"""How results leave: a table for people, JSON, CSV or markdown for programs; no text commands a terminal."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmtrack.cli.drawing.target import beside
from llmtrack.cli.drawing.terminal import console
from llmtrack.cli.drawing.text import _UNSAFE, line, safe
from llmtrack.errors import UsageError
from llmtrack.session.jsonable import jsonable

if TYPE_CHECKING:
    from llmtrack.cli.options import Output


BOM = "\ufeff"  # without it Excel reads a CSV file in the machine's own code page; pandas, R and DuckDB skip it
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")  # full-width forms, too
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")


class Format(StrEnum):
    """What --format takes."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    html = "html"
    cast = "cast"  # of a terminal, for asciinema: version 2, which every player reads
    cast3 = "cast3"


ENDINGS = {  # of --out, and what they mean
    "": Format.table, ".txt": Format.table, ".json": Format.json, ".csv": Format.csv, ".md": Format.markdown,
    ".markdown": Format.markdown, ".html": Format.html, ".htm": Format.html, ".cast": Format.cast,
}  # fmt: skip


class Column(NamedTuple):
    """One column of a result: its key in the rows, its title and wording for people."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    fold: bool = False  # long text: the only kind of column that gives way on a narrow terminal


def emit(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    document: Mapping[str, Any],
    *,
    format: Format = Format.table,
    out: Path | None = None,
    delimiter: str = ",",
    below: Sequence[str] = (),
) -> None:
    """Print a result in the format asked for, to stdout or to the file `out`.

    JSON is `document`; the others are the `columns` of `rows`: CSV as values, table and markdown as their `show` says.
    `below`: sentences under the table of markdown and html.
    A missing value (None, NaN) is null, an empty cell, or "-". Raises LlmtrackError when `out` cannot be written.
    """
    if format is Format.table:
        table(rows, columns, out)
    elif format is Format.json:
        write(as_json(document) + "\n", out)
    elif format is Format.csv:
        write((BOM if out else "") + as_csv(rows, [column.key for column in columns], delimiter), out)
    elif format is Format.html:
        write(as_html(rows, columns, str(document.get("command", "llmtrack")), below), out)
    elif format is Format.markdown:
        write(as_markdown(rows, columns, below), out)
    else:
        raise UsageError(f"Only a replay can be a {format}.", "Choose another --format, or another ending of --out.")


def tell(document: Mapping[str, Any], sentence: str, output: Output) -> None:
    """What a command did: a sentence for people, unless they want quiet; its document for programs."""
    if output.kind is Format.table and output.quiet and not output.out:
        return
    if output.kind is Format.table:
        write(f"{sentence}\n", output.out)
    else:
        emit(
            [document],
            [Column(key, key) for key in document],
            document,
            format=output.kind,
            out=output.out,
            delimiter=output.delimiter,
        )


def write(text: str, out: Path | None = None) -> None:
    """Text as it is, to stdout or to the file `out`."""
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with beside(out, force=True) as file:  # whether it may be replaced was asked before (Output.check)
        file.write(text.encode("utf-8", "backslashreplace"))


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


def as_csv(rows: Iterable[Mapping[str, Any]], keys: Sequence[str], delimiter: str = ",") -> str:
    """RFC 4180 with a header. Texts are quoted, so that no program takes a part of one for a cell of its own.

    A text that a spreadsheet would take for a formula gets a leading apostrophe.
    """
    header = delimiter.join(_plain(key) for key in keys)
    lines = (delimiter.join(_cell(row.get(key)) for key in keys) for row in rows)
    return "".join(f"{line}\r\n" for line in (header, *lines))


def as_markdown(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], below: Sequence[str] = ()) -> str:
    """A pipe table, and sentences as a list; people's texts are escaped, newlines become <br>."""
    lines = [
        [_escaped(column.title) for column in columns],
        ["---:" if column.right else "---" for column in columns],
        *([_escaped(_shown(column, row, _lines)) for column in columns] for row in rows),
    ]
    told = "".join(f"- {_escaped(line(each))}\n" for each in below)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + (f"\n{told}" if told else "")


def as_html(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], title: str, below: Sequence[str] = ()) -> str:
    """A page with one table, and sentences as a list; people's texts are escaped."""
    from llmtrack.cli.html import page

    head = "".join(f'<th scope="col">{escape(column.title)}</th>' for column in columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td{_number(column)}>{escape(_shown(column, row))}</td>" for column in columns) + "</tr>"
        for row in rows
    )
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    told = "\n".join(f"<li>{escape(line(each))}</li>" for each in below)
    listed = f"<ul>\n{told}\n</ul>\n" if told else ""
    heading = f"<h1>llmtrack {escape(title)}</h1>"
    return page(
        f"llmtrack {title}",
        f'<main>\n{heading}\n<div class="scroll" tabindex="0">\n{table}\n</div>\n{listed}</main>',
    )


def _number(column: Column) -> str:
    return ' class="number"' if column.right else ""


def _cell(value: Any) -> str:
    value = jsonable(value)
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else str(value)
    text = safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return _quoted(f"'{text}" if _FORMULA.match(text) else text)


def _plain(name: str) -> str:
    """The name of a column; quoted where it has to be."""
    cell = _cell(name)
    return cell[1:-1] if name.isidentifier() else cell


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _shown(column: Column, row: Mapping[str, Any], kept: Callable[[object], str] = line) -> str:
    value = row.get(column.key)
    missing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return "-" if missing else kept(column.show(value))


def _lines(text: object) -> str:
    return "\n".join(line(each) for each in safe(text).strip().split("\n"))


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text).replace("\n", "<br>")


def _without_trailing_space(text: str) -> str:
    return "".join(f"{row.rstrip()}\n" for row in text.splitlines())
