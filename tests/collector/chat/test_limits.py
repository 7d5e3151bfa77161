"""What finds no room is marked, never dropped silently; what is spent and when to come back holds for `/v1` too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask

from llmtrack.collector.chat import context as contexts
from llmtrack.collector.chat.context import context
from llmtrack.config import Limits, Settings
from llmtrack.session.schema import MAX_TEXT
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.usage import midnight
from llmtrack.turn.question import prompt_data
from tests.collector.chat.test_query import SESSION, app_of, events, logged, question
from tests.collector.conftest import Answer, Browser
from tests.collector.model_server import ModelServer, running

INGEST = "ingest-key-for-tests"
START = {"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        server.answer = "Because."
        yield server


@pytest.fixture
def collector(
    settings: Settings, store: Store, server: ModelServer, serve: Callable[[Flask], str]
) -> Callable[..., Browser]:
    def start(model: str = "good", **more: Any) -> Browser:
        experiments = {"trial": {"groups": [{"name": "arm", "model": model, "base_url": server.base_url}]}}
        return Browser(serve(app_of(settings, store, experiments, ingest_key=INGEST, **more)))

    store.start(START)
    return start


def v1(browser: Browser, text: str = "Why?", **more: Any) -> Answer:
    body = {"messages": [{"role": "user", "content": text}], **more}
    bearer = {"Authorization": f"Bearer {INGEST}"}
    return browser.post("/v1/chat/completions", body, **bearer, X_LLMTrack_Session=SESSION)


# a prompt cut at a limit


@pytest.mark.parametrize(("length", "marks"), [(9, {}), (10, {}), (11, {"text_length": 11}), (25, {"text_length": 25})])
def test_a_prompt_that_is_cut_says_how_long_it_was(length: int, marks: dict[str, int]) -> None:
    assert prompt_data("é" * length, most=10) == {"text": "é" * min(length, 10), **marks}


def test_a_cut_prompt_is_stored_with_its_length_and_told_to_the_model_whole(
    collector: Callable[..., Browser], server: ModelServer, store: Store
) -> None:
    assert v1(collector(), "x" * MAX_TEXT + "end").status == 200
    assert server.requests[0]["messages"][0]["content"].endswith("xend")
    prompt = logged(store)[0]["data"]
    assert (prompt["text"], prompt["text_length"]) == ("x" * MAX_TEXT, MAX_TEXT + 3)


# a turn too long for the context

ROOMS: dict[str, tuple[list[tuple[str, str]], list[str], int]] = {
    # turns, contents told of them, characters left out, of a room of 20
    "all fits": ([("q" * 8, "a" * 12)], ["q" * 8, "a" * 12], 0),
    "a question loses its beginning": ([("12345678", "a" * 15)], ["…45678", "a" * 15], 3),
    "an answer fills all": ([("q" * 8, "a" * 20)], ["…", "…" + "a" * 20], 8),
    "an answer loses its beginning": ([("q", "1234" + "a" * 18)], ["…", "…34" + "a" * 18], 3),
    "the older turn is cut": ([("1234", "5678"), ("q" * 7, "a" * 9)], ["…", "…5678", "q" * 7, "a" * 9], 4),
    "what is older than a cut turn is gone": (
        [("1", "2"), ("1234", "5678"), ("q" * 7, "a" * 9)], ["…", "…5678", "q" * 7, "a" * 9], 6
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROOMS)
def test_the_oldest_part_finds_no_room_and_is_counted(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "MAX_CHARACTERS", 20)
    turns, told, left_out = ROOMS[case]
    found = context("", [{"text": text, "answer": {"text": answer}} for text, answer in turns], "p")
    assert [message["content"] for message in found.messages] == [*told, "p"]
    assert found.left_out_characters == left_out
    said = "".join(text + answer for text, answer in turns)
    kept = "".join(message["content"] for message in found.messages[:-1]).replace("…", "")
    assert len(said) == len(kept) + left_out
    assert said.endswith(kept)


def test_the_event_says_how_much_was_left_out(
    collector: Callable[..., Browser], server: ModelServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "MAX_CHARACTERS", 10)
    browser = collector()
    for text in ("Why?", "How?", "When?"):  # "Because." and a question are 12 characters
        assert browser.post("/query", question(text)).status == 200
    prompts = [event["data"] for event in logged(store) if event["type"] == "prompt"]
    assert [prompt.get("left_out_characters") for prompt in prompts] == [None, 2, 14]
    assert [message["content"] for message in server.requests[-1]["messages"]] == ["…w?", "Because.", "When?"]


# when to come back


def test_when_to_come_back_is_carried_through(collector: Callable[..., Browser], server: ModelServer) -> None:
    server.failure_headers = {"Retry-After": "40"}
    browser = collector("busy")
    refused = v1(browser)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "40")
    for stream in (False, True):
        assert int(v1(browser, stream=stream).headers["Retry-After"]) == pytest.approx(40, abs=5)
    whole = browser.post("/query", question())
    assert int(whole.headers["Retry-After"]) == pytest.approx(40, abs=5)
    name, data = events(browser.post("/query", question(stream=True)).json)[-1]
    assert (name, data["status"]) == ("error", whole.status)
    assert data["retry_after_s"] == pytest.approx(40, abs=5)
    assert len(server.requests) == 1


# tokens of a day


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_counted_for_the_sessions_user_over_v1_too(
    collector: Callable[..., Browser], server: ModelServer, store: Store, stream: bool
) -> None:
    with time_machine.travel(midnight(datetime.now(UTC)) + timedelta(hours=12)):
        browser = collector("good" if stream else "whole", limits=Limits(tokens_per_user_per_day=30))
        for asked in (1, 2):  # 18 tokens each, as the provider counts
            assert v1(browser, stream=stream).status == 200
            deadline = time.monotonic() + 10
            while store.database["usage"].count_documents({"user_id": "ann", "tokens": 18 * asked}) < 1:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        refused = v1(browser, stream=stream)
        assert refused.status == 429
        assert "spent 36 of 30 tokens today" in refused.json["error"]["message"]
        assert int(refused.headers["Retry-After"]) > 0
        assert len(server.requests) == 2
