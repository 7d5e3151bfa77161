from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import pytest

from llmtrack.collector.models import demo
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.models.failures import ModelError
from llmtrack.config import DEMO, Group, load_settings
from llmtrack.turn.chunk import Delta, read_chunk
from llmtrack.turn.citations import merged
from tests.collector.model_server import ANSWER, KEY, ModelServer, running

ASKED = [{"role": "user", "content": "tell me"}]


class Told(NamedTuple):
    text: str
    pieces: int
    model: str | None
    citations: tuple[dict[str, str], ...]
    usage: dict[str, int] | None


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def client() -> Iterator[ChatClient]:
    client = ChatClient(load_settings(OPENAI_API_KEY=KEY, model_timeout_s=0.5, secret_key="x"), demo_delay_s=0)
    yield client
    client.close()


@pytest.fixture
def ask(client: ChatClient, server: ModelServer) -> Callable[[str], Told]:
    """Ask the model server's model of this name."""
    return lambda model: told(deltas(client, group(model, server.base_url)))


def deltas(client: ChatClient, group: Group, messages: Any = ASKED) -> Generator[Delta]:
    """What the group's model says, piece by piece."""
    for piece in client.complete(group, {"messages": messages, "stream": True}):
        yield piece.delta


def group(model: str, base_url: str | None) -> Group:
    return Group(name="arm", model=model, base_url=base_url)


def told(deltas: Iterator[Delta]) -> Told:
    text, pieces, model, citations, usage = "", 0, None, (), None
    for delta in deltas:
        text, pieces = text + delta.text, pieces + bool(delta.text)
        model, usage = delta.model or model, delta.usage or usage
        citations = merged(citations, delta.citations)
    return Told(text, pieces, model, citations, usage)


def test_an_answer_comes_in_pieces_with_its_model_and_its_tokens(ask: Callable[[str], Told]) -> None:
    answer = ask("good")
    assert answer.text == ANSWER
    assert answer.pieces > 10
    assert answer.model == "good"
    assert answer.usage == {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}
    assert answer.citations == ()


def test_the_model_is_asked_for_what_the_group_says_with_its_key(
    ask: Callable[[str], Told], server: ModelServer
) -> None:
    ask("good")
    assert server.requests == [
        {"model": "good", "messages": ASKED, "stream": True, "stream_options": {"include_usage": True}}
    ]
    assert server.keys == [KEY]


def test_a_server_that_cannot_stream_answers_at_once(ask: Callable[[str], Told]) -> None:
    answer = ask("whole")
    assert (answer.text, answer.pieces) == (ANSWER, 1)
    assert answer.usage == {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}


def test_a_server_that_refuses_stream_options_is_asked_without_them_from_then_on(
    ask: Callable[[str], Told], server: ModelServer
) -> None:
    assert ask("no-usage").text == ANSWER
    assert ask("no-usage").text == ANSWER
    assert ["stream_options" in request for request in server.requests] == [True, False, False]


def test_a_failure_that_passes_is_asked_once_more(ask: Callable[[str], Told], server: ModelServer) -> None:
    assert ask("busy-once").text == ANSWER
    assert len(server.requests) == 2


@pytest.mark.parametrize("model", ["annotated", "perplexity"])
def test_citations_are_found_where_providers_put_them(ask: Callable[[str], Told], model: str) -> None:
    assert ask(model).citations == ({"url": "https://a.example/1", "title": "A source"},)


FAILURES = {
    # model: status, message, hint, requests
    "wrong-key": (503, "refused the API key for model 'wrong-key' (401)", "environment variable OPENAI_API_KEY", 1),
    "forbidden": (503, "refused the API key for model 'forbidden' (403)", "group 'arm'", 1),
    "lost-model": (503, "knows no model 'lost-model' (404)", "Correct model of group 'arm' in llmtrack.toml", 1),
    "busy": (502, "Model 'busy' is asked too often, or its quota is used up (429).", "Try again later", 2),
    "refuses": (502, "Model 'refuses' refused the question (400): Incorrect API key provided: ***", "", 1),
    "fails": (502, "Model 'fails' failed (500)", "Try again", 2),
    "silent": (504, "Model 'silent' did not answer within 0.5 s.", "LLMTRACK_MODEL_TIMEOUT_S", 1),
    "web-page": (502, "is no chat completion", "base_url of group 'arm' in llmtrack.toml: it usually ends in /v1", 1),
    "garbage": (502, "is no chat completion", "base_url", 1),
}


@pytest.mark.parametrize("model", FAILURES)
def test_a_failure_says_what_happened_and_what_to_set(
    ask: Callable[[str], Told], server: ModelServer, model: str
) -> None:
    status, message, hint, requests = FAILURES[model]
    with pytest.raises(ModelError) as failure:
        ask(model)
    assert failure.value.status == status
    assert message in failure.value.message
    assert hint in failure.value.hint
    assert len(server.requests) == requests
    assert KEY not in str(failure.value)
    assert "\n" not in str(failure.value)


BREAKS = {
    "broken-after-3": (502, "The answer of model 'broken-after-3' broke off."),
    "cut-after-3": (502, "The answer of model 'cut-after-3' broke off."),
    "error-after-3": (502, "Model 'error-after-3' failed: overloaded, key ***."),
    "garbage-after-3": (502, "is no chat completion"),
    "silent-after-3": (504, "Model 'silent-after-3' stopped in the middle of its answer for 0.5 s."),
}


