"""`llmtrack doctor`: does everything work, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.options import OutputFormat

if TYPE_CHECKING:
    from llmtrack.cli.checks.examine import Check

COLUMNS = (
    Column("check", "check"),
    Column("status", "status"),
    Column("finding", "finding", fold=True),
)


def doctor(
    url: Annotated[str, typer.Option(metavar="URL", help="The running collector.")] = "http://127.0.0.1:8000",
    format: OutputFormat = Format.table,
) -> None:
    """Check configuration, store and clock, then walk a visit through the running collector and read it back.

    What the walk wrote is deleted again. Exits with 1 when a check failed.

    Example: llmtrack doctor --url http://127.0.0.1:8000
    """
    from llmtrack.cli.checks.examine import examine

    report("doctor", list(examine(url.rstrip("/"))), format, url=url)


def report(command: str, checks: list[Check], format: Format, **about: str) -> None:
    """Show what was found, a line a check. Exits with 1 when a check failed."""
    failed = [check for check in checks if check.status == "failed"]
    document = {"command": command, **about, "ok": not failed, "checks": [check._asdict() for check in checks]}
    rows = [{**check._asdict(), "finding": _sentence(check)} for check in checks]
    emit(rows, COLUMNS, document, format=format)
    if format is Format.table:
        note(f"{many(len(failed), 'check')} failed." if failed else "All is well.")
    if failed:
        raise typer.Exit(1)


def _sentence(check: Check) -> str:
    return f"{check.finding.rstrip('.')}. {check.advice}" if check.advice else check.finding
