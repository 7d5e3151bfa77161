"""The tracker under a second path: lists of filters know the first one, and no page has to be its neighbour."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def under(prefix: str, app: Wsgi) -> Wsgi:
    """`app`, with the script and its three requests below `prefix` too; nothing else is."""
    served = (f"{prefix}/llmtrack.js", f"{prefix}/api/session/")

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(served):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
            environ["PATH_INFO"] = path[len(prefix) :]
        return app(environ, start_response)

    return call
