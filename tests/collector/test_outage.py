"""The database away, slow or killed, the spool full or broken: what was acknowledged is stored once in the end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import load_settings
from llmtrack.session.claim import Claim
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.durable import DurableStore
from llmtrack.store.spool.queue import APPEND, Spool, SpoolFull
from tests.collector.conftest import Browser, wait_until
from tests.proxy import Proxy

NOWHERE = "mongodb://127.0.0.1:9/?directConnection=true"
KEY = Claim(anything=True)
SESSION = "user_u_1_0123456789abcdef0123"


def batch(first: int, last: int) -> list[dict[str, Any]]:
    now = round(time.time() * 1000)
    return [{"n": n, "t": now + n, "type": "click", "data": {"x": n}} for n in range(first, last + 1)]


@pytest.fixture
def switch(mongodb_uri: str) -> Iterator[Proxy]:
    switch = Proxy(mongodb_uri)
    yield switch
    switch.close()


@pytest.fixture
def collector(switch: Proxy, serve: Callable[[Flask], str], tmp_path: Path) -> Iterator[Browser]:
    settings = load_settings(MONGODB_URI=switch.uri, secret_key="for tests only", spool={"after_s": 2})
    with Store(switch.uri) as store:
        yield Browser(serve(create_app(settings, store, ChatClient(settings, demo_delay_s=0))))


def start(collector: Browser, session_id: str = SESSION) -> dict[str, Any]:
    answer = collector.post("/api/session/start", {"session_id": session_id, "environment": {}})
    assert answer.status == 201
    return {"session_id": session_id, "token": answer.json["token"]}


def stored(store: Store, session_id: str = SESSION) -> list[int]:
    found = store.find(session_id)
    return [event["n"] for event in found["events"] if "n" in event] if found else []


def test_events_that_come_while_the_database_is_away_are_stored_once_when_it_is_back(
    collector: Browser, switch: Proxy, store: Store
) -> None:
    visit = start(collector)
    collector.post("/api/session/event", {**visit, "events": batch(1, 10)})
    switch.off()
    for first, last in [(11, 20), (5, 25), (11, 20)]:
        answer = collector.post("/api/session/event", {**visit, "events": batch(first, last)})
        assert (answer.status, answer.json["accepted"]) == (202, last - first + 1)
    late = start(collector, "user_u_2_0123456789abcdef0123")  # begun while it is away
    assert collector.post("/api/session/end", {**late, "events": batch(1, 3)}).status == 202
    answer = collector.post("/query", {"query": "Why?", "sessionId": "c", "trackingSessionId": SESSION})
    assert (answer.status, answer.json["tracked"]) == (200, True)
    assert stored(store) == list(range(1, 11))
    switch.on()
    wait_until(lambda: stored(store) == list(range(1, 26)) and len(stored(store, late["session_id"])) == 3)
    wait_until(lambda: len(store.find(SESSION)["events"]) == 27)
    assert store.find(late["session_id"])["end_time"] is not None
    collector.post("/api/session/event", {**visit, "events": batch(20, 30)})
    assert stored(store) == list(range(1, 31))


def test_a_database_that_answers_after_5_s_is_away(collector: Browser, switch: Proxy, store: Store) -> None:
    visit = start(collector)
    switch.delay_s = 5
    began = time.monotonic()
    assert collector.post("/api/session/event", {**visit, "events": batch(1, 5)}).status == 202
    assert time.monotonic() - began < 4.5
    began = time.monotonic()
    assert collector.post("/api/session/event", {**visit, "events": batch(6, 9)}).status == 202
    assert time.monotonic() - began < 1.5, "the second one waited, too"
    switch.delay_s = 0
    wait_until(lambda: stored(store) == list(range(1, 10)))


def test_a_full_spool_answers_503_and_the_tracker_keeps_its_events(serve: Callable[[Flask], str]) -> None:
    settings = load_settings(MONGODB_URI=NOWHERE, secret_key="x", spool={"max_mb": 0.06, "after_s": 2})
    with Store(NOWHERE, timeout_s=0.2) as away:
        collector = Browser(serve(create_app(settings, away, ChatClient(settings))))
        visit = start(collector)
        big = [{"n": 1, "t": 1_760_000_000_000, "type": "copy", "data": {"selected_text": "x" * 20_000}}]
        answers = [collector.post("/api/session/event", {**visit, "events": big}) for _ in range(5)]
    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == statuses
    assert statuses[-1] == 503
    assert answers[-1].headers["Retry-After"] == "5"
    assert "its limit" in answers[-1].json["error"]


def test_a_spool_that_waits_too_long_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 10**6, max_age_s=3600)
    spool.put(APPEND, "s", {})
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3700)
    with pytest.raises(SpoolFull, match="its limit"):
        spool.put(APPEND, "s", {})
    assert (spool.depth, round(spool.age_s)) == (1, 3700)


def test_a_clock_that_jumps_back_makes_no_negative_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 10**6, max_age_s=3600)
    spool.put(APPEND, "s", {})
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now - 86400)
    spool.put(APPEND, "s", {})
    assert (spool.depth, spool.age_s) == (2, 0)


LIMITED = """
import resource, sys
from pathlib import Path
from llmtrack.errors import StoreUnavailable
from llmtrack.store.spool.queue import APPEND, Spool
spool = Spool(Path(sys.argv[1]), 10**9, 10**9)
spool.put(APPEND, "s", {"k": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
kept = 1
try:
    while True:
        spool.put(APPEND, "s", {"k": kept, "pad": b"x" * 5000})
        kept += 1
except StoreUnavailable as error:
    print(kept, error)
"""


def test_a_full_disk_refuses_and_what_was_taken_is_all_there(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: SQLite meets the same failed write."""
    path = tmp_path / "spool.sqlite"
    run = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    kept, _, why = run.stdout.partition(" ")
    assert "takes nothing" in why
    assert int(kept) > 5
    spool = Spool(path, 10**9, 10**9)
    assert spool.depth == int(kept)
    spool.close()


WRITER = """
import sys
from pathlib import Path
from llmtrack.store.spool.queue import APPEND, Spool
spool = Spool(Path(sys.argv[1]), 10**9, 10**9)
for k in range(10**6):
    spool.put(APPEND, "s", {"k": k})
    print(k, flush=True)
"""


def test_every_record_that_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    for _ in range(3):
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        last = -1
        for line in writer.stdout:
            last = int(line)
            if last >= 40:
                break
        writer.kill()
        last = max([last, *(int(line) for line in writer.communicate()[0].split("\n") if line.isdigit())])
        spool = Spool(path, 10**9, 10**9)
        assert spool.depth >= last + 1
        spool.close()


def test_a_drain_that_was_killed_at_any_record_starts_over_and_stores_each_once(store: Store, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 10**8, 10**6)
    durable = DurableStore(store, spool, starts_s=0)
    durable._away = True
    durable._drain_soon = lambda: None  # type: ignore[method-assign] # by hand, below
    durable.start({"session_id": "s", "user_id": "u"}, KEY)
    for first in range(1, 60, 3):
        durable.append("s", batch(first, first + 4), KEY)
        durable.append("s", [{"t": first, "type": "prompt", "data": {}}], KEY)
    durable.append("gone", batch(1, 1), KEY)
    rng, removed = random.Random(3), spool.remove

    def die(record: Any) -> None:
        if rng.random() < 0.4:
            raise KeyboardInterrupt
        removed(record)

    spool.remove = die  # type: ignore[method-assign]
    while spool.depth:
        try:
            durable.drain()
        except KeyboardInterrupt:
            continue
    whole = store.find("s")
    assert whole is not None
    assert sorted(event["n"] for event in whole["events"] if "n" in event) == list(range(1, 63))
    assert sum(event["type"] == "prompt" for event in whole["events"]) == 20
    assert (spool.depth, spool.refused) == (0, 1)
    spool.close()
