"""A collector and its database as real processes, the faults that happen to them, and visitors who count."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from llmtrack.errors import LlmtrackError
from llmtrack.store.database import embedded
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.queue import Damaged, Spool
from tests.collector.conftest import Browser, wait_until
from tests.processes import Serving
from tests.proxy import Proxy

VISITORS, BATCH, VISIT = 6, 10, 200  # people at once, events of a request, of a visit
AHEAD_S = 3600.0
MAX_MB = 8.0
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Counted(NamedTuple):
    """Events: acknowledged; of these not in the database, there twice, put aside because they were damaged.

    `drained_s`: how long after the fault the last of them was there.
    """

    acknowledged: int
    lost: int
    twice: int
    aside: int
    drained_s: float


class World:
    """`run` lets faults happen to it under load, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "database"
        uri = embedded.ensure(self.data, 600).replace("/?", "/faults?")
        self.store, self.way = Store(uri), Proxy(uri)
        self.clock = folder / "clock"
        self.spool = Spool(folder / "collector" / "spool.sqlite", 10**9, 10**9)
        self.aside: dict[str, set[int]] = {}
        self.server = Serving(
            folder,
            workers=2,
            MONGODB_URI=self.way.uri,
            LLMTRACK_DATA_DIR=str(folder / "collector"),
            LLMTRACK_SPOOL__AFTER_S="0.5",
            LLMTRACK_SPOOL__MAX_MB=str(MAX_MB),
            LLMTRACK_LIMITS__REQUESTS_PER_USER="0",
            PYTHONPATH=str(Path(__file__).parent / "clock"),
            FAULTS_CLOCK=str(self.clock),
        )
        self.server.start()

    def close(self) -> None:
        """End all of it."""
        self.server.kill()
        self.way.close()
        self.spool.close()
        self.store.close()
        self._kill("keeper", "pid")

    def told(self) -> str:
        """What the processes said last, for whoever looks why something went wrong."""
        logs = [self.data / "embedded.json", self.data / "embedded.log", self.folder / "serve.log"]
        waiting = [record for _, session_id in self.spool.sessions()[:3] for record in self.spool.of(session_id)[:2]]
        return "\n".join([*(f"{log.name}: {log.read_text()[-2000:]}" for log in logs), f"waiting: {waiting}"])

    def run(self, *names: str, fault_s: float = 2.0) -> Counted:
        """Visitors come, the faults begin and end, the visitors go; then count what they were told."""
        visitors = [_Visitor(self.server.url) for _ in range(VISITORS)]
        self._came(visitors, 1)
        self.aside = {}
        with contextlib.ExitStack() as faults:
            for name in names:
                faults.enter_context(FAULTS[name](self))
            until = time.monotonic() + fault_s
            while time.monotonic() < until:
                if "spool damaged" in names:
                    self._damage()
                time.sleep(0.1)
        over = time.monotonic()
        self._came(visitors, 2)
        for visitor in visitors:
            visitor.stop()
        wait_until(lambda: self._depth() == 0, 180)
        drained_s = time.monotonic() - over
        return self._count(visitors, drained_s)

    def _came(self, visitors: list[_Visitor], batches: int) -> None:
        """Wait until most of them have had some more batches acknowledged."""
        before = [visitor.batches for visitor in visitors]

        def most() -> bool:
            went = [each.batches - had >= batches for each, had in zip(visitors, before, strict=True)]
            return sum(went) >= len(visitors) - 1

        wait_until(most, 90)

    def _depth(self) -> int:
        try:
            return self.spool.depth
        except LlmtrackError:
            return -1

    def _count(self, visitors: list[_Visitor], drained_s: float) -> Counted:
        acknowledged = lost = twice = aside = 0
        for visitor in visitors:
            for session_id, wanted in visitor.acknowledged.items():
                found = self.store.find(session_id) or {"events": []}
                numbers = [event["n"] for event in found["events"]]
                damaged = self.aside.get(session_id, set()) - set(numbers)
                acknowledged += len(wanted)
                lost += len(wanted - set(numbers) - damaged)
                twice += len(numbers) - len(set(numbers))
                aside += len(wanted & damaged)
        return Counted(acknowledged, lost, twice, aside, drained_s)

    def _damage(self) -> None:
        """Flip a bit of a record that waits, unless one was already."""
        if self.aside:
            return
        with contextlib.suppress(LlmtrackError):
            for _, session_id in self.spool.sessions()[:1]:
                record = self.spool.of(session_id)[-1]
                with contextlib.suppress(Damaged):
                    self.aside[session_id] = {event["n"] for event in record.body.get("events", ())}
                raw = bytearray(record.raw)
                raw[len(raw) // 2] ^= 1
                with self.spool._lock, self.spool._db as db:
                    db.execute("update records set body = ? where id = ?", (bytes(raw), record.id))

    def _kill(self, *which: str) -> None:
        state = json.loads((self.data / "embedded.json").read_text())
        for name in which:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state[name], signal.SIGKILL)

    def _workers(self) -> list[int]:
        pid = self.server.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def database_killed(world: World) -> Iterator[None]:
    world._kill("pid")
    yield


