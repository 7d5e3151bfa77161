"""`llmtrack export`: sessions, events or turns as a table for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from llmtrack.cli.drawing.cautions import remarks
from llmtrack.cli.drawing.files import csv_header, csv_rows, jsonl_rows
from llmtrack.cli.drawing.formats import BOM
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.progress import progress
from llmtrack.cli.drawing.target import beside, check_target
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.options import Delimiter, Quiet, Scope, shared
from llmtrack.cli.reading import reading, redactor
from llmtrack.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmtrack.analysis.export.columns import Column
    from llmtrack.analysis.export.redact import Redactor
    from llmtrack.analysis.parts import Part
    from llmtrack.session.tally import Tally

    Write = Callable[[pd.DataFrame], None]


class Table(StrEnum):
    """What can be exported: a row a session, an event or a turn."""

    sessions = "sessions"
    events = "events"
    turns = "turns"


class FileFormat(StrEnum):
    """What --format takes."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


@shared
def export(
    scope: Scope,
    table: Annotated[Table, typer.Argument(help="sessions, events or turns: what a row is.", metavar="TABLE")],
    format: Annotated[
        FileFormat | None,
        typer.Option(metavar="FORMAT", help="csv, jsonl, parquet; default: as FILE ends, or csv."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file, not to stdout.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these columns, in this order: session_id,prompts.")
    ] = None,
    redact: Annotated[
        bool,
        typer.Option("--redact", help="No texts and no ids: keyed hashes and pseudonyms (LLMTRACK_REDACT_KEY)."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE when it is there already.")] = False,
    delimiter: Delimiter = ",",
    quiet: Quiet = False,
) -> None:
    """Write one row a session, an event or a turn (a prompt with its answer) as CSV, JSONL or Parquet.

    The file appears when it is complete; one that is there is never replaced without --force. docs/export.md describes
    every column. In CSV a text that a spreadsheet would take for a formula begins with an apostrophe.

    Example: llmtrack export turns --last 7d --out turns.parquet
    """
    from llmtrack.analysis.export.tables import Export, choose, rows_of

    kind = _format(format, out)
    chosen = choose(table, [name.strip() for name in columns.split(",")] if columns is not None else None)
    if out is not None:
        check_target(out, force, scope.source or ())
    report = Export(table=table.value, columns=tuple(column.name for column in chosen))
    with reading(scope) as sessions:
        hidden = redactor(sessions.settings) if redact else None
        with _target(kind, out, force, hidden.columns(chosen) if hidden else chosen, delimiter) as write:
            recorded = sessions.source_records(report.looked_for)
            rows_in = partial(rows_of, table=table.value, recorded=recorded)
            rows, tally = _copy(sessions.parts(report), rows_in, chosen, hidden, write, quiet)
        remarks(sessions, tally, quiet)
    if out is not None:
        written = many(rows, table.removesuffix("s"))
        of = "" if table is Table.sessions else f" of {many(tally.sessions, 'session')}"
        note(f"{written}{of} written to {out}", quiet)


def _format(format: FileFormat | None, out: Path | None) -> FileFormat:
    ending = out.suffix.lower().removeprefix(".") if out else ""
    meant = next((each for each in FileFormat if each == ending), None)
    if out is not None and format is None and meant is None:
        raise UsageError(f"No format ends in {out.suffix!r}.", "Endings: .csv, .jsonl, .parquet; or give --format.")
    if format is not None and meant is not None and format is not meant:
        raise UsageError(f"{str(out)!r} does not end in {format}.", "Leave --format away, or rename it.")
    kind = format or meant or FileFormat.csv
    if kind is FileFormat.parquet and out is None:
        raise UsageError("Parquet is not for a terminal or a pipe.", "Name a file with --out.")
    return kind


@contextmanager
def _target(
    kind: FileFormat, out: Path | None, force: bool, columns: tuple[Column, ...], delimiter: str
) -> Iterator[Write]:
    """Where the rows go: a function that takes them batch by batch."""
    as_csv = kind is FileFormat.csv
    as_text = partial(csv_rows, delimiter=delimiter) if as_csv else jsonl_rows
    header = csv_header(columns, delimiter) if as_csv else ""
    if out is None:
        sys.stdout.write(header)
        yield lambda rows: print(as_text(rows, columns), end="")
        return
    with ExitStack() as open_files:
        file = open_files.enter_context(beside(out, force))
        if kind is FileFormat.parquet:
            from llmtrack.store.table_file import ParquetTable

            types = {column.name: column.type for column in columns}
            yield open_files.enter_context(ParquetTable(file, types)).write
            return
        file.write(f"{BOM if header else ''}{header}".encode())
        yield lambda rows: _write(file, as_text(rows, columns))


def _write(file: IO[bytes], text: str) -> None:
    file.write(text.encode())


def _copy(
    parts: Iterable[Part],
    rows_of: Callable[[Part], pd.DataFrame],
    columns: tuple[Column, ...],
    hidden: Redactor | None,
    write: Write,
    quiet: bool,
) -> tuple[int, Tally]:
    """All rows, part by part; how many they are, and what was counted on the way."""
    from llmtrack.session.tally import total

    count, tallies = 0, []
    with progress("sessions", quiet) as show:
        for part in parts:
            rows = rows_of(part)
            write(hidden.table(rows, columns) if hidden else rows)
            count += len(rows)
            tallies.append(part.tally)
            show(sum(tally.sessions for tally in tallies))
    return count, total(tallies)
