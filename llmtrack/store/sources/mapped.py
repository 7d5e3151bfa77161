"""Sources that llmtrack.toml describes: visits and messages under other names, as presets of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmtrack.config import MessageSource, PresetSource, TurnsOf, VisitSource
from llmtrack.session.document import Document
from llmtrack.session.ids import name
from llmtrack.session.ratings import thumb
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT
from llmtrack.session.values import number, text
from llmtrack.store.sources.documents import Found, Unreadable
from llmtrack.store.sources.messages import (
    MODEL,
    PERSON,
    Items,
    Message,
    at,
    converted,
    first,
    moment,
    text_of,
    with_turns,
)
from llmtrack.store.sources.presets import named
from llmtrack.store.sources.presets.preset import Preset

_NAMES = ("session_id", "user_id", "model_group", "experiment_id", "start_time", "end_time", "environment")


def described(given: PresetSource | VisitSource | MessageSource) -> Preset:
    """The preset that a section [sources.NAME] describes. Raises UsageError for a preset that does not exist."""
    if isinstance(given, PresetSource):
        return named(given.preset)
    return _messages(given) if isinstance(given, MessageSource) else _visits(given)


def _messages(given: MessageSource) -> Preset:
    people = {role.lower() for role in given.person}

    def messages(document: Document) -> Iterator[Message]:
        role = name(at(document, given.role))
        if role is None:
            return
        by_person = role.lower() in people
        if not by_person and given.model_roles and role.lower() not in {each.lower() for each in given.model_roles}:
            return
        said = next((found for path in given.text if (found := text_of(at(document, path)))), "")
        failed = at(document, given.error) if given.error else None
        yield Message(
            id=str(name(first(document, given.id))),
            chat=str(name(at(document, given.chat))),
            role=PERSON if by_person else MODEL,
            t=moment(document, given.time),
            text=said,
            user=name(at(document, given.user)) if given.user else None,
            parent=name(at(document, given.parent)) if given.parent else None,
            model=name(at(document, given.model)) if given.model and not by_person else None,
            began=moment(document, given.begin) if given.begin else None,
            error=(text(failed) if not isinstance(failed, bool) else said or "error") if failed else None,
            unfinished=bool(at(document, given.unfinished)) if given.unfinished else False,
            rating=thumb(at(document, given.rating)) if given.rating else None,
        )

    paths = (given.id, given.chat, given.role, given.time, given.user, given.parent, given.model, given.begin)
    fields = [path for path in (*paths, given.error, given.unfinished, given.rating, *given.text) if path]
    return Preset(
        name="messages",
        title=f"messages of {given.collection}",
        recognises=lambda document: False,
        joined=lambda items: converted(items, messages, given.gap_min * 60),
        collections={given.collection: dict.fromkeys(fields, 1)},
    )


def _visits(given: VisitSource) -> Preset:
    def visit(document: Document, turns: list[Document]) -> Document:
        session = {key: at(document, getattr(given, key)) for key in _NAMES}
        events = at(document, given.events)
        told = [event for turn in turns if given.turns for event in _turn(turn, given.turns)]
        mapped = [_event(event, given) for event in events] if isinstance(events, list) else events
        if told and isinstance(mapped, list | None):
            mapped = sorted([*(mapped or []), *told], key=lambda event: moment(event, "t") or 0)
        return {key: value for key, value in session.items() if value is not None} | {"events": mapped}

    def turn_of(document: Document) -> str | None:
        of = given.turns
        return str(name(at(document, of.session_id))) if of and at(document, of.query) is not None else None

    def joined(items: Items) -> Iterator[Found | Unreadable]:
        for item, turns in with_turns(items, turn_of, lambda document: str(name(at(document, given.session_id)))):
            if isinstance(item, Unreadable):
                yield item
            elif turn_of(item.document) is not None:
                yield Unreadable(item.where, f"no visit for this turn and {len(turns) - 1} more")
            else:
                yield Found(item.where, visit(item.document, turns))

    collections: dict[str, Any] = {}
    if given.turns:
        of = given.turns
        paths = (of.session_id, of.query, of.response, of.time, of.latency_ms, of.model, of.provider, of.error)
        collections[of.collection] = {path: 1 for path in paths if path}
    collections[given.collection] = None
    return Preset(
        "visits", f"visits of {given.collection}", lambda document: False, joined=joined, collections=collections
    )


def _event(event: Any, given: VisitSource) -> Any:
    if not isinstance(event, dict):
        return event
    kind = at(event, given.type)
    data = at(event, given.data) if given.data else {key: value for key, value in event.items() if key != given.type}
    found = {"t": at(event, given.t), "type": given.types.get(kind, kind) if isinstance(kind, str) else kind}
    return found | ({"data": data} if data is not None else {}) | ({"n": event["n"]} if "n" in event else {})


def _turn(turn: Document, of: TurnsOf) -> Iterator[Document]:
    """A prompt and its answer; `latency_ms` lies between them, before or after the time that is stored."""
    stored = moment(turn, of.time)
    if stored is None:
        return
    latency = number(at(turn, of.latency_ms)) if of.latency_ms else float("nan")
    length = latency if latency >= 0 else 0
    asked, done = (stored, stored + length) if of.time_is == "asked" else (stored - length, stored)
    ids = {"turn_id": name(turn.get("_id")) or f"{name(at(turn, of.session_id))}:{stored:.0f}"}
    yield {"t": asked, "type": PROMPT, "data": {"text": text_of(at(turn, of.query)), **ids}}
    answer: Document = {"text": text_of(at(turn, of.response)), **ids}
    for key, path in (("model", of.model), ("provider", of.provider), ("error", of.error)):
        if path and (value := text(at(turn, path))):
            answer[key] = value
    yield {"t": done, "type": MODEL_RESPONSE, "data": answer | ({"latency_ms": latency} if latency >= 0 else {})}
