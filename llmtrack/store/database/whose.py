"""Whose documents a collection holds: nothing is written to one that is somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from llmtrack.errors import LlmtrackError
from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.times import epoch_ms

if TYPE_CHECKING:
    from pymongo.collection import Collection

SAMPLE: Final = 20  # documents that are looked at
_OTHERS: Final = (  # fields that tell, and what it is
    ({"refreshTokenHash"}, "login sessions of LibreChat"),
    ({"sessionToken", "userId"}, "login sessions of Auth.js"),
    ({"expires", "session"}, "login sessions of connect-mongo"),
    ({"val", "expiration"}, "login sessions of Flask-Session"),
    ({"token", "userId", "expiresAt"}, "login sessions of Better Auth"),
    ({"total_records", "data"}, "/export_data of the LLM Platform, which has no sessions: read its database"),
)
_FIELDS: Final = dict.fromkeys(("session_id", "start_time", "schema_version", "chat_session_id"), 1)


class Whose(NamedTuple):
    """Who wrote a collection's documents: nobody yet, llmtrack, another writer of visits, somebody else (`what`)."""

    kind: Literal["empty", "ours", "shared", "foreign"]
    what: str = ""


def whose(collection: Collection[Document]) -> Whose:
    """Whose documents these are, by the first ones. Raises what the driver raises."""
    fields = _FIELDS | {"events": {"$slice": 1}}
    found = list(collection.find({}, fields, limit=SAMPLE))
    if not found:
        return Whose("empty")
    if not any(map(_is_session, found)):
        return Whose("foreign", described(collection.find_one({}) or {}))
    return Whose("ours" if any("schema_version" in each for each in found) else "shared")


def described(document: Mapping[str, Any]) -> str:
    """What a document that is no session is, for people to read."""
    if what := known(document):
        return what
    some = [key for key in document if key != "_id"][:5]
    return f"documents of another kind (with {', '.join(some)})" if some else "documents of another kind"


def known(document: Mapping[str, Any]) -> str | None:
    """What a document is that others write and that is no session; None when nobody here knows."""
    return next((what for fields, what in _OTHERS if fields <= document.keys()), None)


def refuse_foreign(collection: Collection[Document]) -> None:
    """Raise LlmtrackError when the collection is somebody else's."""
    found = whose(collection)
    if found.kind == "foreign":
        where = f"{collection.database.name}.{collection.name}"
        raise LlmtrackError(
            f"{where} holds {found.what}, no visits: llmtrack writes nothing there.",
            "Name another collection with LLMTRACK_COLLECTION, or another database with LLMTRACK_DATABASE.",
        )


def refuse_foreign_chats(collection: Collection[Document]) -> None:
    """Raise LlmtrackError when the collection for saved chats is somebody else's."""
    found = list(collection.find({}, _FIELDS | {"turns": {"$slice": 1}}, limit=SAMPLE))
    if found and not any("chat_session_id" in each and "turns" in each for each in found):
        what = described(collection.find_one({}) or {})
        where = f"{collection.database.name}.{collection.name}"
        raise LlmtrackError(
            f"{where} holds {what}, no chats of llmtrack's: nothing is written there.",
            "Name another collection with LLMTRACK_CHATS_COLLECTION.",
        )


def _is_session(document: Document) -> bool:
    known = epoch_ms(document.get("start_time")) is not None or isinstance(document.get("events"), list)
    return name(document.get("session_id")) is not None and known
