"""`llmtrack sessions`: which sessions are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.cautions import cleaning, remarks
from llmtrack.cli.drawing.formats import Column, Format, emit, write
from llmtrack.cli.drawing.listing import WIDE, fitting, shortened
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import PIPED_WIDTH, console, note
from llmtrack.cli.drawing.text import line as text
from llmtrack.cli.listed import Sort, listed, summaries, told
from llmtrack.cli.listed import rows as ordered
from llmtrack.cli.options import Output, Scope, shared
from llmtrack.cli.reading import reading
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.visits import document_of, numbered_id

if TYPE_CHECKING:
    from llmtrack.sessions import Sessions
    from llmtrack.store.sources.source import Source


KEYS = (
    "session_id", "user_id", "model_group", "experiment_id", "device", "browser", "os", "start_time", "end_time",
    "end_estimated", "open", "duration_s", "active_s", "waiting_s", "reading_s", "away_s", "events", "chats",
    "prompts", "responses", "errors", "unanswered", "copies", "clicks", "latency_p50_ms", "exit_reason",
)  # fmt: skip


@shared
def sessions(
    scope: Scope,
    output: Output,
    sort: Annotated[
        Sort,
        typer.Option(
            metavar="NAME", help="start: newest first; duration, active, prompts, copies, errors: most first."
        ),
    ] = Sort.start,
    limit: Annotated[int, typer.Option(help="So many at most; 0: all.", min=0, metavar="N")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print a line whenever one begins or ends; from a database.")
    ] = False,
) -> None:
    """List sessions, newest first. The id is cut where it is still unique: `llmtrack replay` takes it as it stands.

    CSV and JSON have whole ids and more columns; docs/numbers.md says what each number means.

    Example: llmtrack sessions --last 7d --sort copies --limit 10
    """
    with reading(scope) as asked:
        if follow:
            _follow(asked, output)
        found, matched = listed(asked, sort, limit)
        table, tally = summaries(found)
        rows = ordered(told(table, asked, tally), sort, limit)
        for row, short in zip(rows, _short_ids(rows, found.source, output.kind), strict=True):
            row["id"] = short
        remarks(found, tally, output.quiet)
        for _, told_away in asked.away():
            note(told_away, output.quiet)
    matched = tally.sessions if matched is None else matched
    columns = {
        Format.table: fitting(rows, PIPED_WIDTH if output.out else console().width),
        Format.csv: [Column(key, key) for key in KEYS],
    }.get(output.kind, WIDE)
    document = {
        "command": "sessions",
        "source": found.source.name,
        "filters": found.filters.as_dict(),
        "sort": sort.value,
        "matched": matched,
        "unreadable": tally.unreadable,
        "excluded": tally.excluded,
        "repaired": tally.repaired,
        "sessions": [{key: row[key] for key in KEYS} for row in rows],
    }
    if rows or output.kind is not Format.table:
        emit(rows, columns, document, format=output.kind, out=output.out, delimiter=output.delimiter)
    for line in cleaning(tally.excluded, tally.repaired):
        note(line.plain, output.quiet)
    if rows:
        more = "" if len(rows) == matched else "; all with --limit 0"
        note(f"{len(rows):,} of {many(matched, 'session')}{more}. Play one: llmtrack replay ID", output.quiet)


def _follow(asked: Sessions, output: Output) -> None:
    import time

    from llmtrack.cli.replay.follow import begun_and_ended

    if output.kind is not Format.table or output.out:
        raise UsageError("--follow prints lines as they come.", "Leave --format and --out away.")
    for happened in begun_and_ended(asked, time.sleep):
        write(f"{text(happened)}\n")


def _short_ids(rows: Sequence[Mapping[str, Any]], source: Source, format: Format) -> list[str]:
    """The ids of the rows, cut where they are still unique among all sessions, not only among those wanted."""
    ids = [row["session_id"] for row in rows]
    if format in (Format.json, Format.csv) or not rows:
        return ids
    documents = [document_of(each) or (each, 1) for each in ids]
    names = [name for name, _ in documents]
    cut = shortened(names, source.beside(names))
    return [numbered_id(short, number) for short, (_, number) in zip(cut, documents, strict=True)]
