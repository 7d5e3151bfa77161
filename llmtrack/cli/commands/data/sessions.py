"""`llmtrack sessions`: which sessions are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.cautions import cleaning, remarks
from llmtrack.cli.drawing.formats import Column, Format, emit, write
from llmtrack.cli.drawing.listing import WIDE, fitting, shortened, showing
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import PIPED_WIDTH, console, note
from llmtrack.cli.drawing.text import line as printable
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
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round: oldest or fewest first.")] = False,
    text: Annotated[
        str | None, typer.Option("--text", metavar="REGEX", help="With this in a question or an answer.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EVENT", help="With this event: 'copy[…]', as in a funnel's step; repeatable."),
    ] = None,
    min_prompts: Annotated[int, typer.Option(min=0, metavar="N", help="With so many prompts or more.")] = 0,
    exit: Annotated[
        str | None, typer.Option(metavar="REASON", help="Ended so: after_copy, waiting, silent, … (docs/numbers.md).")
    ] = None,
    rating: Annotated[str | None, typer.Option(metavar="up|down", help="With an answer rated so.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print a line whenever one begins or ends; from a database.")
    ] = False,
) -> None:
    """List sessions, newest first. The id is cut where it is still unique: `llmtrack replay` takes it as it stands.

    CSV and JSON have whole ids and more columns; docs/numbers.md says what each number means.

    Example: llmtrack sessions --last 7d --event 'copy|selection' --min-prompts 3 --sort active
    """
    from llmtrack.analysis.happened import Happened

    happened = Happened(text=text, events=tuple(event or ()), min_prompts=min_prompts, exit=exit, rating=rating)
    with reading(scope) as asked:
        if follow:
            if happened or reverse:
                raise UsageError("--follow shows all that begin and end.", "Leave what filters by events away.")
            _follow(asked, output)
        found, matched = listed(asked, sort, limit, every=reverse or bool(happened))
        table, tally = summaries(found, happened)
        rows = ordered(told(table, asked, tally), sort, limit, reverse)
        for row, short in zip(rows, _short_ids(rows, found.source, output.kind), strict=True):
            row["id"] = short
        remarks(found, tally, output.quiet)
        for _, told_away in asked.away():
            note(told_away, output.quiet)
    matched = len(table["session_id"]) if matched is None else matched
    columns = {
        Format.table: fitting(rows, PIPED_WIDTH if output.out else console().width, sort.column),
        Format.csv: [Column(key, key) for key in KEYS],
    }.get(output.kind, showing(WIDE, sort.column)[0])
    document = {
        "command": "sessions",
        "source": found.source.name,
        "filters": found.filters.as_dict(),
        "happened": happened.as_dict(),
        "sort": sort.value,
        "reverse": reverse,
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
    if happened and tally.sessions and not rows:
        note(f"In none of {many(tally.sessions, 'session')} that happened.", output.quiet)
    if rows:
        more = "" if len(rows) == matched else "; all with --limit 0"
        note(f"{len(rows):,} of {many(matched, 'session')}{more}. Play one: llmtrack replay ID", output.quiet)


def _follow(asked: Sessions, output: Output) -> None:
    import time

    from llmtrack.cli.replay.follow import begun_and_ended

    if output.kind is not Format.table or output.out:
        raise UsageError("--follow prints lines as they come.", "Leave --format and --out away.")
    for what in begun_and_ended(asked, time.sleep):
        write(f"{printable(what)}\n")


def _short_ids(rows: Sequence[Mapping[str, Any]], source: Source, format: Format) -> list[str]:
    """The ids of the rows, cut where they are still unique among all sessions, not only among those wanted."""
    ids = [row["session_id"] for row in rows]
    if format in (Format.json, Format.csv) or not rows:
        return ids
    documents = [document_of(each) or (each, 1) for each in ids]
    names = [name for name, _ in documents]
    cut = shortened(names, source.beside(names))
    return [numbered_id(short, number) for short, (_, number) in zip(cut, documents, strict=True)]