@contextlib.contextmanager
def database_full(world: World) -> Iterator[None]:
    """No file of the server may grow, until its keeper starts it anew."""
    pid = json.loads((world.data / "embedded.json").read_text())["pid"]
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, 1))
    yield


def by_proxy(change: Callable[[Proxy], None]) -> Callable[[World], contextlib.AbstractContextManager[None]]:
    """A fault that the proxy makes."""

    @contextlib.contextmanager
    def fault(world: World) -> Iterator[None]:
        change(world.way)
        yield
        world.way.on()

    return fault


def frozen(way: Proxy) -> None:
    way.frozen = True


def slow(way: Proxy) -> None:
    way.delay_s = 0.6


@contextlib.contextmanager
def spool_full(world: World) -> Iterator[None]:
    """The file has reached its limit: with a record that was put aside, as large as all of it."""
    with world.spool._lock, world.spool._db as db:
        ballast = "insert into refused values (1000000, 0, 'ballast', '', zeroblob(?), '')"
        db.execute(ballast, (int(MAX_MB * 1e6),))
    yield
    world.spool.drop([1_000_000])


@contextlib.contextmanager
def disk_full(world: World) -> Iterator[None]:
    """No file of the collector may grow."""
    workers = world._workers()
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)


@contextlib.contextmanager
def clock_stepped(world: World) -> Iterator[None]:
    world.clock.write_text(str(AHEAD_S))
    yield
    world.clock.write_text("0")


@contextlib.contextmanager
def worker_killed(world: World) -> Iterator[None]:
    for pid in world._workers()[-1:]:
        os.kill(pid, signal.SIGKILL)
    yield


@contextlib.contextmanager
def collector_killed(world: World) -> Iterator[None]:
    world.server.kill()
    world.server.start()
    yield


@contextlib.contextmanager
def all_killed(world: World) -> Iterator[None]:
    """Also the server's keeper: whoever comes next starts another."""
    world._kill("keeper", "pid")
    world.server.kill()
    wait_until(lambda: not embedded._keeper_lives(world.data))
    embedded.revive(world.data, 600)
    world.server.start()
    yield


FAULTS: dict[str, Callable[[World], contextlib.AbstractContextManager[None]]] = {
    "database killed": database_killed,
    "database cut off": by_proxy(Proxy.off),
    "database frozen": by_proxy(frozen),
    "database slow": by_proxy(slow),
    "database refuses writes": by_proxy(Proxy.over_quota),
    "database full": database_full,
    "spool full": spool_full,
    "spool damaged": lambda world: contextlib.nullcontext(),
    "disk full": disk_full,
    "clock stepped": clock_stepped,
    "worker killed": worker_killed,
    "collector killed": collector_killed,
    "all processes killed": all_killed,
}


class _Visitor:
    """Sends visits as a tracker does: a batch again and again until it is acknowledged, then the next."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[str, set[int]] = {}
        self.batches = 0
        self._browser, self._stop = Browser(url), threading.Event()
        self._thread = threading.Thread(target=self._visits, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The visit ends with the batch that is on its way."""
        self._stop.set()
        self._thread.join()

    def _visits(self) -> None:
        while not self._stop.is_set():
            name, secret = secrets.token_hex(10), secrets.token_hex(16)
            start = {"session_id": f"user_u_1_{name}", "secret": secret, "environment": {}}
            token, n = "", 0
            while n < VISIT and not (self._stop.is_set() and token):
                if not token:
                    token = (self._post("start", start) or {}).get("token", "")
                    if not token and self._stop.is_set():
                        return
                    continue
                now = time.time() * 1000
                events = [{"n": n + i, "t": now + i, "type": "click", "data": {}} for i in range(1, BATCH + 1)]
                visit: dict[str, Any] = {"session_id": start["session_id"], "token": token}
                answer = self._post("event", {**visit, "events": events})
                if answer is None:
                    continue
                if "error" in answer:
                    token = ""
                    continue
                self.acknowledged.setdefault(str(start["session_id"]), set()).update(range(n + 1, n + BATCH + 1))
                n += BATCH
                self.batches += 1

    def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer; None when it is to be tried again."""
        try:
            answer = self._browser.post(f"/api/session/{what}", body)
        except (OSError, HTTPException):
            time.sleep(0.1)
            return None
        if answer.status in (201, 202):
            return dict(answer.json)
        time.sleep(0.1)
        return {"error": answer.status} if answer.status in (401, 403, 404) else None
