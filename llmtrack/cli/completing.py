"""What the Tab key offers beside commands and options: ids, groups and experiments that are there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from llmtrack.store.sources.source import Source

MOST = 50  # ids that are offered


def ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Session ids, the newest first."""
    return _offered(ctx, incomplete, lambda source: (head.session_id for head in source.find(incomplete, MOST)))


def groups(ctx: typer.Context, incomplete: str) -> list[str]:
    """Model groups of the newest sessions."""
    return _offered(ctx, incomplete, lambda source: _names(source, "group"))


def experiments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Experiments of the newest sessions."""
    return _offered(ctx, incomplete, lambda source: _names(source, "experiment"))


def _names(source: Source, key: str) -> list[str]:
    from llmtrack.cli.drawing.empty import names_there

    return sorted(names_there(source, key))


def _offered(ctx: typer.Context, incomplete: str, find: Callable[[Source], Iterable[str]]) -> list[str]:
    """What is found in the source that the line names so far; nothing when that cannot be read: no place for errors."""
    from llmtrack.config import load_settings
    from llmtrack.store.sources.open import open_source

    with suppress(Exception):
        settings = load_settings()
        named = ctx.params.get("source") or ctx.params.get("database")
        if named or settings.mongodb_uri or _embedded_runs(settings.data_dir):
            with open_source(named, settings) as source:
                return [each for each in find(source) if each.startswith(incomplete)]
    return []


def _embedded_runs(data_dir: Path) -> bool:
    """Whether the embedded server answers already: Tab is not to wait until it has started."""
    from llmtrack.store.database import embedded

    port = embedded.port(data_dir)
    if port is not None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    return False
