"""llmtrack.client around the real OpenAI SDK: what the application gets is the same, and both ends are logged."""

from __future__ import annotations

import asyncio
import atexit
import functools
import gc
import io
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from flask import Flask
from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmtrack.client import Tracking, track
from llmtrack.client import sender as sending
from llmtrack.client.sender import Sender
from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings, load_settings
from llmtrack.store.database.sessions import Store
from tests.collector.chat.test_query import SESSION, logged, wait_for
from tests.collector.model_server import ANSWER, KEY, ModelServer, running

INGEST = "ingest-key-for-tests"
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is the sky blue?"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}


@pytest.fixture(autouse=True)
def _senders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Senders of this test's own, that wait for nothing when the tests end."""
    made: list[Sender] = []

    @functools.cache
    def sender(endpoint: str, key: str | None) -> Sender:
        made.append(Sender(endpoint, key))
        return made[-1]

    monkeypatch.setattr("llmtrack.client.tracking.sender", sender)
    yield
    for one in made:
        atexit.unregister(one.end)
        one.end(0)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def client(server: ModelServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
        yield client


class Faulty:
    """A WSGI application before the collector that answers some requests otherwise; `after` they were carried out."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.seen: list[dict[str, Any]] = []
        self.bad: Callable[[dict[str, Any]], str | None] = lambda body: None
        self.carried_out = True

    def __call__(self, environ: Any, start: Any) -> Any:
        raw = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(raw)
        self.seen.append(json.loads(raw))
        status = self.bad(self.seen[-1])
        if status is None:
            return self.app(environ, start)
        if self.carried_out:
            list(self.app(environ, lambda *_: None))
        start(status, [("Content-Length", "0")])
        return []


@pytest.fixture
def app(settings: Settings, store: Store) -> Faulty:
    """The collector that knows the ingest key, over a session that has started."""
    store.start({"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    given = load_settings(MONGODB_URI=settings.mongodb_uri, secret_key="for tests only", ingest_key=INGEST)
    return Faulty(create_app(given, store, ChatClient(given)))


@pytest.fixture
def tracked(app: Faulty, serve: Callable[..., str]) -> Callable[..., Tracking[Any]]:
    """`track` with the collector's address and key."""
    endpoint = serve(app)

    def start(client: Any, **more: Any) -> Tracking[Any]:
        given = {"session_id": SESSION, "chat_session_id": "chat-1", "ingest_key": INGEST, "flush_s": 20}
        return track(client, endpoint=endpoint, **{**given, **more})

    return start


def ask(client: Any, model: str = "good", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=ASKED, **more)


def text_of(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# what the application gets is what the client gives


def plain(client: Any) -> str:
    answer = ask(client, "whole")
    assert type(answer) is ChatCompletion
    return answer.choices[0].message.content or ""


def streamed(client: Any) -> str:
    chunks = ask(client, stream=True)
    assert isinstance(chunks, Stream)
    found = list(chunks)
    assert {type(chunk) for chunk in found} == {ChatCompletionChunk}
    return text_of(found)


def streamed_by_next(client: Any) -> str:
    chunks = ask(client, stream=True)
    return text_of([next(chunks)]) + text_of(chunks)


def streamed_in_a_block(client: Any) -> str:
    with ask(client, stream=True) as chunks:
        return text_of(chunks)


def streamed_by_the_helper(client: Any) -> str:
    with client.chat.completions.stream(model="good", messages=ASKED) as stream:
        return "".join(event.delta for event in stream if event.type == "content.delta")


def parsed(client: Any) -> str:
    return client.chat.completions.parse(model="whole", messages=ASKED).choices[0].message.content or ""


def raw(client: Any) -> str:
    answer = client.chat.completions.with_raw_response.create(model="whole", messages=ASKED)
    assert answer.headers["Content-Type"] == "application/json"
    return answer.parse().choices[0].message.content or ""


def raw_stream(client: Any) -> str:
    return text_of(client.chat.completions.with_raw_response.create(model="good", messages=ASKED, stream=True).parse())


def with_other_options(client: Any) -> str:
    return plain(client.with_options(timeout=7))


WAYS = [plain, streamed, streamed_by_next, streamed_in_a_block, streamed_by_the_helper, parsed, raw, raw_stream]


@pytest.mark.parametrize("way", [*WAYS, with_other_options])
def test_every_way_to_ask_gives_the_same_and_logs_both_ends(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store, way: Callable[[Any], str]
) -> None:
    before = time.time() * 1000 - 1
    with tracked(client, provider="local") as tracking:
        assert isinstance(tracking, OpenAI)
        assert way(tracking) == ANSWER
    prompt, response = logged(store)
    turn = {"chat_session_id": "chat-1", "turn_id": prompt["data"]["turn_id"]}
    assert prompt == {"t": prompt["t"], "type": "prompt", "data": {"text": "Why is the sky blue?", **turn}}
    data = response["data"]
    assert data.pop("latency_ms") >= data.pop("ttft_ms") >= 0
    counted = {"usage": USAGE} if data["model"] == "whole" else {}  # of a stream only when the application asks for it
    assert response["type"] == "model_response"
    assert data == {
        "text": ANSWER, "model": data["model"], "provider": "local", "response_length": len(ANSWER), "citations": [],
        "finish_reason": "stop", **counted, **turn,
    }  # fmt: skip
    assert before <= prompt["t"] <= response["t"] <= time.time() * 1000 + 1


def test_an_asynchronous_client_is_tracked_too(
    tracked: Callable[..., Tracking[Any]], server: ModelServer, store: Store
) -> None:
    async def run() -> None:
        client = AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)
        async with client, tracked(client) as tracking:
            assert isinstance(tracking, AsyncOpenAI)
            answer = await ask(tracking, "whole")
            assert (type(answer), answer.choices[0].message.content) == (ChatCompletion, ANSWER)
            chunks = await ask(tracking, stream=True)
            assert isinstance(chunks, AsyncStream)
            assert text_of([chunk async for chunk in chunks]) == ANSWER
            async with await ask(tracking, stream=True) as chunks:
                async for chunk in chunks:
                    if chunk.choices[0].delta.content:
                        break
            with pytest.raises(openai.RateLimitError):
                await ask(tracking, "busy")

    asyncio.run(run())
    events = logged(store)
    assert [event["type"] for event in events] == ["prompt", "model_response"] * 4
    whole, stream, left, failed = (event["data"] for event in events[1::2])
    assert whole["text"] == stream["text"] == ANSWER
    assert left["partial"] is True
    assert failed["error"] == "RateLimitError (429)"


def test_a_cancelled_call_is_a_partial_answer(
    tracked: Callable[..., Tracking[Any]], server: ModelServer, store: Store
) -> None:
    server.answer, server.delay_s = "word " * 2000, 0.01

    async def read(client: Any, begun: asyncio.Event) -> None:
        async for chunk in await ask(client, stream=True):
            if chunk.choices[0].delta.content:
                begun.set()

    async def run() -> None:
        client = AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0)
        async with client, tracked(client) as tracking:
            begun = asyncio.Event()
            reading = asyncio.create_task(read(tracking, begun))
            await begun.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    asyncio.run(run())
    data = logged(store)[1]["data"]
    assert data["partial"] is True
    assert "error" not in data


