"""`llmtrack queries`: which prompts got useful answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.figures import NONE
from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import brief, duration, many, percent, percents
from llmtrack.cli.drawing.sections import Cell, aligned
from llmtrack.cli.drawing.terminal import console, note
from llmtrack.cli.drawing.text import line
from llmtrack.cli.options import (
    AsOf,
    Bots,
    Device,
    Experiment,
    Group,
    Last,
    Out,
    OutputFormat,
    Quiet,
    Since,
    Source,
    Until,
    User,
    filters,
)
from llmtrack.cli.reading import FILE_WIDTH, cautions, cleaning, draw, reading, remarks

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.queries import Queries

NUMBERS = 70  # characters of a row beside its prompt
SHORTEST = 34  # characters of a prompt that are shown at least

COLUMNS = (
    Column("prompt", "prompt", fold=True),
    Column("score", "score", percent, right=True),
    Column("score_lo", "from", percent, right=True),
    Column("score_hi", "to", percent, right=True),
    Column("rate", "used", percent, right=True),
    Column("responses", "responses", "{:,}".format, right=True),
    Column("users", "users", "{:,}".format, right=True),
    Column("used", "times used", "{:,}".format, right=True),
    Column("copied", "copied", "{:,}".format, right=True),
    Column("selected", "selected", "{:,}".format, right=True),
    Column("copy_rate", "copy rate", percent, right=True),
    Column("selection_rate", "selection rate", percent, right=True),
    Column("latency_p50_ms", "median latency", lambda ms: duration(ms / 1000), right=True),
)


def queries(
    limit: Annotated[int, typer.Option(help="So many prompts at most; 0: all.", min=0, metavar="N")] = 20,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
    group: Group = None,
    experiment: Experiment = None,
    user: User = None,
    device: Device = None,
    bots: Bots = False,
    as_of: AsOf = None,
    format: OutputFormat = Format.table,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Rank prompts by how often people copied or selected something of the answers.

    Few answers say little: the score is the rate drawn towards the usual one, so that a lucky copy does not win.
    docs/reports.md says how.

    Example: llmtrack queries --last 30d --limit 50
    """
    from llmtrack.reports import queries as ranked

    now = as_of or datetime.now(UTC)
    wanted = filters(
        since=since,
        until=until,
        last=last,
        group=group,
        experiment=experiment,
        user=user,
        device=device,
        bots=bots,
        now=now,
    )
    with reading(source, wanted, now) as sessions:
        found = ranked(sessions, limit or None)
        remarks(sessions, quiet)
        name, read = sessions.source.name, sessions.count
    if format is Format.table:
        if read:
            draw(report(found, console().width if out is None else FILE_WIDTH), out)
        return
    for warning in found.warnings:
        note(warning.text, quiet)
    document = {"command": "queries", "source": name, "filters": wanted.as_dict(), **found.to_dict()}
    rows: list[dict[str, Any]] = found.to_frame().to_dict("records")  # type: ignore[assignment] # keys are names
    emit(rows, COLUMNS, document, format=format, out=out)


def report(found: Queries, width: int) -> Iterator[Text]:
    """The lines and the table of ranked prompts, for a terminal of this width."""
    from rich.text import Text

    yield Text.assemble(
        ("Queries", "bold"), f": {many(found.prompts, 'different prompt')}, {many(found.responses, 'response')}"
    )
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    if not found.rows:
        return
    columns = [
        Cell("prompt", right=False),
        Cell("score", style="bold"),
        *map(Cell, ("95 %", "used", "responses", "users")),
        Cell("copied", optional=1),
        Cell("selected", optional=2),
        Cell("latency", optional=3),
    ]
    rows = []
    for row in found.rows:
        prompt = Text(line(row.prompt))
        prompt.truncate(max(SHORTEST, width - NUMBERS), overflow="ellipsis")
        latency = None if row.latency_p50_ms is None else row.latency_p50_ms / 1000
        rows.append(
            (
                prompt,
                percent(row.score),
                percents(row.score_ci or NONE),
                percent(row.rate),
                f"{row.responses:,}",
                f"{row.users:,}",
                f"{row.copied:,}",
                f"{row.selected:,}",
                brief(latency),
            )
        )
    yield Text()
    yield from aligned(columns, [(None, rows)], width)
    yield Text()
    usual = f"{percent(found.prior.mean)}, as if each prompt had {_count(found.prior.trials)} usual responses besides"
    yield Text("used: responses with a copy or a selection; latency: median", "dim")
    yield Text(f"score: used, drawn towards the usual {usual}", "dim")
    if len(found.rows) < found.prompts:
        yield Text(f"{len(found.rows):,} of {many(found.prompts, 'prompt')}; all with --limit 0", "dim")


def _count(trials: float) -> str:
    return f"{trials:,.0f}" if trials >= 10 else f"{trials:.1f}"
