"""Langfuse: traces as its export and its API give them, one trace a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.ratings import thumb
from llmtrack.session.values import number
from llmtrack.store.sources.messages import MODEL, PERSON, Message, first, moment, text_of
from llmtrack.store.sources.presets.preset import Preset

_TEXTS = ("messages", "content", "text", "query", "question", "input", "prompt", "output", "answer")


def _messages(document: Document) -> Iterator[Message]:
    trace = str(name(document["id"]))
    chat = name(first(document, "sessionId", "session_id")) or trace
    user = name(first(document, "userId", "user_id"))
    asked = moment(document, "timestamp", "createdAt")
    yield Message(f"{trace}:asked", chat, PERSON, asked, _last(document.get("input"), "user"), user)
    latency_s = number(document.get("latency"))
    known = asked is not None and latency_s == latency_s
    failed = first(document, "statusMessage") if document.get("level") == "ERROR" else None
    rating, rated = _score(document.get("scores"))
    text = _last(document.get("output"), "assistant")
    if not text and failed is None:
        return
    yield Message(
        id=trace,
        chat=chat,
        role=MODEL,
        t=(asked or 0) + latency_s * 1000 if known else asked,
        text=text,
        user=user,
        parent=f"{trace}:asked",
        model=name(first(document, "model", "metadata.model")) or _model(document.get("observations")),
        began=asked if known else None,
        error=text_of(failed) or None,
        rating=rating,
        rated=rated,
    )


def _last(value: Any, role: str) -> str:
    """The last text of this role in what a trace got or gave: a text, a message, a list of them, an object of one."""
    if isinstance(value, dict):
        value = first(value, *_TEXTS) or ""
    if isinstance(value, list):
        theirs = [each for each in value if isinstance(each, dict) and each.get("role") == role]
        return text_of(theirs[-1].get("content")) if theirs else text_of(value)
    return text_of(value) if not isinstance(value, dict) else _last(value, role)


def _score(scores: Any) -> tuple[str | None, float | None]:
    for score in scores if isinstance(scores, list) else []:
        value = first(score, "stringValue", "value") if isinstance(score, dict) else None
        if found := thumb(value):
            return found, moment(score, "timestamp", "createdAt")
    return None, None


def _model(observations: Any) -> str | None:
    models = (name(each.get("model")) for each in observations or [] if isinstance(each, dict))
    return next(filter(None, models), None)


LANGFUSE = Preset(
    name="langfuse",
    title="traces of Langfuse",
    recognises=lambda document: (
        {"id", "timestamp", "input", "output"} <= document.keys()
        and bool({"sessionId", "session_id", "userId", "user_id", "htmlPath", "projectId"} & document.keys())
    ),
    messages=_messages,
)
