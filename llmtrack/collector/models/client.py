"""Talks to a group's model: any OpenAI-compatible server through the OpenAI SDK, or the built-in demo."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    OpenAI,
    OpenAIError,
    RateLimitError,
    Stream,
)

from llmtrack.collector.models import demo
from llmtrack.collector.models.failures import CONFIGURATION, FAILED, ModelError, explain
from llmtrack.config import DEMO, Group, Settings
from llmtrack.turn.chunk import Delta, read_chunk

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # the SDK wants one; a server of one's own usually asks for none
CONNECT_TIMEOUT_S = 10
RETRY_PAUSE_S = 0.5

Messages = list[dict[str, str]]


class Endpoint(NamedTuple):
    """Where a group's model is, and the key for it (may be empty)."""

    base_url: str
    key: str

    @property
    def host(self) -> str:
        """Host and port, without any name or password the URL may hold."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2] or self.base_url


class Piece(NamedTuple):
    """A piece of an answer: as the provider sent it (None: nothing to pass on), and what it says."""

    chunk: object
    delta: Delta
    finish_reason: str | None = None


class Model(Protocol):
    """Whoever answers for the models; see ChatClient. Both raise ModelError, also in the middle."""

    def stream(self, group: Group, messages: Messages) -> Generator[Delta]:
        """The answer's text piece by piece."""

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """The answer to a call of OpenAI's API, as the provider sends it."""


