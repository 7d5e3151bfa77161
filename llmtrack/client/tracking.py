"""`track`: the block in which calls are logged, and what a call leaves in the log."""

from __future__ import annotations

import asyncio
import json
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
from llmtrack.turn.answer import Answer
from llmtrack.turn.chunk import Delta, Failure, read_chunk
from llmtrack.turn.fields import string
from llmtrack.turn.identity import Turns, new_turn_id
from llmtrack.turn.question import Question, asked, prompt_data
from llmtrack.turn.responses import read_response
from llmtrack.turn.sse import events

FLUSH_S = 2.0
MAX_TEXT_BYTES = 100_000  # with room for what must be escaped, so that the body fits in what a collector takes

Client = TypeVar("Client")

# the calls that are logged: where their question is, and how a piece of their answer is read
CALLS: dict[str, tuple[str, Callable[[object, str], Delta]]] = {
    "/chat/completions": ("messages", read_chunk),
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
        self.turns = Turns()

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
        """The turn that a call opens, its prompt logged, or goes on with; None for a call that is none of a chat."""
        with self.quietly():
            if path in CALLS and isinstance(body, dict):
                question = asked(body.get(CALLS[path][0]))
                known = self.turns.find("", question, previous=string(body.get("previous_response_id")))
                turn_id = known.turn_id if known else new_turn_id()
                answer = Answer(string(body.get("model")), self._provider)
                turn = _Turn(self, turn_id, answer, CALLS[path][1], self.turns.begin("", turn_id, question))
                if not known:
                    self._ask(turn, question)
                self._open.add(turn)
                return turn
        return None

    def _ask(self, turn: _Turn, question: Question) -> None:
        if question.text is not None:
            self.log(PROMPT, turn.turn_id, turn.t, prompt_data(question.text, question.attachments))

    def log(self, kind: str, turn_id: str, t: int, data: dict[str, Any]) -> None:
        """Queue one event, under a key of its own: however often it is sent, it is stored once."""
        data = {**data, "chat_session_id": self.chat_session_id, "turn_id": turn_id}
        if "text" in data:
            text = data["text"].encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
            if kind == PROMPT and len(text) < len(data["text"]):
                data.setdefault("text_length", len(data["text"]))
            data["text"] = text
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

    def __init__(
        self,
        tracking: Tracking[Any],
        turn_id: str,
        answer: Answer,
        read: Callable[[object, str], Delta],
        attempt: int,
    ) -> None:
        self.turn_id = turn_id
        self.t = _now_ms()
        self.heard = False
        self._tracking, self._answer, self._read, self._attempt = tracking, answer, read, attempt
        answer.ask()  # not before `t`: what it measures is added to that, and must not overtake the next question
        self._ended = False
        self._unread = False  # the application reads the bytes itself: nothing is known of them

    def event(self, name: str, data: str) -> None:
        """An event of a stream."""
        with self._tracking.quietly():
            if data.startswith("[DONE]"):
                self._answer.done = True
            elif data:
                self._answer.add(self._read(json.loads(data), name))
            self.heard = True

    def whole(self, result: Any) -> None:
        """A whole completion, the text that stood in its place, or the response of one that was not parsed yet."""
        with self._tracking.quietly():
            if (response := getattr(result, "http_response", None)) is not None:
                if not response.is_closed:
                    self._unread = True
                    return
                self._body(response.content)
            elif isinstance(result, str | bytes):
                self._body(result.encode() if isinstance(result, str) else result)
            else:
                self._fields(result.model_dump(warnings=False))

    def _body(self, body: bytes) -> None:
        if body.lstrip().startswith((b"data:", b"event:", b":")):  # a stream that nobody had asked for
            for event in events([body]):
                self.event(event.name, event.data)
        else:
            self._answer.failure = Failure(code="no completion")
            fields = json.loads(body)
            self._answer.failure = None
            self._fields(fields)

    def _fields(self, fields: object) -> None:
        self._answer.add(self._read(fields, ""))
        self._answer.done = self.heard = True

    def end(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """Log the answer, or what there is of it."""
        if self._ended:
            return
        self._ended = True
        if self.heard and not isinstance(error, Exception):
            error = None  # cancelled or interrupted: whoever asked has left
        self._tracking.forget(self)
        with self._tracking.quietly():
            answer = self._answer
            outcome = answer.end(self._failure(error), left=error is None and (self._unread or not complete))
            data = {**outcome, **answer.numbers(), **({"attempt": self._attempt} if self._attempt > 1 else {})}
            if self._unread:
                for name in ("text", "citations", "response_length", "partial"):
                    data.pop(name, None)
            self._tracking.turns.end("", self.turn_id, answer, failed="error" in data)
            self._tracking.log(MODEL_RESPONSE, self.turn_id, self.t + answer.latency_ms, data)

    def _failure(self, error: BaseException | None) -> str | None:
        if error:
            return _name(error)
        failure = self._answer.failure
        return failure and (f"ProviderError ({failure.code})" if failure.code else "ProviderError")


def _name(error: BaseException) -> str:
    """The error without its words, which may hold a key."""
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__} ({status})" if isinstance(status, int) else type(error).__name__


def _provider(client: Any) -> str:
    host = urlsplit(str(getattr(client, "base_url", ""))).hostname or ""
    return "openai" if host in ("", "api.openai.com") else host


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
