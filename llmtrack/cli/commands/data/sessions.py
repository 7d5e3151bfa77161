"""`llmtrack sessions`: which sessions are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.cautions import cleaning, remarks
from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.listing import WIDE, fitting, shortened
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import PIPED_WIDTH, console, note
from llmtrack.cli.options import Output, Scope, shared
from llmtrack.cli.reading import reading

if TYPE_CHECKING:
    from llmtrack.session.tally import Tally
    from llmtrack.sessions import Sessions
    from llmtrack.store.sources.source import Source


class Sort(StrEnum):
    """What --sort takes; all but start put the largest first, start the newest."""

    start = "start"
    duration = "duration"
    active = "active"
    prompts = "prompts"
    copies = "copies"
    errors = "errors"


_SORTED_BY = {"start": "start_ms", "duration": "duration_s", "active": "active_s"}
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
) -> None:
    """List sessions, newest first. The id is cut where it is still unique: `llmtrack replay` takes it as it stands.

    CSV and JSON have whole ids and more columns; docs/numbers.md says what each number means.

    Example: llmtrack sessions --last 7d --sort copies --limit 10
    """
    with reading(scope) as asked:
        found, matched = _listed(asked, sort, limit)
        table, tally = _summaries(found)
        rows = _rows(_told(table, asked, tally), sort, limit)
        for row, short in zip(rows, _short_ids(rows, found.source, output.format), strict=True):
            row["id"] = short
        remarks(found, tally, output.quiet)
    matched = tally.sessions if matched is None else matched
    columns = {
        Format.table: fitting(rows, PIPED_WIDTH if output.out else console().width),
        Format.csv: [Column(key, key) for key in KEYS],
    }.get(output.format, WIDE)
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
    if rows or output.format is not Format.table:
        emit(rows, columns, document, format=output.format, out=output.out)
    for line in cleaning(tally.excluded, tally.repaired):
        note(line.plain, output.quiet)
    if rows:
        more = "" if len(rows) == matched else "; all with --limit 0"
        note(f"{len(rows):,} of {many(matched, 'session')}{more}. Play one: llmtrack replay ID", output.quiet)


def _listed(asked: Sessions, sort: Sort, limit: int) -> tuple[Sessions, int | None]:
    """The sessions that are looked at, and how many there are in all, where that is known before reading.

    By start the source is asked for the newest alone. Any other order has to read the events of all.
    """
    from llmtrack.sessions import Sessions

    source, wanted, matched = asked.source, asked.filters.listed(), None
    if sort is Sort.start and limit:
        newest = source.newest(wanted, limit)
        matched = source.count(wanted) if len(newest) == limit else len(newest)
        wanted = replace(wanted, ids=frozenset(head.session_id for head in newest))
    return Sessions(source, asked.settings, wanted, asked.now), matched


def _summaries(sessions: Sessions) -> tuple[dict[str, Any], Tally]:
    """Columns of numbers, a value a session; events are let go batch by batch. What was counted on the way."""
    import numpy as np

    from llmtrack.analysis.interaction import Interaction, summary
    from llmtrack.session.tally import Tally, total

    parts, tallies = [], []
    for batch in sessions.cleaned(summary.FIELDS):
        parts.append(Interaction(batch).summary())
        tallies.append(Tally.of(batch))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, total(tallies)


def _told(table: dict[str, Any], asked: Sessions, tally: Tally) -> dict[str, Any]:
    """The columns that are listed; what the whole source never records is missing."""
    from llmtrack.analysis.recorded import without_untold

    return without_untold({**table}, asked.recorded(tally.recorded))


def _rows(table: Mapping[str, Any], sort: Sort, limit: int) -> list[dict[str, Any]]:
    import numpy as np

    ids = np.argsort(np.argsort(table["session_id"], kind="stable"))
    wanted = table[_SORTED_BY.get(sort, sort.value)]
    order = np.lexsort((-ids, -table["start_ms"], -wanted))  # NaN comes last
    if limit:
        order = order[:limit]
    chosen = {key: values[order].tolist() for key, values in table.items()}
    rows = [dict(zip(chosen, values, strict=True)) for values in zip(*chosen.values(), strict=True)]
    for row in rows:
        row["start_time"], row["end_time"] = _date(row["start_ms"]), _date(row["end_ms"])
    return rows


def _date(ms: float) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms == ms else None


def _short_ids(rows: Sequence[Mapping[str, Any]], source: Source, format: Format) -> list[str]:
    """The ids of the rows, cut where they are still unique among all sessions, not only among those wanted."""
    ids = [row["session_id"] for row in rows]
    return ids if format in (Format.json, Format.csv) or not rows else shortened(ids, source.beside(ids))
