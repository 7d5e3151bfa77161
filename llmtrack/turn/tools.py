"""The functions that a model calls instead of, or beside, speaking: put together from the pieces of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from llmtrack.turn.fields import object_of, objects_of, string

MAX_NAME = 300
MAX_CALLS = 128


class ToolPiece(NamedTuple):
    """A piece of a call: which one (`at` in the answer, None: it does not say), its id, name and arguments."""

    at: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""


def tool_pieces(message: dict[str, Any]) -> Iterator[ToolPiece]:
    """The pieces in a message or delta: `tool_calls`, or the `function_call` of before 2024."""
    for call in objects_of(message.get("tool_calls")):
        yield _piece(call, object_of(call.get("function")) or object_of(call.get("custom")))
    if old := object_of(message.get("function_call")):
        yield _piece({"index": 0}, old)


def _piece(call: dict[str, Any], function: dict[str, Any]) -> ToolPiece:
    index = call.get("index")
    number = index if type(index) is int else None
    arguments = function.get("arguments", function.get("input"))
    told = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
    return ToolPiece(number, string(call.get("id"), MAX_NAME), string(function.get("name"), MAX_NAME), told)


class ToolCalls:
    """The calls of one answer. Providers repeat ids and names in every piece, split names, or leave the index out."""

    def __init__(self) -> None:
        self._calls: list[ToolPiece] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def names(self) -> list[str]:
        """Of the functions, in the order in which they were called."""
        return [call.name for call in self._calls]

    @property
    def ids(self) -> list[str]:
        """Of the calls: what their results will name."""
        return [call.id for call in self._calls if call.id]

    def add(self, piece: ToolPiece) -> None:
        """A piece has come: of a call that is known, or of a new one."""
        which = self._which(piece)
        if which is None:
            if len(self._calls) < MAX_CALLS:
                self._calls.append(piece)
            return
        call = self._calls[which]
        arguments = piece.arguments if piece.arguments.startswith(call.arguments) else call.arguments + piece.arguments
        name = _joined(call.name, piece.name)
        self._calls[which] = ToolPiece(call.at, call.id or piece.id, name[:MAX_NAME], arguments)

    def _which(self, piece: ToolPiece) -> int | None:
        """The call that the piece goes on with. Some providers number all calls 0: a whole one is not gone on with."""
        last = len(self._calls) - 1
        for at in range(last, -1, -1):
            call = self._calls[at]
            if piece.id and piece.id == call.id:
                return at
            if piece.at is not None and piece.at == call.at:
                other = piece.id and call.id and piece.name and _whole(call.arguments)
                return None if other else at
        unnamed = piece.at is None and not piece.id and not piece.name
        return last if unnamed and last >= 0 else None


def _joined(known: str, more: str) -> str:
    """A name that is repeated, repeated with more of it, or gone on with."""
    return more if more.startswith(known) else known if known.startswith(more) else known + more


def _whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True
