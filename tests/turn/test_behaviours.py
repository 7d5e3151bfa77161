"""Provider behaviour by way of asking: what is stored: one table, every cell asserted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient
from openai import AsyncOpenAI, OpenAI

from llmtrack.client.tracking import Tracking
from llmtrack.collector import create_app
from llmtrack.collector.models import client as models
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import load_settings
from llmtrack.store.database.sessions import Store
from tests.turn.replies import BEGUN, REPLIES, SAID, provider

Stored = dict[str, Any]
QUESTION: Any = [{"role": "user", "content": "Why?"}]
KEY = "ingest-key-for-tests"


class Row(NamedTuple):
    """What is stored: text, error (in the collector's words, by the client's name), partial, finish reason.

    The attempts are 1 and the prompt is "Why?" in every cell.
    """

    text: str | None = SAID
    error: str | None = None
    name: str | None = None
    partial: bool = False
    finish: str | None = "stop"
    more: tuple[tuple[str, Any], ...] = ()


PLAIN = Row()
CUT = Row(BEGUN, partial=True, finish=None)
BROKEN = Row(BEGUN, "Model {model!r} failed: out of memory.", "APIError", True, None)
WHOLE_ERROR = Row(None, "Model {model!r} failed: out of memory.", "ProviderError (overloaded)", finish=None)
STEP = Row("", finish="tool_calls", more=(("step", True), ("tool_calls", ["weather"]), ("tool_call_ids", ["call_1"])))
REFUSED = "The provider at {host} sends its callers elsewhere (301): http://127.0.0.1:9/v1."
PAGE = "What {host} sent is no chat completion: a web page."
REACHED = "The provider at {host} was reached, and closed before it answered."
BUSY = "Model {model!r} is asked too often, or its quota is used up (429)"
NO_COMPLETION = "ProviderError (no completion)"
EMPTY = "The model gave an empty answer (finish_reason: {finish})."

# behaviour: what a streamed call leaves, what a whole one leaves (None: the same), what the Responses API leaves
# (None: it has no such shape)
TABLE: dict[str, tuple[Row, Row | None, Row | None]] = {
    "plain": (PLAIN, None, Row(finish="completed")),
    "done-alone": (Row(finish=None), None, None),
    "reason-alone": (PLAIN, None, None),
    "neither": (CUT, Row(finish=None), CUT),
    "neither-unframed": (CUT, PLAIN, None),
    "after-the-end": (PLAIN, None, None),
    "length": (Row(BEGUN, partial=True, finish="length"), None, Row(BEGUN, partial=True, finish="max_output_tokens")),
    "filtered": (Row(BEGUN, partial=True, finish="content_filter"), None, None),
    "reset": (
        Row(BEGUN, "The answer of model {model!r} broke off.", "APIConnectionError", True, None),
        Row(None, REACHED, "APIConnectionError", finish=None),
        None,
    ),
    "nothing": (Row(None, EMPTY, EMPTY), None, None),
    "error": (BROKEN, WHOLE_ERROR, Row(BEGUN, None, "ProviderError (server_error)", True, "failed")),
    "error-object": (
        BROKEN._replace(name="ProviderError (500)"),
        WHOLE_ERROR._replace(name="ProviderError (500)"),
        Row(BEGUN, None, "ProviderError (c)", True, None),
    ),
    "error-text": (BROKEN, WHOLE_ERROR._replace(name="ProviderError"), None),
    "error-event": (BROKEN._replace(name="ProviderError"), WHOLE_ERROR, None),
    "error-reason": (Row(BEGUN, "Model {model!r} failed.", "ProviderError", True, "error"), None, None),
    "error-in-choice": (
        BROKEN._replace(name="ProviderError (overloaded)", finish="error"), WHOLE_ERROR._replace(finish="error"), None
    ),
    "status-500": (
        Row(None, "Model {model!r} failed (500): out of memory.", "InternalServerError (500)", finish=None), None, None
    ),
    "status-429": (
        Row(None, BUSY, "RateLimitError (429)", finish=None),
        None,
        None,
    ),
    "elsewhere": (Row(None, REFUSED, "APIConnectionError", finish=None), None, None),
    "web-page": (Row(None, PAGE, EMPTY, finish=None), Row(None, PAGE, NO_COMPLETION, finish=None), None),
    "crlf": (PLAIN, None, None),
    "byte-by-byte": (PLAIN, None, None),
    "comments": (PLAIN, None, None),
    "no-utf8": (Row(f"{BEGUN}caf\ufffd"), PLAIN, None),
    "labelled-json": (PLAIN, None, None),
    "labelled-text": (PLAIN, None, None),
    "not-labelled": (PLAIN, None, None),
    "counts-apart": (PLAIN, None, None),
    "said-twice": (PLAIN, None, None),
    "whole-at-the-end": (PLAIN, None, None),
    "parts": (Row(more=(("attachments", ["image"]),)), None, None),
    "refusal": (Row(partial=True, more=(("refusal", True),)), None,
                Row(partial=True, finish="completed", more=(("refusal", True),))),
    "think-tags": (Row(more=(("thinking_length", 3),)), None, None),
    "think-closed": (Row(more=(("thinking_length", 3),)), None, None),
    "reasoning": (Row(more=(("thinking_length", 3),)), None, None),
    "thinks-without-end": (Row(None, EMPTY, EMPTY, finish="length", more=(("thinking_length", 8),)), None, None),
    "calls": (STEP, None, STEP._replace(finish="completed")),
    "calls-in-pieces": (STEP, None, None),
    "calls-the-old-way": (
        Row("", finish="function_call", more=(("step", True), ("tool_calls", ["weather"]))), None, None
    ),
    "whole-to-a-stream": (PLAIN, None, None),
    "stream-to-a-whole": (PLAIN, None, None),
}  # fmt: skip

# cells in which the OpenAI SDK itself reads something else: it is the application's answer, and so what is logged
SDK: dict[tuple[str, str], Row] = {
    ("no-utf8", "track stream"): Row(BEGUN, None, "UnicodeDecodeError", True, None),
    ("whole-to-a-stream", "track stream"): Row(None, None, EMPTY, finish=None),
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with provider() as address:
        yield address


class Kept:
    """Stands in for the sender of the client: keeps the events."""

    def __init__(self) -> None:
        self.events: list[Stored] = []
        self.dropped: list[str] = []

    def put(self, path: str, body: Stored) -> None:
        self.events += body["events"]

    def drop(self, why: str, events: int = 1) -> None:
        self.dropped.append(why)

    def flush(self, limit_s: float) -> None:
        """All is there."""


def tracked(client: Any, ask: Callable[[Any], Any]) -> list[Stored]:
    kept = Kept()
    with client, Tracking(client, kept, "s", "c", None, None, "local", 0) as tracking, suppress(Exception):  # type: ignore[arg-type]
        ask(tracking)
    return kept.events


def completions(client: Any, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=QUESTION, **more)


def track_sync(base_url: str, model: str) -> list[Stored]:
    return tracked(OpenAI(base_url=base_url, api_key="k", max_retries=0), lambda client: completions(client, model))


def track_stream(base_url: str, model: str) -> list[Stored]:
    client = OpenAI(base_url=base_url, api_key="k", max_retries=0)
    return tracked(client, lambda client: list(completions(client, model, stream=True)))


def track_async(base_url: str, model: str) -> list[Stored]:
    kept = Kept()

    async def ask() -> None:
        client = AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0)
        async with client, Tracking(client, kept, "s", "c", None, None, "local", 0) as tracking:  # type: ignore[arg-type]
            with suppress(Exception):
                await completions(tracking, model)

    asyncio.run(ask())
    return kept.events


def responses(base_url: str, model: str) -> list[Stored]:
    client = OpenAI(base_url=base_url, api_key="k", max_retries=0)
    return tracked(client, lambda client: list(client.responses.create(model=model, input="Why?", stream=True)))


TRACKED = {"track sync": track_sync, "track async": track_async, "track stream": track_stream}


@pytest.fixture
def app(settings: Any, store: Store, base_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FlaskClient]:
    monkeypatch.setattr(models, "RETRY_PAUSE_S", 0)

    def start(model: str) -> FlaskClient:
        groups = [{"name": "arm", "model": model, "base_url": base_url}]
        given = {"MONGODB_URI": settings.mongodb_uri, "secret_key": "for tests", "ingest_key": KEY}
        own = load_settings(**given, experiments={"trial": {"groups": groups}})
        return create_app(own, store, ChatClient(own)).test_client()

    return start


def through(app: FlaskClient, store: Store, way: str) -> list[Stored]:
    session_id = f"s-{way.replace(' ', '-').replace('/', '')}"
    store.start({"session_id": session_id, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    stream = way.endswith("stream")
    if way.startswith("/query"):
        body = {"query": "Why?", "sessionId": f"chat-{session_id}", "trackingSessionId": session_id, "stream": stream}
        app.post("/query", json=body).get_data()
    else:
        headers = {"Authorization": f"Bearer {KEY}", "X-LLMTrack-Session": session_id}
        app.post("/v1/chat/completions", json={"messages": QUESTION, "stream": stream}, headers=headers).get_data()
    document = store.find(session_id)
    assert document is not None
    return list(document["events"])


COLLECTED = ("/query JSON", "/query stream", "/v1 JSON", "/v1 stream")


@pytest.mark.parametrize("behaviour", REPLIES)
def test_what_is_stored(app: Callable[[str], FlaskClient], store: Store, base_url: str, behaviour: str) -> None:
    streamed, whole, of_responses = TABLE[behaviour]
    wanted, found = {}, {}
    for way in COLLECTED:
        found[way] = through(app(behaviour), store, way)
        wanted[way] = (whole or streamed) if way == "/v1 JSON" else streamed
    for way, ask in TRACKED.items():
        found[way] = ask(base_url, behaviour)
        usual = streamed if way == "track stream" else whole or streamed
        wanted[way] = SDK.get((behaviour, way), usual)
    if of_responses:
        found["Responses"], wanted["Responses"] = responses(base_url, behaviour), of_responses
    host = base_url.removeprefix("http://").removesuffix("/v1")
    wrong = {
        way: problem
        for way, events in found.items()
        if (problem := differs(events, wanted[way], way in COLLECTED, {"model": behaviour, "host": host}))
    }
    assert wrong == {}


def differs(events: list[Stored], wanted: Row, collected: bool, names: dict[str, str]) -> str:
    """What is not as the table says; empty when all is."""
    if [event["type"] for event in events] != ["prompt", "model_response"]:
        return f"events: {[event['type'] for event in events]}"
    prompt, answer = (event["data"] for event in events)
    words = wanted.error if collected else wanted.name
    error = words.format(**names, finish=wanted.finish or "none") if words is not None else None
    expected = {
        "prompt": "Why?", "turn": prompt["turn_id"], "text": wanted.text, "error": error, "partial": wanted.partial,
        "finish_reason": wanted.finish, "attempt": 1, **dict(wanted.more),
    }  # fmt: skip
    stored = {
        "prompt": prompt["text"], "turn": answer["turn_id"], "text": answer.get("text"), "error": answer.get("error"),
        "partial": answer.get("partial", False), "finish_reason": answer.get("finish_reason"),
        "attempt": answer.get("attempt", 1), **{name: answer.get(name) for name, _ in wanted.more},
    }  # fmt: skip
    if error and stored["error"] and stored["error"].startswith(error.rstrip(".")):
        expected["error"] = stored["error"]
    wrong = {name: (value, expected[name]) for name, value in stored.items() if value != expected[name]}
    return json.dumps(wrong) if wrong else ""


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(REPLIES)
    assert {name for name, row in TABLE.items() if row[2]} == {
        name for name, reply in REPLIES.items() if reply.responses
    }
