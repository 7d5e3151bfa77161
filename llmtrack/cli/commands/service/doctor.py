"""`llmtrack doctor`: does everything work, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtrack.cli.options import Output, shared


@shared
def doctor(
    output: Output,
    url: Annotated[str, typer.Option(metavar="URL", help="The running collector.")] = "http://127.0.0.1:8000",
) -> None:
    """Check configuration, store and clock, then walk a session through the running collector and read it back.

    What the walk wrote is deleted again. Exits with 1 when a check failed.

    Example: llmtrack doctor --url http://127.0.0.1:8000
    """
    from llmtrack.cli.checks.examine import examine
    from llmtrack.cli.checks.table import report

    report("doctor", list(examine(url.rstrip("/"))), output, url=url)
