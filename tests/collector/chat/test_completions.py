"""POST /v1/chat/completions: the OpenAI SDK asks the collector, the collector asks the model server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from openai import APIStatusError, AsyncOpenAI, AuthenticationError, OpenAI, OpenAIError

from llmtrack.config import Settings
from llmtrack.session.schema import MAX_COMPLETION_BYTES
from llmtrack.store.database.sessions import Store
from tests.collector.chat.test_query import HASTY, SESSION, app_of, logged, wait_for
from tests.collector.conftest import Browser
from tests.collector.model_server import ANSWER, KEY, ModelServer, running

INGEST = "ingest-key-for-tests"
HEADERS = {"X-LLMTrack-Session": SESSION, "X-LLMTrack-Chat": "chat-1"}
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is the sky blue?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def collector(
    settings: Settings, store: Store, server: ModelServer, serve: Callable[[Flask], str]
) -> Callable[..., str]:
    """Start a collector whose groups ask this model (`arm`) and the model "good" (`other`); returns its address."""

    def start(model: str = "good", *, ingest_key: str | None = INGEST, **group: Any) -> str:
        arm = {"name": "arm", "model": model, "base_url": server.base_url, **group}
        other = {"name": "other", "model": "annotated", "base_url": server.base_url, "provider": "elsewhere"}
        return serve(app_of(settings, store, {"trial": {"groups": [arm, other]}}, ingest_key=ingest_key))

    store.start({"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    return start


def sdk(address: str, key: str = INGEST, **headers: str) -> OpenAI:
    return OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, default_headers={**HEADERS, **headers})


def told(raw: Any) -> tuple[str, str | None]:
    return raw.headers["X-LLMTrack-Tracked"], raw.headers.get("X-LLMTrack-Notice")


# both ends of a call are logged


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_needs_only_another_base_url(
    collector: Callable[..., str], server: ModelServer, store: Store, stream: bool
) -> None:
    model = "good" if stream else "whole"
    with sdk(collector(model, provider="local")) as client:
        create = client.chat.completions.with_raw_response.create
        raw = create(model="anything", messages=ASKED, temperature=0.5, stream=stream, tools=TOOLS)
        if stream:
            chunks = list(raw.parse())  # type: ignore[arg-type]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER  # type: ignore[attr-defined]
            assert len(chunks) > 10
        else:
            assert raw.parse().choices[0].message.content == ANSWER  # type: ignore[union-attr]
    assert told(raw) == ("true", None)
    assert raw.headers["X-LLMTrack-Group"] == "arm"
    [passed_on] = server.requests
    wish = {"stream_options": {"include_usage": True}} if stream else {}
    assert passed_on == {
        "model": model, "messages": ASKED, "temperature": 0.5, "tools": TOOLS, "stream": stream, **wish
    }  # fmt: skip
    assert server.keys == [KEY]
    prompt, response = logged(store)
    turn = {"chat_session_id": "chat-1", "turn_id": raw.headers["X-LLMTrack-Turn"]}
    assert (prompt["type"], response["type"]) == ("prompt", "model_response")
    assert prompt["data"] == {"text": "Why is the sky blue?", **turn}
    data = response["data"]
    assert data.pop("latency_ms") >= data.pop("ttft_ms") >= 0
    usage = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}
    assert data == {
        "text": ANSWER, "model": model, "provider": "local", "response_length": len(ANSWER), "citations": [],
        "usage": usage, "finish_reason": "stop", **turn,
    }  # fmt: skip
    assert prompt["t"] <= response["t"]


def test_the_async_sdk_streams_and_gets_the_count_of_tokens_it_asked_for(
    collector: Callable[..., str], store: Store
) -> None:
    async def ask(address: str) -> list[Any]:
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key=INGEST, default_headers=HEADERS) as client:
            stream = await client.chat.completions.create(
                model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
            )
            return [chunk async for chunk in stream]

    chunks = asyncio.run(ask(collector()))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage.total_tokens == 18
    assert [event["type"] for event in logged(store)] == ["prompt", "model_response"]


def test_a_stream_ends_with_done_and_comes_while_the_model_writes(
    collector: Callable[..., str], server: ModelServer
) -> None:
    server.answer, server.delay_s = "one two three four five", 0.2
    with sdk(collector()) as client:
        create = client.chat.completions.with_streaming_response.create
        with create(model="m", messages=ASKED, stream=True) as raw:
            lines = [line for line in raw.iter_lines() if line]
    assert raw.headers["Content-Type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[:-1])


def test_who_leaves_mid_stream_closes_the_models_connection_and_leaves_a_partial_answer(
    collector: Callable[..., str], server: ModelServer, store: Store
) -> None:
    server.answer, server.delay_s = "word " * 400, 0.01
    with sdk(collector()) as client:
        with client.chat.completions.create(model="m", messages=ASKED, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        assert server.left.wait(10)
    response = wait_for(lambda: logged(store)[1:])[0]["data"]
    assert response["partial"] is True
    assert 0 < len(response["text"]) < len(server.answer)


def test_a_model_that_cannot_stream_is_streamed_at_once(collector: Callable[..., str], store: Store) -> None:
    with sdk(collector("whole")) as client:
        chunks = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
    assert logged(store)[1]["data"]["text"] == ANSWER


@pytest.mark.parametrize("stream", [False, True])
def test_the_demo_answers_too(collector: Callable[..., str], store: Store, stream: bool) -> None:
    with sdk(collector(provider="demo", model="demo")) as client:
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is machine learning?"}]}]
        if stream:
            chunks = list(client.chat.completions.create(model="m", messages=messages, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            text = client.chat.completions.create(model="m", messages=messages).choices[0].message.content or ""
    assert "Machine learning in short" in text
    prompt, response = logged(store)
    assert prompt["data"]["text"] == "What is machine learning?"
    assert response["data"]["text"] == text


def test_a_model_that_goes_on_after_its_tools_is_not_asked_twice(collector: Callable[..., str], store: Store) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    more = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    with sdk(collector("whole")) as client:
        client.chat.completions.create(model="m", messages=[*ASKED, *more], tools=TOOLS)
    prompt, response = logged(store)
    assert prompt["data"]["turn_id"] == response["data"]["turn_id"]
    assert prompt["data"]["text"] == "Why is the sky blue?"


# which group answers

CHOSEN = {
    # headers' session, model, user: the group that answers
    "the visit's group, whatever the model": (SESSION, "other", None, "arm"),
    "without a visit the group that model names": ("", "other", None, "other"),
    "without both the first": ("", "gpt-4o", None, "arm"),
    "an unknown visit is no visit": ("user_x_1_y", "other", None, "other"),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_group_decides_the_model(collector: Callable[..., str], server: ModelServer, case: str) -> None:
    session_id, model, user, group = CHOSEN[case]
    with sdk(collector("whole"), **{"X-LLMTrack-Session": session_id}) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=ASKED, stream=True, **({"user": user} if user else {})
        )
        list(raw.parse())
    assert raw.headers["X-LLMTrack-Group"] == group
    assert server.requests[0]["model"] == {"arm": "whole", "other": "annotated"}[group]


def test_without_a_visit_a_user_stays_in_one_group(collector: Callable[..., str]) -> None:
    with sdk(collector("good"), **{"X-LLMTrack-Session": ""}) as client:
        groups: dict[str, set[str]] = {}
        for user in [f"user {number}" for number in range(8)] * 2:
            raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED, user=user, stream=True)
            groups.setdefault(user, set()).add(raw.headers["X-LLMTrack-Group"])
            raw.parse().close()
    assert all(len(of_user) == 1 for of_user in groups.values())
    assert set().union(*groups.values()) == {"arm", "other"}


def test_the_groups_system_prompt_stands_in_for_a_missing_one(
    collector: Callable[..., str], server: ModelServer
) -> None:
    with sdk(collector("whole", system_prompt="Answer in one paragraph.")) as client:
        for messages in (ASKED, ASKED[1:]):
            client.chat.completions.create(model="m", messages=messages)
    own, none = ([message["content"] for message in request["messages"]] for request in server.requests)
    assert own == ["Be brief.", "Why is the sky blue?"]
    assert none == ["Answer in one paragraph.", "Why is the sky blue?"]


# a call that is not tracked is answered all the same

UNTRACKED = {
    "no header": ("", "Not tracked: no X-LLMTrack-Session was given."),
    "unknown visit": ("user_x_1_y", "Not tracked: no session 'user_x_1_y' was started."),
    "odd visit": ("é$ne", r"Not tracked: no session '\xe9$ne' was started."),
}


@pytest.mark.parametrize("case", UNTRACKED)
def test_a_header_says_why_a_call_is_not_tracked(collector: Callable[..., str], case: str) -> None:
    session_id, notice = UNTRACKED[case]
    body = {"model": "m", "messages": ASKED}
    headers = {"X_LLMTrack_Session": session_id, "X_LLMTrack_Chat": "chat-1", "Authorization": f"Bearer {INGEST}"}
    answer = Browser(collector("whole")).post("/v1/chat/completions", body, **headers)
    assert answer.json["choices"][0]["message"]["content"] == ANSWER
    assert told(answer) == ("false", notice)


def test_without_any_database_the_answer_still_comes(
    settings: Settings, serve: Callable[[Flask], str], server: ModelServer
) -> None:
    groups = {"trial": {"groups": [{"name": "arm", "model": "whole", "base_url": server.base_url}]}}
    away = Store("mongodb://127.0.0.1:9/?directConnection=true", timeout_s=0.2)
    with away, sdk(serve(app_of(settings, away, groups, ingest_key=INGEST, spool=HASTY))) as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
    assert raw.parse().choices[0].message.content == ANSWER
    assert told(raw) == ("true", None)  # both ends wait in the spool


def test_a_visit_is_one_chat_when_none_is_named(collector: Callable[..., str], store: Store) -> None:
    with sdk(collector("whole"), **{"X-LLMTrack-Chat": ""}) as client:
        client.chat.completions.create(model="m", messages=ASKED)
    assert {event["data"]["chat_session_id"] for event in logged(store)} == {SESSION}


# failures have OpenAI's shape, and are logged

FAILURES = {
    # model: status, type, what the message says
    "busy": (429, "rate_limit_error", "asked too often"),
    "refuses": (400, "invalid_request_error", "Model 'refuses' refused the question (400)"),
    "wrong-key": (503, "server_error", "which holds the key of group 'arm'"),
    "lost-model": (503, "server_error", "Correct model of group 'arm' in llmtrack.toml"),
    "fails": (502, "server_error", "Model 'fails' failed (500)"),
    "silent": (504, "server_error", "Model 'silent' did not answer within 0.5 s."),
    "web-page": (502, "server_error", "is no chat completion: a web page"),
    "garbage": (502, "server_error", "is no chat completion"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FAILURES)
def test_a_failure_before_the_first_word_is_an_openai_error(
    collector: Callable[..., str], store: Store, model: str, stream: bool
) -> None:
    status, kind, message = FAILURES[model]
    with sdk(collector(model)) as client, pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=ASKED, stream=stream)
    error = caught.value
    assert (error.status_code, error.type) == (status, kind)
    assert message in str(error)
    assert KEY not in str(error)
    prompt, response = logged(store)
    assert response["data"]["turn_id"] == prompt["data"]["turn_id"] == error.response.headers["X-LLMTrack-Turn"]
    assert message.split("Correct")[0].split("which holds")[0] in response["data"]["error"]
    assert "text" not in response["data"]


def test_a_failure_in_the_middle_is_an_openai_error_in_the_stream(collector: Callable[..., str], store: Store) -> None:
    with sdk(collector("broken-after-3")) as client:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        with pytest.raises(OpenAIError, match="The answer of model 'broken-after-3' broke off"):
            list(stream)
    data = logged(store)[1]["data"]
    assert data["partial"] is True
    assert data["error"] == "The answer of model 'broken-after-3' broke off."


BAD = {
    # body: status, what the message names
    b"{": (400, "not JSON"),
    b"[]": (400, "not a JSON object"),
    b"{}": (422, "messages"),
    b'{"messages": []}': (422, "messages"),
    b'{"messages": "Why?"}': (422, "messages"),
    b'{"messages": [7]}': (422, "messages.0"),
    b'{"messages": [{"role": "user"}], "stream": "yes"}': (422, "stream"),
}


@pytest.mark.parametrize("body", BAD)
def test_a_body_that_cannot_be_read_is_refused_in_openais_shape(collector: Callable[..., str], body: bytes) -> None:
    status, names = BAD[body]
    answer = Browser(collector()).post("/v1/chat/completions", body, Authorization=f"Bearer {INGEST}")
    assert (answer.status, answer.json["error"]["type"]) == (status, "invalid_request_error")
    assert names in answer.json["error"]["message"]


def test_a_body_may_hold_pictures_but_not_without_end(collector: Callable[..., str]) -> None:
    with sdk(collector("whole")) as client:
        picture: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 1_000_000}}]}]
        assert client.chat.completions.create(model="m", messages=picture).choices[0].message.content == ANSWER
        picture[0]["content"][0]["image_url"]["url"] = "x" * MAX_COMPLETION_BYTES
        with pytest.raises(APIStatusError) as caught:
            client.chat.completions.create(model="m", messages=picture)
    assert caught.value.status_code == 413


# who may call


@pytest.mark.parametrize("key", ["wrong", "ingest-key-for-test", f"{INGEST}x", "é".encode().decode("latin-1")])
def test_a_wrong_key_asks_no_model(collector: Callable[..., str], server: ModelServer, store: Store, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answer = Browser(collector()).post("/v1/chat/completions", {"messages": ASKED}, **headers)
    assert answer.status == 401
    assert answer.json["error"]["type"] == "authentication_error"
    assert server.requests == logged(store) == []


def test_the_sdk_raises_its_own_error_for_a_wrong_key(collector: Callable[..., str]) -> None:
    with sdk(collector(), "wrong") as client, pytest.raises(AuthenticationError, match="ingest key"):
        client.chat.completions.create(model="m", messages=ASKED)


STRANGERS = {
    "a page in a browser": {"Origin": "http://127.0.0.1:8000"},
    "behind a proxy": {"X_Forwarded_For": "203.0.113.7"},
    "a name bent to this machine": {"Host": "evil.example"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_without_a_key_only_programs_of_this_machine_may_ask(
    collector: Callable[..., str], server: ModelServer, stranger: str
) -> None:
    browser = Browser(collector("whole", ingest_key=None))
    assert browser.post("/v1/chat/completions", {"messages": ASKED}).status == 200
    answer = browser.post("/v1/chat/completions", {"messages": ASKED}, **STRANGERS[stranger])
    assert answer.status == 401
    assert "LLMTRACK_INGEST_KEY" in answer.json["error"]["message"]
    assert len(server.requests) == 1
