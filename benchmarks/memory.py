"""Memory of the collector's processes: at rest, with thousands of sessions opened and left, and after load."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.collector import CLIENTS, SECONDS, call, client

IDLE, PORT = 5_000, 8766


def memory_mb(pid: int) -> float:
    """Memory of a process in MB; what it shares with others is divided among them (PSS), so that sums are right."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Pss"].split()[0]) / 1024


def workers_of(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes()]


def idle(count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    for _ in range(count):
        call(connection, "/api/session/start", {"environment": {}})
    connection.close()


def load(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    clients = [threading.Thread(target=client, args=(PORT, deadline, [])) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()


def main() -> None:
    os.environ.setdefault("LLMTRACK_DATA_DIR", tempfile.mkdtemp())
    command = [sys.executable, "-m", "llmtrack", "serve", "--port", str(PORT), "--workers", "2"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def tell(when: str) -> None:
        workers = "  ".join(f"{memory_mb(pid):5.0f}" for pid in workers_of(server.pid))
        print(f"{when:36} first process {memory_mb(server.pid):5.0f} MB   workers {workers} MB", flush=True)

    try:
        for _ in range(300):
            try:
                call(http.client.HTTPConnection("127.0.0.1", PORT, timeout=30), "/api/session/start", {})
                break
            except OSError:
                time.sleep(0.1)
        time.sleep(3)  # both workers have loaded the application
        tell("at rest")
        feet = [threading.Thread(target=idle, args=(IDLE // 4,)) for _ in range(4)]
        for one in feet:
            one.start()
        for one in feet:
            one.join()
        tell(f"{IDLE:,} sessions opened and left")
        for _ in range(3):
            load(SECONDS * 2)
            tell(f"after {SECONDS * 2:.0f} s of load by {CLIENTS} clients")
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
