"""Where a model is asked: a base URL with a query, a proxy on the way, and a provider that wants to be left alone."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import httpx2
import pytest

from llmtrack.cli.checks import preflight
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.models.failures import MAX_WAIT_S, ModelError, retry_after_s
from llmtrack.config import load_settings
from tests.collector.model_server import ANSWER, KEY, ModelServer, running
from tests.collector.models.test_client import deltas, group, told


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatClient]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    client = ChatClient(load_settings(OPENAI_API_KEY=KEY, model_timeout_s=5, secret_key="x"))
    yield client
    client.close()


# the query of a base URL


@pytest.mark.parametrize("query", ["api-version=2024-10-21", "api-version=a%20b&tenant=7", "flag="])
def test_the_query_of_a_base_url_is_part_of_every_call(client: ChatClient, server: ModelServer, query: str) -> None:
    for _ in range(2):
        assert told(deltas(client, group("good", f"{server.base_url}?{query}"))).text == ANSWER
    for path in server.paths:
        where, _, sent = path.partition("?")
        assert where == "/v1/chat/completions"
        assert httpx2.QueryParams(sent) == httpx2.QueryParams(query)
    assert len(server.paths) == 2


def test_two_versions_of_one_api_are_asked_each_for_its_own(client: ChatClient, server: ModelServer) -> None:
    for version in "12":
        told(deltas(client, group("good", f"{server.base_url}?api-version={version}")))
    assert [path[-1] for path in server.paths] == ["1", "2"]


def test_a_host_is_named_without_its_query(client: ChatClient) -> None:
    with pytest.raises(ModelError, match=r"The provider at 127\.0\.0\.1:9 cannot be reached\."):
        told(deltas(client, group("good", "http://127.0.0.1:9/v1?key=secret")))


# a proxy on the way


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_named_without_its_password(
    client: ChatClient, server: ModelServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://me:secret@127.0.0.1:9")
    with pytest.raises(ModelError) as failure:
        told(deltas(client, group("good", server.base_url)))
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert failure.value.message == f"The provider at {host} cannot be reached through the proxy 127.0.0.1:9."
    assert "NO_PROXY" in failure.value.hint
    assert "secret" not in str(failure.value)
    assert server.requests == []


def test_a_host_that_needs_no_proxy_is_asked_without_one(
    client: ChatClient, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert told(deltas(client, group("good", server.base_url))).text == ANSWER


def test_a_model_is_asked_through_a_socks_proxy(
    client: ChatClient, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socks_proxy() as (port, passed):
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
        assert told(deltas(client, group("good", server.base_url))).text == ANSWER
        client.close()
    assert passed == [server.server_port]


def test_a_proxy_of_a_kind_that_nobody_knows_is_named(
    client: ChatClient, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"The proxy 127\.0\.0\.1:9 of the environment cannot be used") as failure:
        told(deltas(client, group("good", server.base_url)))
    assert "ALL_PROXY" in failure.value.hint


def test_without_the_socks_library_the_answer_and_the_check_say_what_to_install(
    client: ChatClient, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if it were not installed
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:9")
    with pytest.raises(ModelError) as failure:
        told(deltas(client, group("good", server.base_url)))
    assert failure.value.message.startswith("The proxy 127.0.0.1:9 of the environment cannot be used")
    assert "pip install 'httpx2[socks]'" in failure.value.hint
    check = preflight._model(load_settings(OPENAI_API_KEY=KEY, secret_key="x"), group("good", server.base_url))
    assert (check.status, check.advice) == ("failed", "pip install 'httpx2[socks]'")
    assert "secret" not in check.finding


@contextmanager
def socks_proxy() -> Iterator[tuple[int, list[int]]]:
    """A SOCKS 5 proxy (RFC 1928, no password) for one connection: its port, and the ports it was asked for."""
    passed: list[int] = []

    def serve() -> None:
        caller, _ = listening.accept()
        with caller:
            caller.recv(2 + caller.recv(2, socket.MSG_PEEK)[1])  # version, the ways to sign in
            caller.sendall(b"\x05\x00")
            kind = caller.recv(4)[3]
            host = socket.inet_ntoa(caller.recv(4)) if kind == 1 else caller.recv(caller.recv(1)[0]).decode()
            (port,) = struct.unpack(">H", caller.recv(2))
            passed.append(port)
            with socket.create_connection((host, port), timeout=10) as there:
                caller.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
                back = threading.Thread(target=pump, args=(there, caller), daemon=True)
                back.start()
                pump(caller, there)
                back.join(10)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], passed
        thread.join(10)


def pump(here: socket.socket, there: socket.socket) -> None:
    try:
        while data := here.recv(65_536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side has gone


# a provider that wants to be left alone


@pytest.mark.parametrize(("model", "status"), [("busy", 429), ("fails", 500)])
def test_a_provider_is_not_asked_again_before_it_said(
    client: ChatClient, server: ModelServer, model: str, status: int
) -> None:
    server.failure_headers = {"Retry-After": "7"}
    arm = group(model, server.base_url)
    with pytest.raises(ModelError) as first:
        told(deltas(client, arm))
    assert first.value.retry_after_s == 7
    assert len(server.requests) == 1
    with pytest.raises(ModelError) as second:
        told(deltas(client, arm))
    assert len(server.requests) == 1
    assert second.value.retry_after_s == pytest.approx(7, abs=2)
    assert f"({status})" in second.value.message
    assert "is not asked again for" in second.value.message
    assert told(deltas(client, group("good", server.base_url))).text == ANSWER  # another model is


def test_after_that_it_is_asked_again(client: ChatClient, server: ModelServer) -> None:
    server.failure_headers = {"Retry-After-Ms": "200"}
    for asked in (1, 2):
        with pytest.raises(ModelError, match="is asked too often"):
            told(deltas(client, group("busy", server.base_url)))
        assert len(server.requests) == asked
        time.sleep(0.25)


WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"Retry-After": "12"}, 12),
    "parts of seconds": ({"Retry-After": "0.5"}, 0.5),
    "milliseconds first": ({"Retry-After": "12", "Retry-After-Ms": "1500"}, 1.5),
    "at once": ({"Retry-After": "0"}, 0),
    "a date gone by": ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    "for days": ({"Retry-After": "999999"}, MAX_WAIT_S),
    "no number": ({"Retry-After": "soon"}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", WAITS)
def test_how_long_a_provider_asks_for(case: str) -> None:
    headers, wait_s = WAITS[case]
    assert retry_after_s(httpx2.Headers(headers)) == wait_s


def test_a_date_is_a_wait_too() -> None:
    headers = httpx2.Headers({"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    assert retry_after_s(headers) == pytest.approx(30, abs=2)
