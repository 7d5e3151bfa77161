"""`llmtrack queries`: which prompts got useful answers."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import Output, Scope, shared
from llmtrack.cli.reading import reading


@shared
def queries(
    scope: Scope,
    output: Output,
    limit: Annotated[int, typer.Option(help="So many prompts at most; 0: all.", min=0, metavar="N")] = 20,
) -> None:
    """Rank prompts by how often people copied or selected something of the answers.

    Few answers say little: the score is the rate drawn towards the usual one, so that a lucky copy does not win.
    docs/reports.md says how.

    Example: llmtrack queries --last 30d --limit 50
    """
    from llmtrack.analysis.queries import Queries
    from llmtrack.cli.drawing.reports.queries import DRAWING

    with reading(scope) as sessions:
        show("queries", sessions, sessions.run(Queries(limit=limit or None)), output, DRAWING)
