"""How commands come to their data: the sessions of a scope, the database of --database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmtrack.errors import UsageError

if TYPE_CHECKING:
    from llmtrack.analysis.export.redact import Redactor
    from llmtrack.cli.options import Output, Scope
    from llmtrack.config import Settings
    from llmtrack.sessions import Sessions
    from llmtrack.store.database.sessions import Store


@contextmanager
def reading(scope: Scope) -> Iterator[Sessions]:
    """The sessions of a scope."""
    from llmtrack.config import load_settings
    from llmtrack.sessions import Sessions
    from llmtrack.store.sources.open import open_source

    now = scope.now
    filters, settings = scope.filters(now), load_settings()
    with open_source(scope.source, settings) as source:
        yield Sessions(source, settings, filters, now)


def grouping(sessions: Sessions, by: str | None, output: Output) -> str:
    """What a report groups by; said on stderr where nobody asked for it and it is not the usual."""
    from llmtrack.cli.drawing.terminal import note

    chosen = sessions.grouping(by)
    if by is None and chosen != "model_group":
        note(f"No session names a model_group: grouped by the {chosen} of the answers (--by {chosen}).", output.quiet)
    return chosen


def open_store(settings: Settings, database: str | None) -> Store:
    """The database named, else that of the settings; it answers. Raises StoreUnavailable."""
    from llmtrack.store.database.sessions import connect, store_at

    store = store_at(database, settings) if database else connect(settings)
    try:
        store.ping()
    except BaseException:
        store.close()
        raise
    return store


def redactor(settings: Settings) -> Redactor:
    """What hides texts and ids for --redact. Raises UsageError without a key."""
    from llmtrack.analysis.export.redact import Redactor

    if settings.redact_key is None or not settings.redact_key.reveal():
        raise UsageError(
            "--redact needs a key: LLMTRACK_REDACT_KEY is not set.",
            "Make one and keep it: export LLMTRACK_REDACT_KEY="
            "$(python3 -c 'import secrets; print(secrets.token_hex(32))')",
        )
    try:
        return Redactor(settings.redact_key.reveal())
    except UsageError as error:
        raise UsageError(f"LLMTRACK_REDACT_KEY: {error.message}", error.hint) from None
