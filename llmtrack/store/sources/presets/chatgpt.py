"""ChatGPT: conversations.json of a data export. One person's chats, so all are of one user."""

from __future__ import annotations

from collections.abc import Iterator

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.store.sources.messages import MODEL, PERSON, Message, at, first, moment, text_of
from llmtrack.store.sources.presets.preset import Preset

OWNER = "export"  # the person whose export it is: nothing in it names them


def _messages(document: Document) -> Iterator[Message]:
    chat = str(name(first(document, "conversation_id", "id")) or name(document.get("create_time")))
    for key, node in document["mapping"].items():
        message = node.get("message")
        role = {"user": PERSON, "assistant": MODEL}.get(at(message, "author.role"))
        hidden = at(message, "metadata.is_visually_hidden_from_conversation")
        kind = at(message, "content.content_type")
        text = text_of(at(message, "content.parts")) or text_of(at(message, "content.text"))
        shown = kind in ("text", "multimodal_text", "code") and at(message, "recipient") in (None, "all")
        if role is None or hidden or not shown or (role == MODEL and not text):
            yield Message(key, chat, MODEL, None, parent=name(node.get("parent")), user=OWNER, error=_STEP)
            continue
        yield Message(
            id=key,
            chat=chat,
            role=role,
            t=moment(message, "create_time") or moment(document, "create_time"),
            text=text,
            user=OWNER,
            parent=name(node.get("parent")),
            model=name(at(message, "metadata.model_slug")) if role == MODEL else None,
            unfinished=at(message, "status") == "in_progress"
            or at(message, "metadata.finish_details.type") == "interrupted",
        )


_STEP = "a step between"  # a node that is nothing a person sees, but links those that are


def _visible(document: Document) -> Iterator[Message]:
    """The messages that are shown, each under the one above it that is shown."""
    found = {message.id: message for message in _messages(document)}
    for message in found.values():
        if message.error == _STEP:
            continue
        parent, steps = message.parent, 0
        while parent in found and found[parent].error == _STEP and steps < len(found):
            parent, steps = found[parent].parent, steps + 1
        yield message._replace(parent=parent)


CHATGPT = Preset(
    name="chatgpt",
    title="a ChatGPT export",
    recognises=lambda document: isinstance(document.get("mapping"), dict) and "title" in document,
    messages=_visible,
)