def test_outside_the_block_nothing_is_logged_and_the_client_is_as_it_was(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store
) -> None:
    completions = client.chat.completions
    with tracked(client) as tracking:
        assert plain(client) == ANSWER
        assert tracking.chat.completions is not completions
    assert type(client) is OpenAI
    assert client.chat.completions is completions
    assert plain(OpenAI(base_url=client.base_url, api_key=KEY)) == ANSWER
    assert logged(store) == []


# answers that are more, or less, than a text


def mocked(answer: Any, **more: Any) -> OpenAI:
    reply = httpx2.Response(200, json=answer) if isinstance(answer, dict) else httpx2.Response(200, **more)
    transport = httpx2.MockTransport(lambda request: reply)
    return OpenAI(api_key="k", http_client=httpx2.Client(transport=transport))


def completion(*messages: dict[str, Any]) -> dict[str, Any]:
    choices = [{"index": at, "message": message, "finish_reason": "stop"} for at, message in enumerate(messages)]
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": choices[::-1]}


CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}


def test_a_turn_with_tools_has_one_prompt(tracked: Callable[..., Tracking[Any]], store: Store) -> None:
    calls = completion({"role": "assistant", "content": None, "tool_calls": [CALL]})
    with mocked(calls) as client, tracked(client) as tracking:
        first = tracking.chat.completions.create(model="gpt", messages=ASKED)
        assert first.choices[0].message.tool_calls[0].function.name == "lookup"
        result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
        tracking.chat.completions.create(model="gpt", messages=[*ASKED, first.choices[0].message, result])
    events = logged(store)
    assert [event["type"] for event in events] == ["prompt", "model_response", "model_response"]
    assert len({event["data"]["turn_id"] for event in events}) == 1
    assert events[1]["data"]["tool_calls"] == ["lookup"]
    assert (events[1]["data"]["text"], events[1]["data"]["provider"]) == ("", "openai")


