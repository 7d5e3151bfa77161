"""`llmtrack health`: can this experiment be trusted?"""

from __future__ import annotations

import typer

from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import By, Output, Scope, shared
from llmtrack.cli.reading import grouping, reading

DONE_IN_PART = 3


@shared
def health(scope: Scope, output: Output, by: By = None) -> None:
    """Check whether an experiment can be trusted: the split of users, what was lost, and whether groups differ in it.

    Exits with 3 when a check failed. docs/reports.md has all checks and thresholds.

    Example: llmtrack health --last 7d --experiment production_v1
    """
    from llmtrack.analysis.health.report import Health
    from llmtrack.cli.drawing.reports.health import DRAWING

    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        found = sessions.run(Health(by=by))
        show("health", sessions, found, output, DRAWING, by=by)
    if found.failed:
        raise typer.Exit(DONE_IN_PART)
