"""Whose documents a collection holds: nothing is written to one that is somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from bson import ObjectId

from llmtrack.errors import LlmtrackError
from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.times import epoch_ms
from llmtrack.store.database.continuation import document_id, part_of

if TYPE_CHECKING:
    from pymongo.collection import Collection

SAMPLE: Final = 20  # documents that are looked at from each end
_OTHERS: Final = (  # fields that tell, and what it is
    ({"refreshTokenHash"}, "login sessions of LibreChat"),
    ({"sessionToken", "userId"}, "login sessions of Auth.js"),
    ({"expires", "session"}, "login sessions of connect-mongo"),
    ({"val", "expiration"}, "login sessions of Flask-Session"),
    ({"token", "userId", "expiresAt"}, "login sessions of Better Auth"),
    ({"total_records", "data"}, "/export_data of the LLM Platform, which has no sessions: read its database"),
)
_FIELDS: Final = dict.fromkeys(("session_id", "start_time", "schema_version", "part", "chat_session_id"), 1)


class Whose(NamedTuple):
    """Who wrote a collection's documents: nobody yet, llmtrack, another writer of sessions (`others`), or one of
    something else (`foreign`). `what`: what is there that is not llmtrack's, "" for nothing."""

    kind: Literal["empty", "ours", "others", "foreign"]
    what: str = ""


def whose(collection: Collection[Document]) -> Whose:
    """Whose documents these are, by the first and the last ones. Raises what the driver raises.

    Where one of them is llmtrack's, written by it or imported, the collection is; what else is there is told.
    """
    found = _ends(collection, _FIELDS | {"events.t": 1})
    if not found:
        return Whose("empty")
    strange = [each for each in found if not _is_session(each)]
    what = described(collection.find_one({"_id": strange[0]["_id"]}) or {}) if strange else ""
    if any(map(_is_ours, found)):
        others = any(not _is_ours(each) for each in found if each not in strange)
        return Whose("ours", what or ("sessions that another application wrote" if others else ""))
    return Whose("foreign", what) if strange else Whose("others", "sessions that another application wrote")


def _ends(collection: Collection[Document], fields: Mapping[str, Any]) -> list[Document]:
    """The first and the last documents by _id: what was there first, and what came since."""
    found = [collection.find({}, fields).sort("_id", way).limit(SAMPLE) for way in (1, -1)]
    return list({repr(each["_id"]): each for some in found for each in some}.values())


def described(document: Mapping[str, Any]) -> str:
    """What a document that is no session is, for people to read."""
    if what := known(document):
        return what
    some = [key for key in document if key != "_id"][:5]
    return f"documents of another kind (with {', '.join(some)})" if some else "documents of another kind"


def known(document: Mapping[str, Any]) -> str | None:
    """What a document is that others write and that is no session; None when nobody here knows."""
    return next((what for fields, what in _OTHERS if fields <= document.keys()), None)


def place(document: Mapping[str, Any]) -> str:
    """Where a document lies, to be shown: a text that names somebody's login session opens it, and stays hidden."""
    hidden = "session_id" not in document and not isinstance(document["_id"], ObjectId | int)
    return "a document" if hidden else f"_id {document['_id']}"


def refuse_foreign(collection: Collection[Document], *, with_sessions: bool = True) -> None:
    """Raise LlmtrackError when the collection is somebody else's; `with_sessions`: or their sessions."""
    found = whose(collection)
    if found.kind == "foreign" or (found.kind == "others" and with_sessions):
        where = f"{collection.database.name}.{collection.name}"
        reads = "; reports read it as it is" if found.kind == "others" else ""
        raise LlmtrackError(
            f"{where} holds {found.what}: llmtrack writes nothing there{reads}.",
            "Name another collection with LLMTRACK_COLLECTION, or another database with LLMTRACK_DATABASE.",
        )


def refuse_foreign_chats(collection: Collection[Document]) -> None:
    """Raise LlmtrackError when the collection for saved chats is somebody else's."""
    found = _ends(collection, _FIELDS | {"turns.t": 1})
    if found and not any("chat_session_id" in each and "turns" in each for each in found):
        what = described(collection.find_one({}) or {})
        where = f"{collection.database.name}.{collection.name}"
        raise LlmtrackError(
            f"{where} holds {what}, no chats of llmtrack's: nothing is written there.",
            "Name another collection with LLMTRACK_CHATS_COLLECTION.",
        )


def _is_ours(document: Document) -> bool:
    """Whether llmtrack wrote or imported it: its _id is its session_id, or it has the version of llmtrack's shape."""
    session_id = document.get("session_id")
    ids = (session_id, document_id(session_id, part_of(document)))
    return _is_session(document) and ("schema_version" in document or document.get("_id") in ids)


def _is_session(document: Document) -> bool:
    known = epoch_ms(document.get("start_time")) is not None or isinstance(document.get("events"), list)
    return name(document.get("session_id")) is not None and known