def test_of_several_answers_the_first_is_logged(tracked: Callable[..., Tracking[Any]], store: Store) -> None:
    answers = [{"role": "assistant", "content": "first"}, {"role": "assistant", "content": "second"}]
    with mocked(completion(*answers)) as client, tracked(client) as tracking:
        assert len(tracking.chat.completions.create(model="gpt", messages=ASKED, n=2).choices) == 2
    assert logged(store)[1]["data"]["text"] == "first"


def test_a_prompt_of_parts_is_its_text(tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store) -> None:
    parts: Any = [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    with tracked(client) as tracking:
        tracking.chat.completions.create(model="whole", messages=[{"role": "user", "content": parts}])
    assert logged(store)[0]["data"]["text"] == "What is"


RESPONSE = {
    "id": "r1", "object": "response", "created_at": 1, "model": "gpt", "status": "completed",
    "output": [{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "It scatters.", "annotations": [
            {"type": "url_citation", "url": "https://a.example/1", "title": "A", "start_index": 0, "end_index": 1}]}]}],
    "usage": {"input_tokens": 7, "output_tokens": 11, "total_tokens": 18},
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_the_responses_api_is_logged_too(tracked: Callable[..., Tracking[Any]], store: Store, stream: bool) -> None:
    events: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", "delta": word, "item_id": "m1", "output_index": 0, "content_index": 0}
        for word in ("It ", "scatters.")
    ]
    events.append({"type": "response.completed", "response": RESPONSE})
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    headers = {"Content-Type": "text/event-stream"}
    with mocked(None if stream else RESPONSE, text=body, headers=headers) as client, tracked(client) as tracking:
        if stream:
            assert len(list(tracking.responses.create(model="gpt", input="Why?", stream=True))) == 3
        else:
            assert tracking.responses.create(model="gpt", input="Why?").output_text == "It scatters."
    prompt, response = (event["data"] for event in logged(store))
    assert prompt["text"] == "Why?"
    assert (response["text"], response["model"], response["usage"]) == ("It scatters.", "gpt", USAGE)
    assert response["citations"] == [{"url": "https://a.example/1", "title": "A"}]


