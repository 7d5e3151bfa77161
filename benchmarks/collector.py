"""Events a second through the collector, beside the same application over a store that stores nothing.

Both run on granian as `llmtrack serve` runs them, with the same clients: each has a session of its own and sends
batches of 20 events one after the other. Beside them the database's own bound: the same batches pushed to it by as many
threads, journalled, nothing read before. The embedded server stands for MongoDB; set MONGODB_URI for another.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import Any

CLIENTS, BATCH, SECONDS, ROUNDS = 16, 20, 4.0, 3
LIMITS = {
    f"LLMTRACK_LIMITS__REQUESTS_PER_{what}": "0" for what in ("SESSION", "USER", "ADDRESS")
}  # all from one machine


def load_nothing() -> Any:
    """The application over a store that forgets."""
    from llmtrack.collector.app import create_app
    from llmtrack.collector.models.client import ChatClient
    from llmtrack.config import load_settings
    from llmtrack.store.database.sessions import Appended, Store

    class Nowhere(Store):
        def start(self, document: dict[str, Any]) -> dict[str, Any]:
            return document

        def append(self, session_id: str, events: Iterable[Any], **_: Any) -> Appended:
            return Appended(len(list(events)), 0)

    settings = load_settings()
    return create_app(settings, Nowhere("mongodb://127.0.0.1:9/?directConnection=true"), ChatClient(settings))


def serve_nothing(port: int) -> None:
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    from llmtrack.collector.access.places import threads
    from llmtrack.collector.server import MAX_WORKERS
    from llmtrack.config import load_settings

    Granian(
        "benchmark",
        port=port,
        interface=Interfaces.WSGI,
        workers=min(MAX_WORKERS, os.cpu_count() or 1),
        blocking_threads=threads(load_settings().limits),
        log_level=LogLevels.error,
        websockets=False,
    ).serve(target_loader=load_nothing, wrap_loader=False)


def call(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body))
    with connection.getresponse() as response:
        answer = json.loads(response.read())
    assert response.status in (201, 202), answer
    return answer


def batch(n: int, t: int) -> list[dict[str, Any]]:
    """The events after number n."""
    data = {"target": "BUTTON", "x": 100, "y": 200, "page_url": "https://example.org/"}
    return [{"n": n + k, "t": t + n + k, "type": "click", "data": data} for k in range(1, BATCH + 1)]


def client(port: int, deadline: float, milliseconds: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    session = call(connection, "/api/session/start", {"environment": {}})
    n = 0
    while time.monotonic() < deadline:
        events = batch(n, session["server_time"])
        start = time.perf_counter()
        body = {"session_id": session["session_id"], "token": session["token"], "events": events}
        answer = call(connection, "/api/session/event", body)
        milliseconds.append((time.perf_counter() - start) * 1000)
        assert answer["accepted"] == BATCH, answer
        n += BATCH
    connection.close()


def wait_for(port: int) -> None:
    """Until the server listens and its workers have loaded the application."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep(2)


def measure(command: list[str], port: int) -> tuple[float, float, float]:
    """Events a second, median and 99th percentile of a batch in ms."""
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **LIMITS})
    try:
        wait_for(port)
        milliseconds: list[float] = []
        deadline = time.monotonic() + SECONDS
        clients = [threading.Thread(target=client, args=(port, deadline, milliseconds)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
    finally:
        server.terminate()
        server.wait(70)
    cuts = statistics.quantiles(milliseconds, n=100)
    return len(milliseconds) * BATCH / SECONDS, cuts[49], cuts[98]


def push(deadline: float, milliseconds: list[float], sessions: Any) -> None:
    """What one client sends, straight into the database."""
    session_id = sessions.insert_one({"events": []}).inserted_id
    n = 0
    while time.monotonic() < deadline:
        start = time.perf_counter()
        sessions.update_one({"_id": session_id}, {"$push": {"events": {"$each": batch(n, 1_760_000_000_000)}}})
        milliseconds.append((time.perf_counter() - start) * 1000)
        n += BATCH


def measure_pushes() -> tuple[float, float, float]:
    """Events a second, median and 99th percentile of a push in ms."""
    from llmtrack.config import load_settings
    from llmtrack.store.database.sessions import connect

    milliseconds: list[float] = []
    with connect(load_settings()) as store:
        deadline = time.monotonic() + SECONDS
        pushes = store.database["benchmark"]
        clients = [threading.Thread(target=push, args=(deadline, milliseconds, pushes)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        pushes.drop()
    cuts = statistics.quantiles(milliseconds, n=100)
    return len(milliseconds) * BATCH / SECONDS, cuts[49], cuts[98]


def main() -> None:
    os.environ.setdefault("LLMTRACK_DATA_DIR", tempfile.mkdtemp())
    port = 8765
    variants = {
        "stores nothing": [sys.executable, "-m", "benchmarks.collector", "nothing", str(port)],
        "llmtrack serve": [sys.executable, "-m", "llmtrack", "serve", "--port", str(port)],
    }
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in (*variants, "bare pushes")}
    for _ in range(ROUNDS):
        results["bare pushes"].append(measure_pushes())
        for name, command in variants.items():
            results[name].append(measure(command, port))
    print(f"{CLIENTS} clients, batches of {BATCH} events, {ROUNDS} rounds of {SECONDS:.0f} s; medians")
    for name, rounds in results.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:16} {rate:8.0f} events/s   batch p50 {p50:6.1f} ms   p99 {p99:6.1f} ms")
    for floor in ("stores nothing", "bare pushes"):
        pairs = zip(results["llmtrack serve"], results[floor], strict=True)
        print(f"serve ÷ {floor:14} {statistics.median(a[0] / b[0] for a, b in pairs):8.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["nothing"]:
        serve_nothing(int(sys.argv[2]))
    else:
        main()
