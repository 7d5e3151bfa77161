"""Too much at once, on the server that people run: what is slow never stops the rest, and a stop loses nothing."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtrack.collector.access.places import Places
from llmtrack.collector.errors import Overload
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Answer, Browser
from tests.collector.model_server import ModelServer, running
from tests.processes import Serving, serving

CONFIG = """
[[experiments.e.groups]]
name = "slow"
model = "slow"
base_url = "{}"
[limits]
concurrent_ingest = 3
concurrent_queries = 3
"""


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, mongodb_uri: str, store: Store, model: ModelServer) -> Iterator[Serving]:
    (tmp_path / "llmtrack.toml").write_text(CONFIG.format(model.base_url))
    with serving(tmp_path, MONGODB_URI=mongodb_uri, LLMTRACK_SECRET_KEY="for tests only") as running_server:
        yield running_server


def ask(server: Serving) -> Answer:
    return Browser(server.url).post("/query", {"query": "Why?", "sessionId": "c"})


def started(server: Serving) -> dict[str, str]:
    """A session, as a body that writes to it names it."""
    session = Browser(server.url).post("/api/session/start", {}).json
    return {"session_id": session["session_id"], "token": session["token"]}


def batch(session: dict[str, str], n: int = 1) -> dict:
    return {**session, "events": [{"n": n, "t": time.time() * 1000, "type": "click", "data": {}}]}


def dribbling(server: Serving, declared: int = 1000) -> socket.socket:
    """A sender that begins a body and does not go on."""
    sender = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"POST /api/session/event HTTP/1.1\r\nHost: a\r\nContent-Length: {declared}\r\n\r\n"
    sender.sendall(head.encode() + b"{")
    return sender


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_slow_models_hold_only_their_own_places_and_the_next_question_is_refused_at_once(
    server: Serving, model: ModelServer
) -> None:
    model.think_s = 6
    session = started(server)
    with ThreadPoolExecutor(2) as people:  # two thirds of three places are for one address
        waiting = [people.submit(ask, server) for _ in range(2)]
        until(lambda: len(model.requests) == 2)
        begun = time.monotonic()
        refused = ask(server)
        assert (refused.status, refused.json["limit"]) == (503, "concurrent_queries")
        assert int(refused.headers["Retry-After"]) >= 1
        for n in range(1, 21):
            assert Browser(server.url).post("/api/session/event", batch(session, n)).status == 202
        assert time.monotonic() - begun < 5
        assert not any(answer.done() for answer in waiting)
        assert [answer.result().status for answer in waiting] == [200, 200]
    assert ask(server).status == 200  # the places are free again


def test_slow_senders_hold_only_places_of_senders(server: Serving, model: ModelServer) -> None:
    session = started(server)

    def send() -> Answer:
        return Browser(server.url).post("/api/session/event", batch(session))

    slow = [dribbling(server)]
    until(lambda: send().status == 503 or slow.append(dribbling(server)) is not None)
    refused = send()
    assert (refused.status, refused.json["limit"]) == (503, "concurrent_ingest")
    assert int(refused.headers["Retry-After"]) >= 1
    assert Browser(server.url).get("/healthz").status == 200
    assert ask(server).status == 200
    for sender in slow:
        sender.close()
    until(lambda: send().status == 202)


def test_a_stop_lets_an_answer_and_a_batch_in_flight_finish(server: Serving, model: ModelServer, store: Store) -> None:
    model.delay_s = 0.08
    session = started(server)
    sender = dribbling(server, len(body := json.dumps(batch(session)).encode()))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    question = {"query": "Why?", "sessionId": "c", "trackingSessionId": session["session_id"], "stream": True}
    connection.request("POST", "/query", json.dumps(question), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    first = answer.read(20)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert not lets_in(server)
    sender.sendall(body[1:])
    assert b" 202 " in sender.recv(1000)
    sender.close()
    whole = first + answer.read()
    connection.close()
    assert whole.count(b"event: done") == 1
    assert server.process.wait(timeout=20) == 0
    events = store.find(session["session_id"])["events"]
    assert [event["type"] for event in events] == ["click", "prompt", "model_response"]
    assert events[-1]["data"]["text"] == model.answer


def lets_in(server: Serving) -> bool:
    """Whether a new connection is answered."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=2) as probe:
            probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return bool(probe.recv(100))
    except OSError:
        return False


def test_places_are_given_back_once_and_one_address_takes_two_thirds_at_most() -> None:
    places = Places(6, "concurrent_ingest", "requests")
    mine = [places.enter("a") for _ in range(4)]
    with pytest.raises(Overload):
        places.enter("a")
    others = [places.enter(address) for address in "bc"]
    with pytest.raises(Overload):
        places.enter("d")
    for leave in [*mine, *mine]:
        leave()
    assert len([places.enter("d") for _ in range(4)]) == 4
    for leave in others:
        leave()


def test_places_hold_under_many_threads() -> None:
    places = Places(5, "concurrent_ingest", "requests")
    inside, most, refused = [0], [0], [0]
    lock = threading.Lock()

    def work(number: int) -> None:
        try:
            leave = places.enter(str(number))
        except Overload:
            with lock:
                refused[0] += 1
            return
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        with lock:
            inside[0] -= 1
        leave()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(500)))
    assert (most[0] <= 5, refused[0] > 0) == (True, True)
    assert len([places.enter(str(number)) for number in range(5)]) == 5