class ChatClient:
    """Streams answers of the models that `settings` configure. Safe to share between threads."""

    def __init__(self, settings: Settings, *, demo_delay_s: float = demo.DELAY_S) -> None:
        self._settings = settings
        self._demo_delay_s = demo_delay_s
        self._clients: dict[Endpoint, OpenAI] = {}
        self._lock = threading.Lock()
        self._without_usage: set[str] = set()  # base URLs of servers that refuse stream_options

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def stream(self, group: Group, messages: Messages) -> Generator[Delta]:
        """The answer of the group's model to `messages` ({"role", "content"}), piece by piece.

        Closing the generator closes the connection to the model. Raises ModelError, also in the middle.
        """
        if group.provider == DEMO:
            yield from demo.answer(messages, self._demo_delay_s)
            return
        answered, finish_reason = False, None
        with closing(self._pieces(group, {"model": group.model, "messages": messages, "stream": True})) as pieces:
            for piece in pieces:
                finish_reason = piece.finish_reason or finish_reason
                answered = answered or bool(piece.delta.text)
                yield piece.delta
        if not answered:
            raise ModelError(
                FAILED, f"The model gave an empty answer (finish_reason: {finish_reason or 'none'}).", "Try again."
            )

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """What the group's model answers to a call of OpenAI's API: chunks, or one whole completion, as it sent them.

        Closing the generator closes the connection to the model. Raises ModelError, also in the middle.
        """
        if group.provider == DEMO:
            yield from (Piece(chunk, *read_chunk(chunk)) for chunk in demo.complete(call, self._demo_delay_s))
            return
        answered = False
        unasked = call["stream"] and "stream_options" not in call
        with closing(self._pieces(group, call)) as pieces:
            for piece in pieces:
                answered = True
                if unasked and _only_counts(piece.chunk):  # our own wish: counted, not passed on
                    yield piece._replace(chunk=None)
                else:
                    yield piece._replace(chunk=as_chunk(piece.chunk)) if call["stream"] else piece
        if not answered:
            raise ModelError(FAILED, "The model gave an empty answer.", "Try again.")

    def _pieces(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        endpoint = self._endpoint(group)
        started = False
        try:
            with self._open(endpoint, call) as stream:
                for piece in _read(stream, streamed=call["stream"]):
                    started = started or bool(piece.delta.text)
                    yield piece
        except (OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise explain(error, group, endpoint.host, endpoint.key, self._settings.model_timeout_s, started) from None

    def _endpoint(self, group: Group) -> Endpoint:
        base_url = group.base_url or self._settings.openai_base_url or OPENAI_URL
        key = (self._settings.key_for(group) or "").strip()
        if not key and base_url.startswith(OPENAI_URL):
            raise ModelError(
                CONFIGURATION,
                f"There is no API key for model {group.model!r} of group {group.name!r}.",
                f"Set the environment variable {group.api_key_env}, or base_url of the group in llmtrack.toml.",
            )
        if not (key.isascii() and key.isprintable()):
            raise ModelError(
                CONFIGURATION,
                f"The API key for model {group.model!r} of group {group.name!r} holds characters no key has.",
                f"Set the environment variable {group.api_key_env} again.",
            )
        return Endpoint(base_url, key)

    def _client(self, endpoint: Endpoint) -> OpenAI:
        with self._lock:
            if endpoint not in self._clients:
                limit_s = self._settings.model_timeout_s  # to the first byte, and between two
                timeout = httpx2.Timeout(limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
                self._clients[endpoint] = OpenAI(
                    api_key=endpoint.key or NO_KEY, base_url=endpoint.base_url, timeout=timeout, max_retries=0
                )
            return self._clients[endpoint]

    def _open(self, endpoint: Endpoint, call: dict[str, Any]) -> Stream[object]:
        """Ask, once more after a failure that may pass. Not after a timeout: people would wait twice as long."""
        try:
            return self._ask(endpoint, call)
        except APITimeoutError:
            raise
        except (APIConnectionError, RateLimitError, InternalServerError):
            time.sleep(RETRY_PAUSE_S)
        return self._ask(endpoint, call)

    def _ask(self, endpoint: Endpoint, call: dict[str, Any]) -> Stream[object]:
        """Ask for an answer and, of a stream, for its count of tokens where the server knows that wish."""
        if call["stream"] and "stream_options" not in call and endpoint.base_url not in self._without_usage:
            try:
                return self._post(endpoint, {**call, "stream_options": {"include_usage": True}})
            except APIStatusError as error:
                if error.status_code not in (400, 422) or "stream_options" not in error.response.text:
                    raise
                self._without_usage.add(endpoint.base_url)
        return self._post(endpoint, call)

    def _post(self, endpoint: Endpoint, body: dict[str, Any]) -> Stream[object]:
        # not chat.completions.create: this gives whatever fields the provider sent, as it sent them
        return self._client(endpoint).post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=Stream[object]
        )


def _read(stream: Stream[object], *, streamed: bool) -> Iterator[Piece]:
    """What the server sends, piece by piece or, from one that cannot stream, at once. Raises ValueError."""
    headers = stream.response.headers
    whole = "application/json" in headers.get("content-type", "")
    if "html" in headers.get("content-type", "") or not (streamed or whole):
        raise ValueError("no chat completion")
    chunks: Iterator[object] = iter([_json(stream)]) if whole else iter(stream)
    finish_reason = None
    for chunk in chunks:
        delta, finish = read_chunk(chunk)
        finish_reason = finish or finish_reason
        yield Piece(chunk, delta, finish)
    framed = whole or "transfer-encoding" in headers or "content-length" in headers
    if not framed and finish_reason is None:  # the connection's end is the answer's end, or a break: nothing else tells
        raise httpx2.RemoteProtocolError("closed before the end")


def _json(stream: Stream[object]) -> object:
    stream.response.read()
    whole: object = stream.response.json()
    if not isinstance(whole, dict):
        raise ValueError("no chat completion")
    return whole


def as_chunk(completion: object) -> object:
    """A whole completion, from a server that cannot stream, as the only chunk of a stream; chunks stay as they are.

    >>> as_chunk({"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "Hi"}}]})
    {'object': 'chat.completion.chunk', 'choices': [{'index': 0, 'delta': {'content': 'Hi'}}]}
    """
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(completion, dict) or not isinstance(choices, list):
        return completion
    if not any(isinstance(choice, dict) and "message" in choice for choice in choices):
        return completion
    renamed = [{"delta" if key == "message" else key: value for key, value in choice.items()} for choice in choices]
    return {**completion, "object": "chat.completion.chunk", "choices": renamed}


def _only_counts(chunk: object) -> bool:
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
