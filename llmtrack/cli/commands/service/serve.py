"""`llmtrack serve`: runs the collector, or says whether it would run."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from llmtrack.cli.drawing.terminal import note
from llmtrack.config import LogFormat


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.", min=1, max=65535)] = 8000,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Worker processes; default: one a core, at most 4.", min=1)
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="How log lines look; default: human on a terminal, else json.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check configuration and connections, and exit: 0 when all is well, else 1.")
    ] = False,
) -> None:
    """Run the collector: the chat page, the tracker and the place events go to.

    Stores sessions in MONGODB_URI, else in the embedded server. Where others can reach it, LLMTRACK_ADMIN_TOKEN must
    be set: whoever sends it may read sessions. Ctrl-C ends it.

    Example: llmtrack serve --host 0.0.0.0 --port 8000
    """
    if check:
        from llmtrack.cli.checks.preflight import preflight
        from llmtrack.cli.checks.table import report
        from llmtrack.cli.options import Output

        report("serve --check", list(preflight(host, port)), Output())
        return
    from llmtrack.collector.server import run
    from llmtrack.collector.telemetry.logs import format_of
    from llmtrack.config import load_settings

    settings = load_settings(**({"log_format": log_format} if log_format else {}))
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only what to open in a browser

    def ready() -> None:
        if format_of(settings) == "json":
            logging.getLogger("llmtrack").info("listening on http://%s:%d", host, port)
        else:
            note(f"Collector on http://{shown}:{port}  (chat page at /, tracker at /llmtrack.js). Ctrl-C ends it.")

    run(settings, host, port, workers, ready)
