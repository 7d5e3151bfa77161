"""What `llmtrack queries` draws: which prompts got useful answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.figures import NONE
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import duration, many, percent, percents
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.queries import QueriesResult

NUMBERS = 70  # characters of a row beside its prompt
SHORTEST = 27  # characters of a prompt that are shown at least

COLUMNS = (
    Column("prompt", "prompt", fold=True),
    Column("score", "score", percent, right=True),
    Column("score_lo", "from", percent, right=True),
    Column("score_hi", "to", percent, right=True),
    Column("rate", "used", percent, right=True),
    Column("responses", "answers", "{:,}".format, right=True),
    Column("users", "users", "{:,}".format, right=True),
    Column("used", "times used", "{:,}".format, right=True),
    Column("copied", "copied", "{:,}".format, right=True),
    Column("selected", "selected", "{:,}".format, right=True),
    Column("rated", "rated", "{:,}".format, right=True),
    Column("up", "thumbs up", "{:,}".format, right=True),
    Column("copy_rate", "copy rate", percent, right=True),
    Column("selection_rate", "selection rate", percent, right=True),
    Column("latency_p50_ms", "median latency", lambda ms: duration(ms / 1000), right=True),
)


def lines(found: QueriesResult, width: int) -> Iterator[Text]:
    """The lines and the table of ranked prompts, for a terminal of this width."""
    from rich.text import Text

    yield Text.assemble(
        ("Queries", "bold"), f": {many(found.prompts, 'different prompt')}, {many(found.responses, 'answer')}"
    )
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    if not found.rows:
        return
    used = found.ranked_by == "use"
    columns = [
        Cell("prompt", right=False),
        Cell("score", style="bold"),
        *map(Cell, ("95 %", "used" if used else "thumbs up", "answers", "users")),
        *((Cell("copied", optional=1), Cell("selected", optional=2)) if used else (Cell("rated"),)),
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
                percent(row.rate) if used else f"{row.up:,}",
                f"{row.responses:,}",
                f"{row.users:,}",
                *((_or_none(row.copied), _or_none(row.selected)) if used else (f"{row.rated:,}",)),
                duration(latency),
            )
        )
    yield Text()
    yield from aligned(columns, [(None, rows)], width)
    yield Text()
    usual = f"{percent(found.prior.mean)}, as if each prompt had {_count(found.prior.trials)} usual users besides"
    if used:
        yield Text("used: answers with a copy or a selection; latency: median", "dim")
    what = "users who used an answer" if used else "of the users who gave a thumb, those who gave it up"
    yield Text(f"score: {what}, drawn towards the usual {usual}", "dim")
    if len(found.rows) < found.prompts:
        yield Text(f"{len(found.rows):,} of {many(found.prompts, 'prompt')}; all with --limit 0", "dim")


def _or_none(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _count(trials: float) -> str:
    return f"{trials:,.0f}" if trials >= 10 else f"{trials:.1f}"


DRAWING = Drawing(COLUMNS, lines)
