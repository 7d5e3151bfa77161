"""What the collector's processes need: memory at rest, with thousands of sessions opened and left, and after load.

And processor time a request, which a busy machine does not change as it changes requests a second.
"""

from __future__ import annotations

import http.client
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.collector import BATCH, CLIENTS, LIMITS, SECONDS, call, client

IDLE, PORT = 5_000, 8766


def memory_mb(pid: int) -> float:
    """Memory of a process in MB; what it shares with others is divided among them (PSS), so that sums are right."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Pss"].split()[0]) / 1024


def workers_of(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes()]


def cpu_s(pids: list[int]) -> float:
    """Processor seconds these processes have used so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def idle(count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    for _ in range(count):
        call(connection, "/api/session/start", {"environment": {}})
    connection.close()


def load(seconds: float) -> list[float]:
    """The milliseconds of every batch."""
    milliseconds: list[float] = []
    deadline = time.monotonic() + seconds
    clients = [threading.Thread(target=client, args=(PORT, deadline, milliseconds)) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return milliseconds


def main() -> None:
    os.environ.setdefault("LLMTRACK_DATA_DIR", tempfile.mkdtemp())
    command = [sys.executable, "-m", "llmtrack", "serve", "--port", str(PORT), "--workers", "2"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **LIMITS})

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
        before = cpu_s(workers_of(server.pid))
        feet = [threading.Thread(target=idle, args=(IDLE // 4,)) for _ in range(4)]
        for one in feet:
            one.start()
        for one in feet:
            one.join()
        tell(f"{IDLE:,} sessions opened and left")
        used = cpu_s(workers_of(server.pid)) - before
        print(f"{'':36} {used / IDLE * 1000:.2f} ms of processor time a start")
        for _ in range(3):
            before = cpu_s(workers_of(server.pid))
            milliseconds = sorted(load(SECONDS * 2))
            used = cpu_s(workers_of(server.pid)) - before
            p50, p99 = (milliseconds[math.floor(len(milliseconds) * share)] for share in (0.5, 0.99))
            print(
                f"{'':36} {len(milliseconds) / SECONDS / 2:.0f} batches/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms, ", end=""
            )
            print(f"{used / len(milliseconds) * 1000:.2f} ms of processor time a batch of {BATCH} events")
            tell(f"after {SECONDS * 2:.0f} s of load by {CLIENTS} clients")
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
