"""What checks found, a line a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.options import Output

if TYPE_CHECKING:
    from llmtrack.cli.checks.examine import Check

COLUMNS = (
    Column("check", "check"),
    Column("status", "status"),
    Column("finding", "finding", fold=True),
)


def report(command: str, checks: Sequence[Check], output: Output, **about: str) -> None:
    """Show what was found, a line a check. Exits with 1 when a check failed."""
    failed = [check for check in checks if check.status == "failed"]
    document = {"command": command, **about, "ok": not failed, "checks": [check._asdict() for check in checks]}
    rows = [{**check._asdict(), "finding": _sentence(check)} for check in checks]
    if output.quiet and output.kind is Format.table:
        rows = [row for row in rows if row["status"] == "failed"]
        if not rows:
            return
    emit(rows, COLUMNS, document, format=output.kind, out=output.out, delimiter=output.delimiter)
    if output.kind is Format.table:
        note(f"{many(len(failed), 'check')} failed." if failed else "All is well.", output.quiet)
    if failed:
        raise typer.Exit(1)


def _sentence(check: Check) -> str:
    return f"{check.finding.rstrip('.')}. {check.advice}" if check.advice else check.finding
