"""How a report leaves: its own drawing on a terminal, its rows as CSV and markdown, its document as JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.cautions import remarks
from llmtrack.cli.drawing.formats import Column, Format, emit, write
from llmtrack.cli.drawing.terminal import console, note

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.result import Result
    from llmtrack.cli.options import Output
    from llmtrack.sessions import Sessions

FILE_WIDTH = 100  # columns of a table in a file


def _rows(found: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.to_frame().to_dict("records")  # type: ignore[assignment] # keys are names
    return rows


def _document(found: Result) -> Mapping[str, Any]:
    return found.to_dict()


@dataclass(frozen=True)
class Drawing:
    """How one report is shown: `lines` of its result for a terminal of some width, `columns` of its `rows`."""

    columns: Sequence[Column]
    lines: Callable[..., Iterable[Text]]  # (result, width, **about)
    rows: Callable[[Any], Sequence[Mapping[str, Any]]] = _rows
    document: Callable[[Any], Mapping[str, Any]] = _document
    also_none: bool = False  # also drawn where there are no sessions
    conclusions: Callable[[Any], Sequence[str]] = lambda found: ()  # under the table of markdown and html: sentences
    whole: Sequence[str] = ()  # keys of all columns of the rows: CSV has those beside too


def show(
    command: str, sessions: Sessions, found: Result, output: Output, drawing: Drawing | None = None, **about: Any
) -> None:
    """The result of a report in the format asked for; without a drawing, the table of its to_frame().

    Stderr says which documents could not be read, or why there are no sessions: while the source is open.
    `about` (the settings of the report) stands in JSON and is told to `lines`.
    """
    remarks(sessions, found.tally, output.quiet, warned=True)
    if output.kind is Format.table:
        if not found.tally.sessions and not (drawing and drawing.also_none):
            return  # stderr says why
        if drawing is None:
            emit(_rows(found), _plain(_rows(found)), {}, out=output.out)
        else:
            width = FILE_WIDTH if output.out else console().width
            draw(drawing.lines(found, width, **about), output.out)
        return
    for warning in found.warnings:
        note(warning.text, output.quiet)
    rows = drawing.rows(found) if drawing else _rows(found)
    columns = drawing.columns if drawing else _plain(rows)
    if drawing and output.kind is Format.csv:
        shown = {column.key for column in columns}
        columns = [*columns, *(Column(key, key) for key in drawing.whole if key not in shown)]
    read = {"command": command, "source": sessions.source.name, "filters": sessions.filters.as_dict()}
    document = {**read, **about, **(drawing.document if drawing else _document)(found)}
    told = drawing.conclusions(found) if drawing else ()
    emit(rows, columns, document, format=output.kind, out=output.out, delimiter=output.delimiter, below=told)


def _plain(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """A column each for the keys of the rows."""
    return [
        Column(key, key.replace("_", " "), _worded, right=isinstance(value, int | float))
        for key, value in (rows[0] if rows else {}).items()
    ]


def _worded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw(parts: Iterable[Text], out: Path | None) -> None:
    """Tables and lines on the terminal, or plain in the file `out`."""
    stream = io.StringIO() if out else None
    drawn = console(stream=stream)
    for part in parts:
        drawn.print(part)
    if stream is not None:
        write("".join(f"{row.rstrip()}\n" for row in stream.getvalue().splitlines()), out)
