"""What a provider sent, piece by piece: known by what it is, whatever its Content-Type says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson

from llmtrack.collector.models.failures import NoCompletion
from llmtrack.turn.chunk import Delta, read_chunk
from llmtrack.turn.fields import object_of, objects_of, string
from llmtrack.turn.sse import BOM, events

DONE = "[DONE]"
_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Piece(NamedTuple):
    """A piece of an answer: what it says, and as the provider sent it.

    `raw` is the data of one event of a stream, named `event` if it has a name, or a whole body; None: nothing to pass
    on. `done`: the provider said that this is all.
    """

    raw: bytes | None
    delta: Delta = Delta()
    done: bool = False
    event: str = ""


def read(body: Iterable[bytes], *, streamed: bool) -> Iterator[Piece]:
    """The pieces of an answer that was asked for as a stream, or whole; a provider may send either to both.

    Raises NoCompletion when it is neither.
    """
    pieces = iter(body)
    start = b""
    for piece in pieces:
        start += piece
        if len(start.removeprefix(BOM.encode()).lstrip()) >= len("event:"):
            break
    begun = start.removeprefix(BOM.encode()).lstrip()
    rest = chain([start], pieces)
    if begun.startswith((b"{", b"[")):
        whole = b"".join(rest)
        yield from _framed(whole) if streamed else _whole(whole)
    elif begun.startswith(_EVENTS):
        yield from _stream(rest) if streamed else _gathered(_stream(rest))
    elif begun or not streamed:
        raise NoCompletion("a web page" if begun.startswith(b"<") else "a text" if begun else "nothing")


def _stream(body: Iterable[bytes]) -> Iterator[Piece]:
    """The events of a stream, until [DONE]."""
    for event in events(body):
        raw = event.data.encode()
        if event.data.strip() == DONE:
            yield Piece(raw, done=True)
            return
        if event.data.strip():
            yield Piece(raw, read_chunk(_json(raw), event.name), event=event.name)


def _whole(body: bytes) -> Iterator[Piece]:
    yield Piece(body, _delta(body), done=True)


def _framed(body: bytes) -> Iterator[Piece]:
    """A whole completion, from a server that cannot stream, as a stream of one chunk."""
    delta = _delta(body)
    yield Piece(orjson.dumps(as_chunk(_json(body))), delta)
    if not delta.failure:
        yield Piece(DONE.encode(), done=True)


def _gathered(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """A stream that nobody asked for as the one completion that was asked for."""
    chunks: list[dict[str, Any]] = []
    for piece in pieces:
        if piece.raw and not piece.done:
            chunks.append(object_of(_json(piece.raw)))
        yield piece._replace(raw=None)
    failed = next((chunk for chunk in chunks if chunk.get("error") or chunk.get("object") == "error"), None)
    yield Piece(orjson.dumps(failed or completion_of(chunks)))


def _delta(body: bytes) -> Delta:
    value = _json(body)
    fields = object_of(value[0] if isinstance(value, list) and value else value)
    delta = read_chunk(fields)
    if "choices" not in fields and not delta.failure:
        raise NoCompletion("JSON of another shape")
    return delta


def _json(raw: bytes) -> object:
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NoCompletion("no JSON") from None
    return value


def as_chunk(completion: object) -> object:
    """A whole completion as a chunk of a stream; chunks stay as they are.

    >>> as_chunk({"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "Hi"}}]})
    {'object': 'chat.completion.chunk', 'choices': [{'index': 0, 'delta': {'content': 'Hi'}}]}
    """
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(completion, dict) or not any("message" in choice for choice in objects_of(choices)):
        return completion
    renamed = [
        {"delta" if key == "message" else key: value for key, value in choice.items()} for choice in objects_of(choices)
    ]
    return {**completion, "object": "chat.completion.chunk", "choices": renamed}


def completion_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """One completion of all that the chunks of a stream say, choice 0 alone.

    >>> deltas = [{"content": "Hi"}, {"content": "!"}]
    >>> made = completion_of([{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas])
    >>> made["choices"][0]["message"]
    {'role': 'assistant', 'content': 'Hi!'}
    """
    head: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    finish = None
    for chunk in chunks:
        head |= {key: value for key, value in chunk.items() if value and key not in ("choices", "object")}
        choice = next((each for each in objects_of(chunk.get("choices")) if not each.get("index")), {})
        finish = choice.get("finish_reason") or finish
        for key, value in object_of(choice.get("delta")).items():
            if isinstance(value, str) and key != "role":
                message[key] = (message.get(key) or "") + value
            elif key == "tool_calls":
                _add_calls(message.setdefault("tool_calls", []), objects_of(value))
            elif value and key != "role":
                message[key] = value
    return {**head, "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _add_calls(calls: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    for piece in pieces:
        index = piece.get("index")
        known = next((call for call in calls if call.get("index") == index), None)
        if known is None:
            calls.append({**piece, "function": dict(object_of(piece.get("function")))})
        else:
            function, more = known["function"], object_of(piece.get("function"))
            function["arguments"] = string(function.get("arguments")) + string(more.get("arguments"))