def test_an_answer_that_cannot_be_read_is_the_applications_all_the_same(
    tracked: Callable[..., Tracking[Any]], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    page = {"text": "<html>Welcome</html>", "headers": {"Content-Type": "text/html"}}
    with mocked(None, **page) as client, tracked(client) as tracking:
        raw = tracking.chat.completions.with_raw_response.create(model="gpt", messages=ASKED)
        assert raw.text == "<html>Welcome</html>"
    assert "a call could not be read (JSONDecodeError)" in caplog.text
    assert "text" not in logged(store)[1]["data"]


def test_bytes_that_the_application_reads_itself_are_left_alone(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store
) -> None:
    with tracked(client) as tracking:
        create = tracking.chat.completions.with_streaming_response.create
        with create(model="whole", messages=ASKED) as raw:
            assert json.loads(raw.read())["choices"][0]["message"]["content"] == ANSWER
    data = logged(store)[1]["data"]
    assert "latency_ms" in data
    assert not {"text", "response_length", "error"} & set(data)


def test_other_calls_are_not_logged(tracked: Callable[..., Tracking[Any]], store: Store) -> None:
    embedding = {"object": "embedding", "index": 0, "embedding": [0.5]}
    with (
        mocked({"object": "list", "model": "e", "data": [embedding], "usage": {}}) as client,
        tracked(client) as tracking,
    ):
        assert tracking.embeddings.create(model="e", input="Why?").data[0].embedding == [0.5]
    assert logged(store) == []


# answers that end early


FAILURES = {
    "busy": "RateLimitError (429)",
    "wrong-key": "AuthenticationError (401)",
    "fails": "InternalServerError (500)",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FAILURES)
def test_an_error_reaches_the_application_and_the_log_without_its_words(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store, model: str, stream: bool
) -> None:
    with tracked(client) as tracking, pytest.raises(openai.APIStatusError, match="Incorrect API key"):
        ask(tracking, model, stream=stream)
    prompt, response = logged(store)
    assert response["data"]["error"] == FAILURES[model]
    assert response["data"]["turn_id"] == prompt["data"]["turn_id"]
    assert "text" not in response["data"]
    assert KEY not in json.dumps(response["data"])


def test_retries_of_the_sdk_are_one_call(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, server: ModelServer, store: Store
) -> None:
    with tracked(client.with_options(max_retries=2)) as tracking:
        assert text_of(ask(tracking, "busy-once", stream=True)) == ANSWER
    assert len(server.requests) == 2
    assert [event["type"] for event in logged(store)] == ["prompt", "model_response"]


def test_a_stream_that_breaks_is_an_error_and_a_partial_answer(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store
) -> None:
    with tracked(client) as tracking, pytest.raises(openai.OpenAIError):
        list(ask(tracking, "error-after-3", stream=True))
    data = logged(store)[1]["data"]
    assert (data["partial"], data["error"], data["text"]) == (True, "APIError", "**Supervised learning** learns ")


def closed(client: Any) -> Any:
    with ask(client, stream=True) as chunks:
        return [next(chunks), next(chunks)]


def held(client: Any) -> Any:
    chunks = ask(client, stream=True)
    return [next(chunks), next(chunks), chunks]


def dropped(client: Any) -> Any:
    chunks = ask(client, stream=True)
    found = [next(chunks), next(chunks)]
    del chunks
    gc.collect()
    return found


@pytest.mark.parametrize("way", [closed, held, dropped])
def test_a_stream_left_midway_is_a_partial_answer(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, server: ModelServer, store: Store, way: Callable[[Any], Any]
) -> None:
    server.answer, server.delay_s = "word " * 100, 0.01
    with tracked(client) as tracking:
        kept = way(tracking)
    data = logged(store)[1]["data"]
    assert (data["partial"], data["text"], data["response_length"]) == (True, "word ", 5)
    del kept


def test_a_stream_read_after_the_block_is_logged_when_it_ends(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store
) -> None:
    with tracked(client) as tracking:
        chunks = ask(tracking, stream=True)
    assert [event["type"] for event in logged(store)] == ["prompt"]
    assert text_of(chunks) == ANSWER
    wait_for(lambda: len(logged(store)) == 2)
    assert logged(store)[1]["data"]["text"] == ANSWER


# whose session


@pytest.mark.parametrize("key", [INGEST, None], ids=["with the key", "with the token of its start"])
def test_without_a_session_the_block_is_one(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store, key: str | None
) -> None:
    block = tracked(client, session_id=None, user_id="kim", experiment_id="default", ingest_key=key)
    with block as tracking:
        plain(tracking)
    document = store.find(block.session_id)
    assert document is not None
    assert (document["user_id"], document["experiment_id"]) == ("kim", "default")
    assert document["environment"]["application"] == "llmtrack.client"
    assert [event["type"] for event in document["events"]] == ["prompt", "model_response"]
    assert document["end_time"].timestamp() * 1000 >= document["events"][-1]["t"] - 1000


def test_a_session_that_starts_a_little_later_gets_its_events(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, store: Store
) -> None:
    with tracked(client, session_id="user_late_1_x") as late:
        plain(late)
    with tracked(client) as tracking:  # others do not wait for it
        plain(tracking)
    assert len(logged(store)) == 2
    store.start({"session_id": "user_late_1_x", "user_id": "late"})
    wait_for(lambda: len(logged(store, "user_late_1_x")) == 2, 20)


# the collector does not matter to the application


@pytest.mark.parametrize("carried_out", [True, False], ids=["after it stored", "before it stored"])
def test_what_is_tried_again_is_stored_once(
    tracked: Callable[..., Tracking[Any]], app: Faulty, client: OpenAI, store: Store, carried_out: bool
) -> None:
    tries: dict[str, int] = {}

    def bad(body: dict[str, Any]) -> str | None:
        tries[body["id"]] = tries.get(body["id"], 0) + 1
        return "503 Service Unavailable" if tries[body["id"]] < 3 else None

    app.bad, app.carried_out = bad, carried_out
    block = tracked(client)
    with block as tracking:
        plain(tracking)
        streamed(tracking)
    wait_for(lambda: sorted(tries.values()) == [3, 3, 3, 3], 30)
    wait_for(lambda: len(logged(store)) == 4)
    assert [event["type"] for event in logged(store)] == ["prompt", "model_response"] * 2
    assert block.dropped == 0


def test_a_collector_that_is_away_delays_and_breaks_nothing(
    client: OpenAI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_WAITING_BYTES", 4000)
    block = track(client, session_id="s", endpoint="http://127.0.0.1:9", flush_s=30)
    began = time.monotonic()
    with block as tracking:
        for _ in range(8):
            assert plain(tracking) == ANSWER
    assert time.monotonic() - began < 20
    assert block.dropped > 2
    warnings = [record.getMessage() for record in caplog.records if record.name == "llmtrack"]
    assert warnings == [
        "llmtrack did not log something: the collector does not answer, and too much is waiting for it already. "
        "More of this will only be counted."
    ]
    assert "sky" not in caplog.text


def test_a_collector_that_hangs_delays_no_call(client: OpenAI, app: Faulty, tracked: Callable[..., Any]) -> None:
    release = threading.Event()
    app.bad = lambda body: release.wait(30) and None
    with tracked(client, flush_s=0.1) as tracking:
        assert plain(tracking) == ANSWER
        assert not release.is_set()
    release.set()


WRONG = {
    # what is wrong with the call: what the warning says
    "key": ({"ingest_key": "wrong"}, "403: The bearer opens nothing here"),
    "address": ({"endpoint": "no address"}, "endpoint or ingest_key cannot be right"),
    "header": ({"ingest_key": "two\nlines"}, "endpoint or ingest_key cannot be right"),
    "experiment": ({"session_id": None, "experiment_id": "none"}, "422: experiment_id: there is no experiment 'none'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused_is_counted_and_warned_of_once(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    wrong, words = WRONG[case]
    endpoint = tracked(client)._sender._endpoint
    given: dict[str, Any] = {"endpoint": endpoint, "ingest_key": INGEST, "session_id": SESSION, **wrong}
    block = track(client, flush_s=20, **given)
    with block as tracking:
        assert plain(tracking) == ANSWER
    wait_for(lambda: block.dropped)
    [warning] = [record.getMessage() for record in caplog.records if record.name == "llmtrack"]
    assert words in warning
    assert "lines" not in warning


def test_a_client_that_is_none_is_given_back(caplog: pytest.LogCaptureFixture) -> None:
    stranger = object()
    with track(stranger, session_id="s", endpoint="http://127.0.0.1:9/none") as tracking:
        assert tracking is stranger
    assert "did not log something: the client is none of the OpenAI SDK" in caplog.text


def test_a_very_long_answer_is_cut_to_what_a_collector_takes(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, server: ModelServer, store: Store
) -> None:
    server.answer = "日本" * 100_000
    with tracked(client) as tracking:
        ask(tracking, "whole")
    data = logged(store)[1]["data"]
    assert server.answer.startswith(data["text"])
    assert len(data["text"]) > 30_000
    assert data["response_length"] == 200_000


# the process

SCRIPT = """
import sys, threading
from llmtrack.client import track
heavy = {"openai", "httpx2", "flask", "pymongo", "pandas", "numpy", "typer"} & set(sys.modules)
assert not heavy, heavy
from openai import OpenAI
model, collector, key, session = sys.argv[1:]
client = OpenAI(base_url=model, api_key="k")
with track(client, session_id=session, endpoint=collector, ingest_key=key, flush_s=0) as tracked:
    tracked.chat.completions.create(model="whole", messages=[{"role": "user", "content": "Why?"}])
"""


def test_what_waits_when_the_program_ends_is_sent(
    tracked: Callable[..., Tracking[Any]], client: OpenAI, server: ModelServer, store: Store
) -> None:
    endpoint = tracked(client)._sender._endpoint
    arguments = [sys.executable, "-W", "error", "-c", SCRIPT, server.base_url, endpoint, INGEST, SESSION]
    subprocess.run(arguments, check=True, timeout=120)
    assert [event["type"] for event in logged(store)] == ["prompt", "model_response"]


def test_a_program_ends_though_the_collector_is_away_and_says_what_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    away = Sender("http://127.0.0.1:9", None)
    away.put("/api/session/event", {"session_id": "s"})
    began = time.monotonic()
    away.end(0.2)
    atexit.unregister(away.end)
    assert time.monotonic() - began < 5
    wait_for(lambda: not away._thread.is_alive())
    assert away.dropped == 1
    assert "the program ended before the collector had taken all" in caplog.text


def test_the_random_numbers_of_the_application_stay_its_own() -> None:
    """A study that seeds its generator draws the same numbers, whether or not the collector answers."""
    random.seed(7)
    before = random.getstate()
    away = Sender("http://127.0.0.1:9", None)
    away.put("/api/session/event", {"session_id": "s"})
    wait_for(lambda: away._failed > 1)
    atexit.unregister(away.end)
    away.end(0)
    assert random.getstate() == before
