"""`llmtrack serve`: runs the collector."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.", min=1, max=65535)] = 8000,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Worker processes; default: one a core, at most 4.", min=1)
    ] = None,
) -> None:
    """Run the collector: the chat page, the tracker and the place events go to.

    Stores sessions in MONGODB_URI, else in the embedded server. Ctrl-C ends it.

    Example: llmtrack serve --host 0.0.0.0 --port 8000
    """
    from llmtrack.cli.output import note
    from llmtrack.collector.server import run
    from llmtrack.config import load_settings

    settings = load_settings()
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only what to open in a browser

    def ready() -> None:
        note(f"Collector on http://{shown}:{port}  (chat page at /, tracker at /llmtrack.js). Ctrl-C ends it.")

    run(settings, host, port, workers, ready)
