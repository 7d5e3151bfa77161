"""Chats that applications keep, message by message, as sessions: what is known of them, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from llmtrack.session.document import Document
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT
from llmtrack.session.times import epoch_ms
from llmtrack.store.sources.documents import Found, Unreadable

PERSON: Final = "person"
MODEL: Final = "model"
GAP_S: Final = 30 * 60  # a pause this long begins another session
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Message(NamedTuple):
    """One message of a chat. Times are epoch ms; a message of None has nobody's time."""

    id: str
    chat: str
    role: str  # PERSON or MODEL
    t: float | None
    text: str = ""
    user: str | None = None
    parent: str | None = None
    model: str | None = None
    provider: str | None = None
    began: float | None = None  # when the model was asked, where the application says so: else latency is unknown
    error: str | None = None
    unfinished: bool = False
    rating: str | None = None  # up or down
    rated: float | None = None


Messages = Callable[[Document], Iterable[Message]]
Items = Iterable[Found | Unreadable]


def converted(
    items: Items, messages: Messages, gap_s: float = GAP_S, *, alone: bool = False
) -> Iterator[Found | Unreadable]:
    """The sessions in these documents. All are read first, as a person's messages lie anywhere.

    `alone`: each document has its own messages, all of them, and no more than one is held.
    """
    gathered: list[Message] = []
    for item in items:
        if isinstance(item, Unreadable):
            yield item
            continue
        try:
            gathered += messages(item.document)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            yield Unreadable(item.where, f"no message as it should be: {type(error).__name__} {error}"[:200])
        if alone:
            yield from (Found(item.where, visit) for visit in visits(gathered, gap_s))
            gathered = []
    for visit in visits(gathered, gap_s):
        yield Found(f"visit {visit['session_id']}", visit)


def visits(messages: Iterable[Message], gap_s: float = GAP_S) -> Iterator[Document]:
    """Session documents: each person's messages in order of time, split where nothing happens for `gap_s`.

    Where nobody says whose a chat is, each chat is a person's of its own.
    """
    of_whom: dict[tuple[str | None, str], list[Message]] = {}
    for message in _timed(messages):
        of_whom.setdefault((message.user, "" if message.user else message.chat), []).append(message)
    for (user, chat), theirs in of_whom.items():
        theirs.sort(key=lambda message: message.t or 0)
        asked = _prompts(theirs)
        visit: list[Message] = []
        for message in theirs:
            if visit and (message.t or 0) - (visit[-1].t or 0) > gap_s * 1000:
                yield _visit(user, chat, visit, asked, gap_s)
                visit = []
            visit.append(message)
        yield _visit(user, chat, visit, asked, gap_s)


def _timed(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages with a time: one that has none has that of the message after it in its chat, else before it."""
    of_chat: dict[str, list[Message]] = {}
    for message in messages:
        of_chat.setdefault(message.chat, []).append(message)
    for theirs in of_chat.values():
        known: float | None = None
        found = []
        for message in reversed(theirs):
            known = message.t if message.t is not None else known
            found.append(message._replace(t=known))
        for message in reversed(found):
            known = message.t if message.t is not None else known
            if known is not None:
                yield message._replace(t=known)


def _prompts(messages: list[Message]) -> dict[str, str]:
    """For each answer the prompt that it belongs to: up its parents, else the latest prompt of its chat."""
    by_id = {message.id: message for message in messages}
    latest: dict[str, str] = {}
    found = {}
    for message in messages:
        if message.role == PERSON:
            latest[message.chat] = message.id
            continue
        above, seen = by_id.get(message.parent or ""), {message.id}
        while above is not None and above.role != PERSON and above.id not in seen:
            seen.add(above.id)
            above = by_id.get(above.parent or "")
        prompt = above.id if above is not None and above.role == PERSON else latest.get(message.chat)
        if prompt is not None:
            found[message.id] = prompt
    return found


def _visit(user: str | None, chat: str, messages: list[Message], asked: Mapping[str, str], gap_s: float) -> Document:
    start = messages[0].t or 0
    events = [event for message in messages for event in _events(message, asked.get(message.id), gap_s)]
    events.sort(key=lambda event: event["t"])
    who = {"user_id": user} if user else {}
    began = _EPOCH + timedelta(milliseconds=start)
    return {"session_id": f"{user or chat}_{start:.0f}", **who, "start_time": began, "end_time": None, "events": events}


def _events(message: Message, prompt: str | None, gap_s: float) -> Iterator[Document]:
    t = message.t or 0
    ids: Document = {"chat_session_id": message.chat, "turn_id": message.id if message.role == PERSON else prompt}
    if message.role == PERSON:
        yield {"t": t, "type": PROMPT, "data": {"text": message.text, **ids}}
        return
    known = {"model": message.model, "provider": message.provider, "error": message.error}
    data = {"text": message.text, **ids, **{key: value for key, value in known.items() if value}}
    if message.began is not None and message.began <= t:
        data["latency_ms"] = t - message.began
    if message.unfinished:
        data["unfinished"] = True
    yield {"t": t, "type": MODEL_RESPONSE, "data": data}
    if message.rating:
        rated = message.rated if message.rated is not None and t <= message.rated <= t + gap_s * 1000 else t
        yield {"t": rated, "type": "feedback", "data": {"rating": message.rating, **ids}}


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or parts of which those with text count."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        kind = str(content.get("type") or "text")
        said = first(content, "text", "value", "parts", "content", "refusal")
        return text_of(said) if "text" in kind or kind in ("message", "refusal") else ""
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    return ""


def at(document: Any, path: str) -> Any:
    """What stands under a dotted path; None when nothing does."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def first(document: Document, *paths: str) -> Any:
    """What stands under the first of these paths that holds something."""
    return next((found for path in paths if (found := at(document, path)) not in (None, "", [])), None)


def moment(document: Document, *paths: str) -> float | None:
    """The time under the first of these paths that holds one, epoch ms."""
    return next((ms for path in paths if (ms := epoch_ms(at(document, path))) is not None), None)


def with_turns(
    items: Items, turn_of: Callable[[Document], str | None], session_of: Callable[[Document], str]
) -> Iterator[tuple[Found | Unreadable, list[Document]]]:
    """Documents of sessions, each with its turns, which lie in documents of their own, in whatever order both come.

    `turn_of`: the session that a turn belongs to, None for what is no turn. Sessions without turns so far wait for the
    last document. Turns that no session claims come at the end, those of a session with the first one as the item.
    """
    turns: dict[str, list[Found]] = {}
    waiting: list[Found] = []
    for item in items:
        if isinstance(item, Unreadable):
            yield item, []
        elif (of := turn_of(item.document)) is not None:
            turns.setdefault(of, []).append(item)
        elif mine := turns.pop(session_of(item.document), None):
            yield item, [turn.document for turn in mine]
        else:
            waiting.append(item)
    for item in waiting:
        yield item, [turn.document for turn in turns.pop(session_of(item.document), ())]
    for alone in turns.values():
        yield alone[0], [turn.document for turn in alone]
