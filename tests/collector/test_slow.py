"""A frozen database, connections that say nothing, a stop and a killed parent: on the server that people run."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmtrack.collector.access.connections import MOST, Connection, connections, surplus
from llmtrack.collector.app import start_reviver
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Answer, Browser, wait_until
from tests.collector.model_server import running
from tests.processes import serving
from tests.proxy import Proxy

CONFIG = """
[[experiments.e.groups]]
name = "slow"
model = "good"
base_url = "{}"
"""
SILENT = MOST + 100


@pytest.fixture
def way(mongodb_uri: str) -> Iterator[Proxy]:
    way = Proxy(mongodb_uri)
    yield way
    way.close()


def timed(ask: object) -> tuple[Answer, float]:
    began = time.monotonic()
    answer = ask()  # type: ignore[operator]
    return answer, time.monotonic() - began


def closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_neither_a_frozen_database_nor_silent_connections_take_anything_else_along(
    tmp_path: Path, way: Proxy, store: Store
) -> None:
    with serving(tmp_path, MONGODB_URI=way.uri, LLMTRACK_SPOOL__AFTER_S="2") as server:
        browser = Browser(server.url)
        browser.get("/")
        visit = browser.post("/api/session/start", {}).json
        body = {"session_id": visit["session_id"], "token": visit["token"], "events": [{"n": 1, "t": 1, "type": "x"}]}
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SILENT)]
        began = time.monotonic()
        wait_until(lambda: sum(map(closed, silent)) >= SILENT - MOST, 8)  # beyond the bound they go at once
        way.frozen = True
        with ThreadPoolExecutor(200) as pool:
            reads = [pool.submit(timed, lambda: Browser(server.url).get("/api/chats")) for _ in range(200)]
            time.sleep(0.5)
            healthy = [timed(lambda: browser.get("/healthz")) for _ in range(5)]
            event, event_s = timed(lambda: browser.post("/api/session/event", body))
            question = {"query": "Why?", "sessionId": "c", "trackingSessionId": visit["session_id"]}
            answer, answer_s = timed(lambda: browser.post("/query", question))
            statuses = {read.result()[0].status for read in reads}
        assert max(seconds for _, seconds in healthy) < 3
        assert (event.status, event_s < 5) == (202, True), event_s
        assert (answer.status, answer_s < 6) == (200, True), answer_s
        assert statuses == {503}
        assert max(read.result()[1] for read in reads) < 15
        way.on()
        wait_until(lambda: all(map(closed, silent)), 30)
        assert time.monotonic() - began < 25
        wait_until(lambda: len((store.find(visit["session_id"]) or {"events": []})["events"]) == 3)
        for each in silent:
            each.close()


def test_who_said_nothing_goes_first_and_nobody_within_bounds() -> None:
    mine = [Connection(n, "a", spoke=True, silent_ms=n) for n in range(5)]
    theirs = [Connection(9, "b", spoke=True, silent_ms=10**6)]
    mute = Connection(7, "a", spoke=False, silent_ms=1)
    assert surplus([*mine, *theirs, mute], most=4) == [mute, mine[4]]
    assert surplus([*mine, *theirs], most=5) == []
    assert surplus([*mine, *theirs, mute._replace(silent_ms=10_001)], most=9) == [mute._replace(silent_ms=10_001)]


def test_looking_at_connections_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0] as taken:
            before = os.listdir("/proc/self/fd")
            assert [(each.fd, each.spoke) for each in connections(port)] == [(taken.fileno(), False)]
            client.sendall(b"x")
            assert [each.spoke for each in connections(port)] == [True]
            assert os.listdir("/proc/self/fd") == before


def test_a_stop_with_a_stream_open_ends_within_10_s_and_records_what_came(
    tmp_path: Path, mongodb_uri: str, store: Store
) -> None:
    with running() as model:
        model.delay_s = 1.5
        (tmp_path / "llmtrack.toml").write_text(CONFIG.format(model.base_url))
        with serving(tmp_path, MONGODB_URI=mongodb_uri) as server:
            visit = Browser(server.url).post("/api/session/start", {}).json["session_id"]
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            question = {"query": "Why?", "sessionId": "c", "trackingSessionId": visit, "stream": True}
            connection.request("POST", "/query", json.dumps(question), {"Content-Type": "application/json"})
            assert connection.getresponse().read(20)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(timeout=20)
            assert time.monotonic() - began < 10
            connection.close()
    events = store.find(visit)["events"]
    assert [event["type"] for event in events] == ["prompt", "model_response"]
    assert 0 < len(events[-1]["data"]["text"]) < len(model.answer)


def test_workers_whose_parent_was_killed_end_by_themselves(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, workers=2, MONGODB_URI=mongodb_uri) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        workers = [pid for pid in children if "granian" in cmdline(pid) or "spawn_main" in cmdline(pid)] or children
        assert len(workers) >= 2
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: all(ended(pid) for pid in workers), 15)


def test_an_embedded_server_that_was_killed_with_its_keeper_comes_back_while_the_collector_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(tmp_path, LLMTRACK_DATA_DIR=str(data), LLMTRACK_EMBEDDED_LINGER_S="5") as server:
        before = json.loads((data / "embedded.json").read_text())
        for pid in (before["keeper"], before["pid"]):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: json.loads((data / "embedded.json").read_text())["pid"] != before["pid"], 30)
        wait_until(lambda: ready(server.url), 30)


def test_a_worker_whose_embedded_server_moved_makes_room_for_one_that_finds_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports, ended = [1, 1, 1, 2], threading.Event()
    monkeypatch.setattr("llmtrack.collector.app.REVIVE_EVERY_S", 0.01)
    monkeypatch.setattr("llmtrack.store.database.embedded.revive", lambda data_dir, linger_s: None)
    monkeypatch.setattr("llmtrack.store.database.embedded.port", lambda data_dir: ports.pop(0))
    monkeypatch.setattr("llmtrack.collector.app.os.kill", lambda pid, number: ended.set())
    start_reviver(settings)
    assert ended.wait(10)
    assert ports == []


def ready(url: str) -> bool:
    try:
        return Browser(url).get("/readyz").status == 200
    except (OSError, http.client.HTTPException):
        return False


def cmdline(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def ended(pid: str) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
