"""How commands come to their data: the sessions of a scope, the database of --database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note

if TYPE_CHECKING:
    from llmtrack.cli.options import Scope
    from llmtrack.config import Settings
    from llmtrack.sessions import Sessions
    from llmtrack.store.database.sessions import Store


@contextmanager
def reading(scope: Scope, quiet: bool) -> Iterator[Sessions]:
    """The sessions of a scope. Once they were read, stderr says which documents could not be, or why there are none."""
    with opened(scope) as sessions:
        yield sessions
        remarks(sessions, quiet)


@contextmanager
def opened(scope: Scope) -> Iterator[Sessions]:
    """The sessions of a scope, for a command that says itself what it found."""
    from llmtrack.config import load_settings
    from llmtrack.sessions import Sessions
    from llmtrack.store.sources.open import open_source

    now = scope.now
    filters, settings = scope.filters(now), load_settings()
    with open_source(scope.source, settings) as source:
        yield Sessions(source, settings, filters, now)


def remarks(sessions: Sessions, quiet: bool) -> None:
    """What to know about the last reading, on stderr."""
    unreadable = sessions.source.unreadable
    if unreadable:
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in unreadable.items())
        named = "; ".join(unreadable.named)
        note(f"{many(unreadable.total(), 'document')} could not be read ({reasons}): {named}", quiet)
    if not sessions.count:
        from llmtrack.cli.drawing.empty import why_empty

        note(why_empty(sessions.source, sessions.filters), quiet)


def open_store(settings: Settings, database: str | None) -> Store:
    """The database named, else that of the settings; it answers. Raises StoreUnavailable."""
    from llmtrack.store.database.sessions import Store, connect

    store = Store(database, settings.database) if database else connect(settings)
    try:
        store.ping()
    except BaseException:
        store.close()
        raise
    return store
