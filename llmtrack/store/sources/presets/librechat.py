"""LibreChat: the collection `messages` of its MongoDB, one document a message."""

from __future__ import annotations

from collections.abc import Iterator

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.ratings import thumb
from llmtrack.store.sources.messages import MODEL, PERSON, Message, at, first, moment, text_of
from llmtrack.store.sources.presets.preset import Preset

_FIELDS = ("messageId", "conversationId", "user", "parentMessageId", "isCreatedByUser", "text", "content", "model")
_MORE = ("endpoint", "createdAt", "updatedAt", "error", "unfinished", "feedback")


def _messages(document: Document) -> Iterator[Message]:
    by_person = document["isCreatedByUser"] is True
    failed = document.get("error") is True
    text = document.get("text") or text_of(document.get("content"))
    yield Message(
        id=str(name(first(document, "messageId", "_id"))),
        chat=str(name(document["conversationId"])),
        role=PERSON if by_person else MODEL,
        t=moment(document, "createdAt"),
        text="" if failed and not by_person else text,
        user=name(document.get("user")),
        parent=name(document.get("parentMessageId")),
        model=name(document.get("model")),
        provider=name(document.get("endpoint")),
        error=(text or "error") if failed else None,
        unfinished=document.get("unfinished") is True,
        rating=thumb(at(document, "feedback.rating")),
        rated=moment(document, "updatedAt"),
    )


LIBRECHAT = Preset(
    name="librechat",
    title="LibreChat's messages",
    recognises=lambda document: {"messageId", "conversationId", "isCreatedByUser"} <= document.keys(),
    messages=_messages,
    collections={"messages": dict.fromkeys((*_FIELDS, *_MORE), 1)},
)
