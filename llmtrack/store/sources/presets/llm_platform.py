"""The LLM Platform: sessions in `sessions`, and in its newest version prompts and answers in `queries`.

Older versions keep the texts in `sessions` and in `queries`: a turn that a session holds is not told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT
from llmtrack.session.values import number, text
from llmtrack.store.sources.documents import Found, Unreadable
from llmtrack.store.sources.messages import Items, moment, with_turns
from llmtrack.store.sources.presets.preset import Preset

_NEVER = ("embedding", "raw", "attachments")  # large, and nothing a report reads
_TURN = ("session_id", "user_id", "query", "response", "timestamp", "created_at", "latency_ms", "success", "error")
_ANSWER = {"model_name": "model", "model_used": "model", "model_provider": "provider"} | {
    key: key for key in ("tokens", "citations")
}
MADE_UP_MS: Final = 2_000  # the streaming version writes it where it measured nothing


def joined(items: Items) -> Iterator[Found | Unreadable]:
    """Sessions with their turns; what no session claims becomes one of its own."""
    for item, turns in with_turns(items, _turn_of, _session_of):
        if isinstance(item, Unreadable):
            yield item
        elif (session_id := _turn_of(item.document)) is not None:
            session: Document = {"session_id": session_id, "user_id": item.document.get("user_id"), "events": []}
            yield Found(f"queries of {session_id}", _with(session, turns))
        else:
            yield Found(item.where, _with(item.document, turns))


def _session_of(document: Document) -> str:
    return str(name(document.get("session_id")))


def _turn_of(document: Document) -> str | None:
    return _session_of(document) if _is_turn(document) else None


def _is_turn(document: Document) -> bool:
    return "query" in document and "session_id" in document and ("response" in document or "model_name" in document)


def _with(session: Document, turns: list[Document]) -> Document:
    events = session.get("events") or []
    if not isinstance(events, list):
        return session
    events = [_lighter(event) for event in events]
    stored = Counter(event["data"]["text"] for event in events if _told(event) and event["type"] == PROMPT)
    more = [event for turn in turns if not _taken(stored, turn) for event in _events(turn)]
    if more:
        events = [event for event in events if _told(event) or not _named(event)] + more
        events.sort(key=lambda event: moment(event, "t") or 0)
    return {**session, "is_chat": True, "events": events}


def _taken(stored: Counter[str | None], turn: Document) -> bool:
    """Whether a stored prompt is this turn's; it is taken then. Changes `stored`."""
    asked = text(turn.get("query"))
    found = stored[asked] > 0
    stored[asked] -= found
    return found


def _named(event: Document) -> bool:
    """Whether this is a prompt or an answer: of those the records of `queries` say more."""
    return isinstance(event, dict) and event.get("type") in (PROMPT, MODEL_RESPONSE)


def _told(event: Document) -> bool:
    data = event.get("data") if _named(event) else None
    return isinstance(data, dict) and text(data.get("text")) is not None


def _lighter(event: Document) -> Document:
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or not any(key in data for key in _NEVER):
        return event
    return {**event, "data": {key: value for key, value in data.items() if key not in _NEVER}}


def _events(turn: Document) -> Iterator[Document]:
    """The prompt and its answer.

    `timestamp` is when the answer was done, so it was asked `latency_ms` before; in older versions, which call the
    model `model_used`, it is when it was asked, wherever they measured a latency.
    """
    done = moment(turn, "timestamp", "created_at")
    if done is None:
        return
    latency = number(turn.get("latency_ms"))
    measured = latency >= 0 and not ("model_used" in turn and latency == MADE_UP_MS)
    known = latency >= 0
    if measured and "model_used" in turn:
        done += latency
    ids = {"turn_id": name(turn.get("_id")) or f"{turn.get('session_id')}:{done:.0f}"}
    yield {"t": done - latency if known else done, "type": PROMPT, "data": {"text": text(turn.get("query")), **ids}}
    answer = {kept: turn[key] for key, kept in _ANSWER.items() if turn.get(key) is not None} | ids
    if measured:
        answer["latency_ms"] = latency
    if turn.get("success") is False or turn.get("error"):
        answer["error"] = text(turn.get("error")) or text(turn.get("response")) or "error"
    else:
        answer["text"] = text(turn.get("response"))
    yield {"t": done, "type": MODEL_RESPONSE, "data": answer}


LLM_PLATFORM = Preset(
    name="llm-platform",
    chats=True,
    title="the LLM Platform's sessions and queries",
    recognises=_is_turn,
    joined=joined,
    collections={
        "queries": dict.fromkeys((*_TURN, *_ANSWER), 1),
        "sessions": {key: 0 for each in _NEVER for key in (each, f"events.data.{each}")},
    },
)
