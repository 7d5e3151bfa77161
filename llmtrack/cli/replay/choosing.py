"""Which session is meant: a session_id, the start of one, or "last"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.text import line
from llmtrack.errors import LlmtrackError, UnknownSession
from llmtrack.session.cleaning.visits import document_of
from llmtrack.session.filters import Filters

if TYPE_CHECKING:
    from llmtrack.session.document import Head
    from llmtrack.store.sources.open import Source

LAST = "last"
CANDIDATES = 8  # an ambiguous prefix names so many


def choose(sessions: Source, wanted: str, among: Filters) -> tuple[dict[str, Any], int]:
    """The document that `wanted` names, and which of its sessions (from 1; -1: the last).

    That is a session_id, a prefix that only one has, or "last" (the newest `among` all). Raises UnknownSession when
    there is none, LlmtrackError naming the candidates when there are several.
    """
    if wanted == LAST:
        newest = sessions.newest(among.listed())
        if not newest:
            from llmtrack.cli.drawing.empty import why_empty

            raise UnknownSession(why_empty(sessions, among))
        return _document(sessions, newest[0].session_id), -1
    if document := sessions.get(wanted):
        return document, 1
    if part := document_of(wanted):
        return choose(sessions, part[0], among)[0], part[1]
    heads = sessions.find(wanted, limit=CANDIDATES + 1)
    if not heads:
        if away := sessions.away(Filters(ids=frozenset({wanted}))):
            how = " ".join(f"--source {each}" for each in away.together)
            where = ", ".join(away.folders.values())
            raise UnknownSession(
                f'Session "{wanted}" was moved to the archive: {where}.', f"Try: llmtrack replay {wanted} {how}"
            )
        raise UnknownSession(
            f'No session starts with "{wanted}".{_unread(sessions)}', "Try: llmtrack sessions --last 7d"
        )
    if len(heads) > 1:
        raise LlmtrackError(_ambiguous(wanted, heads))
    return _document(sessions, heads[0].session_id), 1


def _document(sessions: Source, session_id: str) -> dict[str, Any]:
    document = sessions.get(session_id)
    if document is None:
        raise UnknownSession(f'Session "{session_id}" is gone.', "Try: llmtrack sessions")
    return document


def _unread(sessions: Source) -> str:
    """What could not be read may be what was looked for."""
    count = sessions.unreadable.total()
    return f" {many(count, 'document')} could not be read: {sessions.unreadable.named[0]}." if count else ""


def _ambiguous(wanted: str, heads: Sequence[Head]) -> str:
    rows = [f"{head.session_id}  {head.start_time:%Y-%m-%d %H:%M}" for head in heads[:CANDIDATES]]
    rows += ["…"] if len(heads) > CANDIDATES else []
    return "\n".join([f'Several sessions start with "{wanted}". Give more of the id:', *map(line, rows)])
