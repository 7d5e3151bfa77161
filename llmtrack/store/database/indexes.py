"""The indexes of the sessions: one document a session, until one of them needs a second document."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from pymongo.errors import DuplicateKeyError, OperationFailure

from llmtrack.errors import LlmtrackError
from llmtrack.session.document import Document
from llmtrack.store.database.driver import first_line, reachable

if TYPE_CHECKING:
    from pymongo.collection import Collection

Keys = list[tuple[str, int]]
ONE: Final[Keys] = [("session_id", 1)]
SEVERAL: Final[Keys] = [("session_id", 1), ("part", 1)]
INDEXES: tuple[tuple[Keys, bool], ...] = (  # keys, unique
    (ONE, True),
    ([("user_id", 1)], False),
    ([("model_group", 1), ("start_time", 1)], False),
    ([("end_time", 1)], False),
    ([("experiment_id", 1)], False),
    ([("start_time", 1)], False),
)
TWICE: Final = "Import that collection into a database of its own (each is kept once), or name another collection."


def ensure(sessions: Collection[Document]) -> None:
    """Create what is missing. Raises LlmtrackError when a session_id stands twice."""
    for keys, unique in INDEXES:
        try:
            with reachable():
                if not (unique and has_unique(sessions, SEVERAL)):
                    sessions.create_index(keys, unique=unique)
        except DuplicateKeyError as error:
            where = f"{sessions.database.name}.{sessions.name}"
            raise LlmtrackError(f"Some session_id stands twice in {where}: {first_line(error)}.", TWICE) from None
        except OperationFailure as error:
            if error.code not in (85, 86):  # an equal index under another name or with other options serves too
                raise


def has_unique(sessions: Collection[Document], keys: Keys) -> bool:
    """Whether there is a unique index of these keys."""
    with reachable():
        there = sessions.index_information().values()
    return any(index["key"] == keys and index.get("unique") for index in there)


def allow_parts(sessions: Collection[Document]) -> None:
    """Widen the unique index on session_id to (session_id, part), unless that was done."""
    if has_unique(sessions, SEVERAL):
        return
    with reachable():
        sessions.create_index(SEVERAL, unique=True)
        for name, index in sessions.index_information().items():
            if index["key"] == ONE and index.get("unique"):
                with contextlib.suppress(OperationFailure):  # somebody else was quicker
                    sessions.drop_index(name)
