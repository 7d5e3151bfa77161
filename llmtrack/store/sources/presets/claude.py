"""Claude: conversations.json of a data export."""

from __future__ import annotations

from collections.abc import Iterator

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.store.sources.messages import MODEL, PERSON, Message, at, moment, text_of
from llmtrack.store.sources.presets.chatgpt import OWNER
from llmtrack.store.sources.presets.preset import Preset


def _messages(document: Document) -> Iterator[Message]:
    chat, above = str(name(document["uuid"])), None
    for message in document["chat_messages"]:
        role = {"human": PERSON, "user": PERSON, "assistant": MODEL}.get(str(message.get("sender")).lower())
        if role is None:
            continue
        found = Message(
            id=str(name(message["uuid"])),
            chat=chat,
            role=role,
            t=moment(message, "created_at") or moment(document, "created_at"),
            text=message.get("text") or text_of(message.get("content")),
            user=name(at(document, "account.uuid")) or OWNER,
            parent=name(message.get("parent_message_uuid")) or above,
            model=name(document.get("model")) if role == MODEL else None,
        )
        above = found.id
        yield found


CLAUDE = Preset(
    name="claude",
    title="a Claude export",
    recognises=lambda document: isinstance(document.get("chat_messages"), list) and "uuid" in document,
    messages=_messages,
)
