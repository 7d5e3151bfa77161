"""Rows of published data sets: WildChat (a conversation a row, times known) and ShareGPT (times unknown)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.store.sources.messages import MODEL, PERSON, Message, first, moment, text_of
from llmtrack.store.sources.presets.preset import Preset

_ROLES = {
    "user": PERSON,
    "human": PERSON,
    "assistant": MODEL,
    "gpt": MODEL,
    "chatgpt": MODEL,
    "bing": MODEL,
    "bard": MODEL,
}
NO_TIME = 946_684_800_000.0  # 2000-01-01: a row without any time; nothing about time is to be read from it


def _wildchat(document: Document) -> Iterator[Message]:
    chat = str(name(first(document, "conversation_hash", "conversation_id")))
    for place, message in enumerate(document["conversation"]):
        role = _ROLES.get(message.get("role"))
        if role is None:
            continue
        last = place == len(document["conversation"]) - 1
        yield Message(
            id=f"{chat}:{place}",
            chat=chat,
            role=role,
            t=moment(message, "timestamp") or (moment(document, "timestamp") if last else None),
            text=text_of(message.get("content")),
            user=name(first(message, "hashed_ip") or first(document, "hashed_ip", "conversation.hashed_ip"))
            or _ip(document),
            model=name(document.get("model")) if role == MODEL else None,
        )


def _ip(document: Document) -> str | None:
    """WildChat names the address at a person's messages only; the answers are the same person's."""
    return next((found for each in document["conversation"] if (found := name(each.get("hashed_ip")))), None)


def _sharegpt(document: Document) -> Iterator[Message]:
    rows = document.get("conversations") or document.get("items") or []
    chat = name(document.get("id")) or hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()[:16]
    for place, message in enumerate(rows):
        role = _ROLES.get(str(first(message, "from", "role")).lower())
        if role is None:
            continue
        yield Message(
            id=f"{chat}:{place}",
            chat=chat,
            role=role,
            t=moment(message, "timestamp", "create_time") or moment(document, "timestamp", "create_time") or NO_TIME,
            text=text_of(first(message, "value", "content", "text")),
            model=name(first(document, "model")) if role == MODEL else None,
        )


WILDCHAT = Preset(
    name="wildchat",
    title="rows of WildChat",
    recognises=lambda document: isinstance(document.get("conversation"), list) and "conversation_hash" in document,
    messages=_wildchat,
)
SHAREGPT = Preset(
    name="sharegpt",
    title="rows of ShareGPT, which have no times",
    recognises=lambda document: (
        isinstance(rows := document.get("conversations") or document.get("items"), list)
        and bool(rows)
        and isinstance(rows[0], dict)
        and {"from", "value"} <= rows[0].keys()
    ),
    messages=_sharegpt,
    alone=True,
)
