"""The OpenAI SDK's client, whose calls tell a listener what passes. Knows the SDK's ways without importing it."""

from __future__ import annotations

import copy
import functools
import inspect
import typing
import weakref
from collections.abc import Callable
from typing import Any, Protocol


class Turn(Protocol):
    """What listens to one call. `end` may be called more than once: only the first counts."""

    def event(self, name: str, data: str) -> None:
        """A server-sent event of a stream, as it came. Never raises."""

    def whole(self, result: Any) -> None:
        """A whole answer, parsed, as text, or as a raw response that is not parsed yet. Never raises."""

    def end(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """The call failed, is complete, or (neither) was left. Never raises."""


Begin = Callable[[str, object], Turn | None]  # path and body of a call → its listener, or None


def tapped(client: Any, begin: Begin) -> Any:
    """The client as an instance of a subclass of its own class, over the same connections, whose posts are logged.

    All of the SDK's calls go through `post`: create, parse and stream, raw responses, with_options.
    """
    kind = type(client)
    tracked = copy.copy(client)
    for name in [name for name in vars(tracked) if isinstance(getattr(kind, name, None), functools.cached_property)]:
        del vars(tracked)[name]  # such as `chat`, which holds on to the client that made it
    subclass = _asynchronous if inspect.iscoroutinefunction(kind.post) else _synchronous
    tracked.__class__ = subclass(kind, begin)
    return tracked


def _synchronous(kind: Any, begin: Begin) -> Any:
    class Tracked(kind):  # type: ignore[misc]
        def post(self, path: str, **more: Any) -> Any:
            turn = begin(path, more.get("body"))
            if turn is None:
                return super().post(path, **more)
            try:
                result = super().post(path, **_tapped(more, turn))
            except BaseException as error:
                turn.end(error)
                raise
            _heard(result, more, turn)
            return result

    return functools.update_wrapper(Tracked, kind, updated=())


def _asynchronous(kind: Any, begin: Begin) -> Any:
    class Tracked(kind):  # type: ignore[misc]
        async def post(self, path: str, **more: Any) -> Any:
            turn = begin(path, more.get("body"))
            if turn is None:
                return await super().post(path, **more)
            try:
                result = await super().post(path, **_tapped(more, turn))
            except BaseException as error:
                turn.end(error)
                raise
            _heard(result, more, turn)
            return result

    return functools.update_wrapper(Tracked, kind, updated=())


def _heard(result: Any, call: dict[str, Any], turn: Turn) -> None:
    """Log a whole answer; a stream does so itself when it has ended."""
    if call.get("stream"):
        return
    turn.whole(result)
    turn.end(complete=True)


def _tapped(call: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """The same call, whose stream, if it has one, is of a subclass that tells the turn what passes."""
    stream_cls = call.get("stream_cls")
    if not (call.get("stream") and stream_cls):
        return call
    tap = _async_stream if hasattr(typing.get_origin(stream_cls) or stream_cls, "__anext__") else _stream
    return {**call, "stream_cls": tap(stream_cls, turn)}


def _stream(stream_cls: Any, turn: Turn) -> Any:
    class Stream(stream_cls):  # type: ignore[misc]
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            weakref.finalize(self, turn.end)

        def _iter_events(self) -> Any:  # what the SDK reads its chunks from: only here is [DONE] seen
            for event in super()._iter_events():
                turn.event(event.event or "", event.data)
                yield event

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            try:
                return super().__next__()
            except StopIteration:
                turn.end(complete=True)
                raise
            except BaseException as error:
                turn.end(error)
                raise

        def close(self) -> None:
            super().close()
            turn.end()

    return Stream


def _async_stream(stream_cls: Any, turn: Turn) -> Any:
    class AsyncStream(stream_cls):  # type: ignore[misc]
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            weakref.finalize(self, turn.end)

        async def _iter_events(self) -> Any:
            async for event in super()._iter_events():
                turn.event(event.event or "", event.data)
                yield event

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            try:
                return await super().__anext__()
            except StopAsyncIteration:
                turn.end(complete=True)
                raise
            except BaseException as error:
                turn.end(error)
                raise

        async def close(self) -> None:
            await super().close()
            turn.end()

    return AsyncStream
