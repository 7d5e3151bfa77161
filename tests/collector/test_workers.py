"""Two real worker processes on one port: the figures are those of both, and stay right when one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

from tests.processes import serving

STARTS, ENDPOINT = 40, "POST /api/session/start"


def post(url: str) -> None:
    request = urllib.request.Request(f"{url}/api/session/start", b'{"environment": {}}', method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:  # a connection each: any worker may take it
        assert answer.status == 201


def figure(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), flags=re.MULTILINE)
    return float(found[1]) if found else -1


def reaches(url: str, name: str, value: float) -> None:
    """A request is counted a moment after its answer was read."""
    deadline = time.monotonic() + 20
    while (found := figure(url, name)) != value:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def counting(folder: Path) -> set[int]:
    """The workers that count into this folder."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("llmtrack-metrics-*/counter_*.db")}


def test_figures_are_of_all_workers_and_outlive_a_killed_one(tmp_path: Path, mongodb_uri: str) -> None:
    requests = f'llmtrack_request_seconds_count{{endpoint="{ENDPOINT}",status="2xx"}}'
    with serving(tmp_path, workers=2, MONGODB_URI=mongodb_uri, TMPDIR=str(tmp_path)) as server:
        deadline = time.monotonic() + 60
        while len(workers := counting(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers) == 2
        for _ in range(STARTS):
            post(server.url)
        assert {figure(server.url, "llmtrack_sessions_started_total") for _ in range(10)} == {STARTS}
        reaches(server.url, requests, STARTS)
        os.kill(min(workers), signal.SIGKILL)
        while len(counting(tmp_path)) < 3 and time.monotonic() < deadline:  # granian starts another
            time.sleep(0.05)
        assert len(counting(tmp_path)) == 3
        done = STARTS
        for _ in range(10):
            with contextlib.suppress(OSError):  # the killed one's last connections
                post(server.url)
                done += 1
        assert done > STARTS
        reaches(server.url, requests, done)
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
        assert sum(line.get("route") == "/api/session/start" for line in lines) == done
    assert not list(tmp_path.glob("llmtrack-metrics-*")), "nothing is left behind"