def test_a_stream_whose_end_nothing_tells_from_a_break_is_no_failure(ask: Callable[[str], Told]) -> None:
    assert ask("unframed-after-3").text == "**Supervised learning** learns "


@pytest.mark.parametrize("model", BREAKS)
def test_a_stream_that_breaks_gives_what_came_before(client: ChatClient, server: ModelServer, model: str) -> None:
    status, message = BREAKS[model]
    stream = deltas(client, group(model, server.base_url))
    texts: list[str] = []
    with pytest.raises(ModelError) as failure:
        texts.extend(delta.text for delta in stream)
    assert "".join(texts) == "**Supervised learning** learns "
    assert failure.value.status == status
    assert message in failure.value.message


def test_closing_the_answer_closes_the_connection_to_the_model(client: ChatClient, server: ModelServer) -> None:
    server.answer, server.delay_s = "word " * 500, 0.01
    stream = deltas(client, group("good", server.base_url))
    next(stream)
    stream.close()
    assert server.left.wait(5)


def test_without_a_key_openai_is_not_asked() -> None:
    client = ChatClient(load_settings(secret_key="x"))
    with pytest.raises(ModelError) as failure:
        next(deltas(client, Group(name="arm", model="gpt", api_key_env="MY_KEY")))
    assert failure.value.status == 503
    assert str(failure.value) == (
        "There is no API key for model 'gpt' of group 'arm'. "
        "Set the environment variable MY_KEY, or base_url of the group in llmtrack.toml."
    )


def test_a_key_that_no_header_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-…")
    client = ChatClient(load_settings(secret_key="x"))
    with pytest.raises(ModelError, match="holds characters no key has") as failure:
        next(deltas(client, Group(name="arm", model="gpt", api_key_env="MY_KEY")))
    assert failure.value.status == 503


def test_a_server_of_ones_own_needs_no_key(server: ModelServer) -> None:
    client = ChatClient(load_settings(OPENAI_BASE_URL=server.base_url, secret_key="x"))
    assert told(deltas(client, group("good", None))).text == ANSWER
    client.close()


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("http://127.0.0.1:9/v1", "127.0.0.1:9"),
        ("http://me:secret@127.0.0.1:9/v1", "127.0.0.1:9"),
        ("localhost:11434/v1", "localhost:11434/v1"),
    ],
)
def test_a_provider_that_cannot_be_reached_is_named_without_its_password(
    client: ChatClient, base_url: str, host: str
) -> None:
    with pytest.raises(ModelError) as failure:
        told(deltas(client, group("good", base_url)))
    assert failure.value.status == 502
    assert failure.value.message == f"The provider at {host} cannot be reached."
    assert "base_url of group 'arm'" in failure.value.hint


def test_a_provider_that_takes_no_connection_is_a_timeout(client: ChatClient) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)  # its queue is full after these two
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        with pytest.raises(ModelError) as failure:
            told(deltas(client, group("good", f"http://127.0.0.1:{port}/v1")))
    assert failure.value.status == 504
    assert failure.value.message == f"The provider at 127.0.0.1:{port} does not answer."


ODD_CHUNKS: dict[str, Any] = {
    "nothing": None,
    "a list": [1],
    "no choices": {"choices": None},
    "choices that are none": {"choices": ["x", 1]},
    "numbers for text": {"choices": [{"delta": {"content": 7}}], "model": 3, "usage": {"prompt_tokens": "many"}},
    "citations that are none": {"citations": [1, "javascript:alert(1)", {"url": 5}, {"title": "x"}], "choices": {}},
}


@pytest.mark.parametrize("case", ODD_CHUNKS)
def test_an_odd_chunk_says_nothing_and_breaks_nothing(case: str) -> None:
    assert read_chunk(ODD_CHUNKS[case]) == Delta()


def test_text_in_parts_and_half_an_emoji_are_read() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "\ud83d"}]
    assert read_chunk({"choices": [{"delta": {"content": parts}}]}).text == "a\ufffd"


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("What is machine learning?", "**Machine learning in short**"),
        ("Explain the difference between supervised and unsupervised learning", "**Machine learning in short**"),
        ("Write a polite reminder to a colleague", "**A polite reminder**"),
        ("Show me how to read a CSV file in Python", "**A small Python example**"),
        ("what is tracked here", "**What llmtrack records of this session**"),
        ("How do I connect a real model?", "**How to put a real model here**"),
        ("Who won the cup in 1954?", "**I have no text about that.**"),
        ("???", "**I have no text about that.**"),
    ],
)
def test_the_demo_answers_by_the_words_of_the_question_and_says_that_it_is_no_model(
    client: ChatClient, question: str, heading: str
) -> None:
    answer = told(
        deltas(client, Group(name="demo", model="demo", provider=DEMO), [{"role": "user", "content": question}])
    )
    assert "not a model" in answer.text.splitlines()[0]
    assert heading in answer.text
    assert "| " in answer.text
    assert "\n```" in answer.text
    assert "\n- " in answer.text or "\n1. " in answer.text
    assert answer.pieces > 30
    assert answer.model == "demo"


def test_the_demo_takes_its_time() -> None:
    started = time.monotonic()
    words = demo.complete({"messages": ASKED, "stream": True}, delay_s=0.02)
    for _ in range(5):
        next(words)
    assert time.monotonic() - started >= 0.1
