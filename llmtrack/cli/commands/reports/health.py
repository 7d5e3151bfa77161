"""`llmtrack health`: can this experiment be trusted?"""

from __future__ import annotations

from dataclasses import replace

import typer

from llmtrack.cli.drawing.formats import Format
from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import By, Output, Scope, shared
from llmtrack.cli.reading import grouping, reading

DONE_IN_PART = 3


@shared
def health(scope: Scope, output: Output, by: By = None) -> None:
    """Check whether an experiment can be trusted: the split of users, what was lost, and whether groups differ in it.

    Exits with 3 when a check failed; with --quiet only failed checks are shown.
    docs/reports.md has all checks and thresholds.

    Example: llmtrack health --last 7d --experiment production_v1
    """
    from llmtrack.analysis.health.report import Health
    from llmtrack.cli.drawing.reports.health import DRAWING

    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        found = sessions.run(Health(by=by))
        told = found
        if output.quiet and output.kind is Format.table:
            told = replace(found, checks=[check for check in found.checks if check.status == "failed"])
        if told.checks or not output.quiet:
            show("health", sessions, told, output, DRAWING, by=by)
    if found.failed:
        raise typer.Exit(DONE_IN_PART)
