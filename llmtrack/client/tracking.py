"""`track`: the block in which calls are logged, and what a call leaves in the log."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from llmtrack.client.sender import END, EVENT, START, Sender, sender
from llmtrack.client.tapped import tapped
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT, new_session_id, storable
from llmtrack.turn.answer import Answer, asked
from llmtrack.turn.chunk import Delta, read_chunk, read_response

FLUSH_S = 2.0
MAX_TEXT_BYTES = 100_000  # with room for what must be escaped, so that the body fits in what a collector takes

Client = TypeVar("Client")

# the calls that are logged: where their question is, and how a piece of their answer is read
CALLS: dict[str, tuple[str, Callable[[object], Delta]]] = {
    "/chat/completions": ("messages", lambda chunk: read_chunk(chunk)[0]),
    "/responses": ("input", read_response),
}


def track(
    client: Client,
    *,
    session_id: str | None = None,
    chat_session_id: str | None = None,
    endpoint: str = "http://127.0.0.1:8000",
    ingest_key: str | None = None,
    user_id: str | None = None,
    experiment_id: str | None = None,
    provider: str | None = None,
    flush_s: float = FLUSH_S,
) -> Tracking[Client]:
    """A block in which every call made through what it gives is logged to the collector at `endpoint`.

    `session_id` is the `llmtrack.sessionId` that the page sent along, for which the collector wants its ingest key;
    without one the block is a session of its own, of `user_id` in `experiment_id`. Without `chat_session_id` the block
    is one chat. `provider` is a label; default: the host of the client's base_url. The block's end waits until the
    collector has all, at most `flush_s` seconds.
    Nothing of this raises or changes `client`.
    """
    return Tracking(
        client, sender(endpoint, ingest_key), session_id, chat_session_id, user_id, experiment_id, provider, flush_s
    )


class Tracking(Generic[Client]):
    """The block of `track`. Its `session_id` and `chat_session_id` name what is logged."""

    def __init__(
        self,
        client: Client,
        sender: Sender,
        session_id: str | None,
        chat_session_id: str | None,
        user_id: str | None,
        experiment_id: str | None,
        provider: str | None,
        flush_s: float,
    ) -> None:
        self.user_id = user_id or str(uuid.uuid4())
        self.session_id = session_id or new_session_id(self.user_id, _now_ms())
        self.chat_session_id = chat_session_id or f"chat_{secrets.token_hex(8)}"
        self._client, self._sender = client, sender
        self._own, self._experiment_id = not session_id, experiment_id
        self._provider = provider or _provider(client)
        self._flush_s = flush_s
        self._open: set[_Turn] = set()
        self._last: tuple[str, str] | None = None  # prompt and turn_id of the call before

    @property
    def dropped(self) -> int:
        """How many events this process could not log to this collector, for whatever reason."""
        return self._sender.dropped

    def __enter__(self) -> Client:
        if self._own:
            start = {"session_id": self.session_id, "user_id": self.user_id, "experiment_id": self._experiment_id}
            self._sender.put(START, {**start, "environment": {"application": "llmtrack.client"}})
        tracked = self._client
        with self.quietly("the client is none of the OpenAI SDK"):
            tracked = tapped(self._client, self.begin)
        return tracked

    def __exit__(self, *_: object) -> None:
        self._close()
        self._sender.flush(self._flush_s)

    async def __aenter__(self) -> Client:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self._close()
        await asyncio.to_thread(self._sender.flush, self._flush_s)

    def _close(self) -> None:
        for turn in list(self._open):
            if turn.heard:  # half read and left; one that nobody has read yet may be read after the block
                turn.end()
        if self._own:
            end = {"session_id": self.session_id, "id": secrets.token_hex(8), "t": _now_ms(), "events": []}
            self._sender.put(END, end)

    def begin(self, path: str, body: object) -> _Turn | None:
        """The turn that a call opens, its prompt logged; None for a call that is none of a chat."""
        with self.quietly():
            if path in CALLS and isinstance(body, dict):
                turn = _Turn(self, Answer(str(body.get("model") or ""), self._provider), CALLS[path][1])
                said = asked(body.get(CALLS[path][0]))
                if said and said.again and self._last and self._last[0] == said.text:
                    turn.turn_id = self._last[1]  # the model goes on after its tools: the same turn
                elif said:
                    self.log(PROMPT, turn.turn_id, turn.t, {"text": said.text})
                    self._last = said.text, turn.turn_id
                self._open.add(turn)
                return turn
        return None

    def log(self, kind: str, turn_id: str, t: int, data: dict[str, Any]) -> None:
        """Queue one event, under a key of its own: however often it is sent, it is stored once."""
        data = {**data, "chat_session_id": self.chat_session_id, "turn_id": turn_id}
        if "text" in data:
            data["text"] = data["text"].encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
        event = {"t": t, "type": kind, "data": storable(data)}
        body = {"session_id": self.session_id, "id": secrets.token_hex(8), "events": [event]}
        self._sender.put(EVENT, body)

    def forget(self, turn: _Turn) -> None:
        """The turn has ended."""
        self._open.discard(turn)

    @contextmanager
    def quietly(self, what: str = "a call could not be read") -> Iterator[None]:
        """What goes wrong in logging is counted: the application's call matters more."""
        try:
            yield
        except Exception as error:
            self._sender.drop(f"{what} ({type(error).__name__})")


class _Turn:
    """One call: gathers its answer and logs it once, when it ends."""

    def __init__(self, tracking: Tracking[Any], answer: Answer, read: Callable[[object], Delta]) -> None:
        self.turn_id = secrets.token_hex(8)
        self.t = _now_ms()
        self.heard = False
        self._tracking, self._answer, self._read = tracking, answer, read
        answer.ask()  # not before `t`: what it measures is added to that, and must not overtake the next question
        self._ended = False

    def hear(self, piece: Any) -> None:
        """A chunk of a stream, a whole completion, or the response of one that was not parsed yet."""
        with self._tracking.quietly():
            if (response := getattr(piece, "http_response", None)) is not None:
                if not response.is_closed:
                    return  # the application reads the bytes itself
                fields = response.json()
            else:
                fields = piece.model_dump(warnings=False)
            self._answer.add(self._read(fields))
            self.heard = True

    def end(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """Log the answer, or what there is of it."""
        if self._ended:
            return
        self._ended = True
        if self.heard and not isinstance(error, Exception):
            error = None  # cancelled or interrupted: whoever asked has left
        self._tracking.forget(self)
        with self._tracking.quietly():
            outcome = self._answer.end(_name(error) if error else None, complete=complete)
            data = {**outcome, **self._answer.numbers()}
            if not (self.heard or error):  # the application read the bytes itself: nothing is known of them
                for name in ("text", "citations", "response_length"):
                    data.pop(name, None)
            self._tracking.log(MODEL_RESPONSE, self.turn_id, self.t + self._answer.latency_ms, data)


def _name(error: BaseException) -> str:
    """The error without its words, which may hold a key."""
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__} ({status})" if isinstance(status, int) else type(error).__name__


def _provider(client: Any) -> str:
    host = urlsplit(str(getattr(client, "base_url", ""))).hostname or ""
    return "openai" if host in ("", "api.openai.com") else host


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
