"""Many visits at once for minutes: what was acknowledged, how fast, in how much memory; then every event is counted.

`python -m benchmarks.load [SECONDS]` runs `llmtrack serve` with 2 workers over the embedded server (MONGODB_URI for
another). Clients start visits, send batches of 5 events without a pause, and end them; a third of the batches is sent
twice, as after a lost answer. Beside it, the same load on the application over a store that stores nothing.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from benchmarks.collector import LIMITS, call, wait_for
from benchmarks.memory import memory_mb, workers_of

PROCESSES, THREADS, BATCH, BATCHES, PORT = 2, 12, 5, 40, 8767


def visits(port: int, deadline: float, seed: int) -> tuple[list[float], dict[str, int]]:
    """The milliseconds of every batch, and how many events of each session were acknowledged."""
    rng = random.Random(seed)
    milliseconds: list[float] = []
    acknowledged: dict[str, int] = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.monotonic() < deadline:
        session = call(connection, "/api/session/start", {"environment": {}})
        known = {"session_id": session["session_id"], "token": session["token"]}
        for first in range(1, BATCHES * BATCH, BATCH):
            events = [
                {"n": n, "t": session["server_time"] + n, "type": "click", "data": {"target": "BUTTON", "x": n}}
                for n in range(first, first + BATCH)
            ]
            for _ in range(1 + (rng.random() < 1 / 3)):
                start = time.perf_counter()
                call(connection, "/api/session/event", {**known, "events": events})
                milliseconds.append((time.perf_counter() - start) * 1000)
            acknowledged[session["session_id"]] = first + BATCH - 1
            if time.monotonic() > deadline:
                break
        call(connection, "/api/session/end", {**known, "events": []})
    connection.close()
    return milliseconds, acknowledged


def client_process(port: int, seconds: float, seed: int, answers: Any) -> None:
    found: list[tuple[list[float], dict[str, int]]] = []
    deadline = time.monotonic() + seconds
    threads = [
        threading.Thread(target=lambda k=k: found.append(visits(port, deadline, seed * 1000 + k)))
        for k in range(THREADS)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    answers.put(found)


def load(command: list[str], seconds: float) -> tuple[list[float], dict[str, int], list[float]]:
    """Batches' milliseconds, events acknowledged by session, and MB of the workers every tenth of the time."""
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **LIMITS})
    memory: list[float] = []
    try:
        wait_for(PORT)
        answers: Any = multiprocessing.Queue()
        clients = [
            multiprocessing.Process(target=client_process, args=(PORT, seconds, seed, answers))
            for seed in range(PROCESSES)
        ]
        for each in clients:
            each.start()
        for _ in range(10):
            time.sleep(seconds / 10)
            memory.append(sum(memory_mb(pid) for pid in workers_of(server.pid) or [server.pid]))
        found = [part for _ in clients for part in answers.get()]
        for each in clients:
            each.join()
    finally:
        server.terminate()
        server.wait(70)
    milliseconds = [one for batch, _ in found for one in batch]
    acknowledged = {sid: count for _, sessions in found for sid, count in sessions.items()}
    return milliseconds, acknowledged, memory


def missing_and_twice(acknowledged: dict[str, int]) -> tuple[int, int]:
    """Acknowledged events that are not in the database, and events that are there twice."""
    from llmtrack.config import load_settings
    from llmtrack.store.database.sessions import connect

    missing = twice = 0
    with connect(load_settings()) as store:
        for session_id, count in acknowledged.items():
            numbers = [event["n"] for event in (store.find(session_id) or {"events": []})["events"]]
            missing += len(set(range(1, count + 1)) - set(numbers))
            twice += len(numbers) - len(set(numbers))
    return missing, twice


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    os.environ.setdefault("LLMTRACK_DATA_DIR", tempfile.mkdtemp())
    os.environ.setdefault("LLMTRACK_EMBEDDED_LINGER_S", "120")
    variants = {
        "stores nothing": [sys.executable, "-m", "benchmarks.collector", "nothing", str(PORT)],
        "llmtrack serve": [sys.executable, "-m", "llmtrack", "serve", "--port", str(PORT), "--workers", "2"],
    }
    rates = {}
    for name, command in variants.items():
        milliseconds, acknowledged, memory = load(command, seconds)
        events = sum(acknowledged.values())
        rates[name] = events / seconds
        cuts = statistics.quantiles(milliseconds, n=100)
        print(
            f"{name:16} {events:9,} events of {len(acknowledged):,} visits in {seconds:.0f} s: {rates[name]:7,.0f}/s   "
            f"batch p50 {cuts[49]:6.1f} ms, p99 {cuts[98]:6.1f} ms",
            flush=True,
        )
        print(
            f"{'':16} MB of the workers at each tenth of the time: {' '.join(f'{mb:.0f}' for mb in memory)}", flush=True
        )
    missing, twice = missing_and_twice(acknowledged)
    print(f"{'ratio':16} {rates['llmtrack serve'] / rates['stores nothing']:9.2f}")
    print(f"{'counted':16} {missing} acknowledged events missing, {twice} stored twice")


if __name__ == "__main__":
    main()
