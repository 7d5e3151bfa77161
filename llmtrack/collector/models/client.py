"""Talks to a group's model: any OpenAI-compatible server through the OpenAI SDK, or the built-in demo."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    OpenAI,
    RateLimitError,
    Stream,
)

from llmtrack.collector.models import demo
from llmtrack.collector.models.endpoint import NO_KEY, Endpoint, endpoint_of
from llmtrack.collector.models.failures import ModelError, explain, retry_after_s, said
from llmtrack.collector.models.reading import Piece, read
from llmtrack.config import DEMO, Group, Settings

CONNECT_TIMEOUT_S = 10
RETRY_PAUSE_S = 0.5

Messages = list[dict[str, str]]


class Model(Protocol):
    """Whoever answers for the models; see ChatClient."""

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """The answer to a call of OpenAI's API, as the provider sends it. Raises ModelError, also in the middle."""


class ChatClient:
    """Asks the models that `settings` configure. Safe to share between threads."""

    def __init__(self, settings: Settings, *, demo_delay_s: float = demo.DELAY_S) -> None:
        self._settings = settings
        self._demo_delay_s = demo_delay_s
        self._clients: dict[Endpoint, OpenAI] = {}
        self._lock = threading.Lock()
        self._without_usage: set[str] = set()  # base URLs of servers that refuse stream_options
        self._busy: dict[tuple[Endpoint, str], tuple[float, ModelError]] = {}  # until when they want no question

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """What the group's model answers to a call of OpenAI's API: events of a stream, or one whole completion.

        Closing the generator closes the connection to the model. Raises ModelError, also in the middle; when the
        provider said itself what went wrong, after all that it sent.
        """
        call = {**call, "model": group.model}
        if group.provider == DEMO:
            yield from demo.complete(call, self._demo_delay_s)
            return
        unasked = call["stream"] and "stream_options" not in call
        with closing(self._pieces(group, call)) as pieces:
            for piece in pieces:
                # our own wish: counted, not passed on
                yield piece._replace(raw=None) if unasked and _only_counts(piece) else piece

    def _pieces(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        endpoint = endpoint_of(self._settings, group)
        failed, started = None, False
        try:
            with self._open(endpoint, group, call) as stream:
                for piece in read(stream.response.iter_bytes(), streamed=call["stream"]):
                    started = started or bool(piece.delta.text)
                    if piece.delta.failure:
                        failed = failed or said(piece.delta.failure, group, endpoint.key)
                    yield _without(endpoint.key, piece)
        except ModelError:
            raise
        except Exception as error:
            if not failed:
                raise explain(error, group, endpoint, self._settings.model_timeout_s, started) from None
        if failed:
            raise failed

    def _client(self, endpoint: Endpoint) -> OpenAI:
        with self._lock:
            if endpoint not in self._clients:
                limit_s = self._settings.model_timeout_s  # to the first byte, and between two
                timeout = httpx2.Timeout(limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
                self._clients[endpoint] = OpenAI(
                    api_key=endpoint.key or NO_KEY,
                    base_url=endpoint.path,
                    default_query=endpoint.query,
                    timeout=timeout,
                    max_retries=0,
                )
            return self._clients[endpoint]

    def _open(self, endpoint: Endpoint, group: Group, call: dict[str, Any]) -> Stream[object]:
        """Ask, once more after a failure that may pass. Not after a timeout: people would wait twice as long.

        A provider that says when it may be asked again is left alone until then.
        """
        self._must_not_wait(endpoint, group)
        try:
            return self._ask(endpoint, call)
        except APITimeoutError:
            raise
        except (RateLimitError, InternalServerError) as error:
            if wait_s := retry_after_s(error.response.headers):
                failure = explain(error, group, endpoint, self._settings.model_timeout_s, started=False)
                self._busy[endpoint, group.model] = time.monotonic() + wait_s, failure
                raise failure from None
        except APIConnectionError:
            pass
        time.sleep(RETRY_PAUSE_S)
        return self._ask(endpoint, call)

    def _must_not_wait(self, endpoint: Endpoint, group: Group) -> None:
        until, failure = self._busy.get((endpoint, group.model), (0.0, None))
        left_s = until - time.monotonic()
        if failure and left_s > 0:
            message = f"{failure.message[:-1]} and is not asked again for {left_s:.0f} s."
            raise ModelError(failure.status, message, "Try again then.", failure.refusal, left_s)

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
        # not chat.completions.create: the response is read as the provider sent it
        return self._client(endpoint).post(
            "/chat/completions",
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=Stream[object],
            options={"follow_redirects": False},  # what is sent elsewhere arrives there as a GET without its body
        )


def _only_counts(piece: Piece) -> bool:
    """Whether a chunk holds the count of tokens and nothing else."""
    delta = piece.delta
    return bool(delta.usage) and delta == type(delta)(usage=delta.usage, model=delta.model)


def _without(key: str, piece: Piece) -> Piece:
    """A provider that repeats the key tells it to nobody else."""
    secret = key.encode()
    if len(secret) < 8 or not piece.raw or secret not in piece.raw:
        return piece
    return piece._replace(raw=piece.raw.replace(secret, b"***"))
