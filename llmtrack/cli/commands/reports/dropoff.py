"""`llmtrack dropoff`: where people stop."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtrack.cli.drawing.report import show
from llmtrack.cli.drawing.reports.dropoff import DRAWINGS, Table
from llmtrack.cli.options import By, Control, Output, Scope, shared
from llmtrack.cli.reading import grouping, reading


@shared
def dropoff(
    scope: Scope,
    output: Output,
    table: Annotated[
        Table,
        typer.Option(metavar="NAME", help="Which table csv and markdown hold: turns, exits, idle or latency."),
    ] = Table.turns,
    by: By = None,
    control: Control = None,
) -> None:
    """Show where people stop: turn by turn, why sessions end, when people go idle, and after how slow an answer.

    Leaving is not failing: people also leave because they have what they need. docs/reports.md defines each number.

    Example: llmtrack dropoff --last 30d --control base-7b
    """
    from llmtrack.analysis.dropoff.report import Dropoff

    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        show("dropoff", sessions, sessions.run(Dropoff(by=by, control=control)), output, DRAWINGS[table], by=by)
