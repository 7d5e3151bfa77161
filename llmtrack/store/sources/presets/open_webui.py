"""Open WebUI: chats as its export writes them, or the table `chat` of its database webui.db."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.ratings import thumb
from llmtrack.store.sources.messages import MODEL, PERSON, Message, at, first, moment, text_of
from llmtrack.store.sources.presets.preset import Preset

_ROLES = {"user": PERSON, "assistant": MODEL}


def _messages(document: Document) -> Iterator[Message]:
    chat: Any = document["chat"]
    chat = json.loads(chat) if isinstance(chat, str) else chat
    history = at(chat, "history.messages") or at(chat, "messages") or []
    for message in history.values() if isinstance(history, dict) else history:
        role = _ROLES.get(message.get("role"))
        if role is None:
            continue
        failed = message.get("error")
        yield Message(
            id=str(name(message["id"])),
            chat=str(name(first(document, "id") or first(chat, "id"))),
            role=role,
            t=moment(message, "timestamp"),
            text=text_of(message.get("content")),
            user=name(document.get("user_id")),
            parent=name(message.get("parentId")),
            model=name(first(message, "model", "modelName")),
            error=(text_of(at(message, "error.content")) or name(failed) or "error") if failed else None,
            unfinished=message.get("done") is False,
            rating=thumb(at(message, "annotation.rating")),
        )


OPEN_WEBUI = Preset(
    name="open-webui",
    title="chats of Open WebUI",
    recognises=lambda document: "chat" in document and {"user_id", "title"} <= document.keys(),
    messages=_messages,
)
