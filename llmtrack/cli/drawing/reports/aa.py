"""What `llmtrack engagement --aa` draws: how often chance alone makes groups differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import many, percent, percents
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, aligned

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.experiment.aa import AA

WORDS = {None: "as it should", "constant": "never varies", "few_users": "too few users"}
COLUMNS = (
    Column("metric", "metric"),
    Column("tests", "tests", "{:,}".format, right=True),
    Column("significant", "significant", "{:,}".format, right=True),
    Column("rate", "false positives", percent, right=True),
    Column("ci_lo", "from", percent, right=True),
    Column("ci_hi", "to", percent, right=True),
    Column("why", "no test"),
)


def lines(rates: AA, width: int, **_: Any) -> Iterator[Text]:
    """The lines of an A/A test, for a terminal of this width."""
    from rich.text import Text

    yield Text.assemble(
        ("A/A", "bold"),
        f": users shuffled between the groups {many(rates.runs, 'time')}; an honest test differs in"
        f" {percent(rates.alpha)} of them",
    )
    yield Text()
    columns = [Cell("metric", right=False), *map(Cell, ("tests", "differed", "rate", "95 %")), Cell("", right=False)]
    rows = []
    for each in rates.metrics:
        odd = each.ci is not None and each.ci.lo > rates.alpha
        word = Text("too often", "bold red") if odd else Text(WORDS[each.why], "dim")
        rows.append(
            (each.metric, f"{each.tests:,}", f"{each.significant:,}", percent(each.rate), percents(each.ci), word)
        )
    yield from aligned(columns, [(None, rows)], width)


DRAWING = Drawing(COLUMNS, lines, document=lambda rates: {"aa": rates.to_dict()})
