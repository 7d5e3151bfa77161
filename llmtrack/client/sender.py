"""Sends what an application logs to a collector, in the background and in order, without ever getting in its way."""

from __future__ import annotations

import atexit
import functools
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from random import SystemRandom
from typing import Any, NamedTuple

from llmtrack.session.schema import MAX_BODY_BYTES
from llmtrack.version import __version__

MAX_WAITING_BYTES = 8 * 1024 * 1024
TIMEOUT_S = 10
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30
LATE_START_S = 15  # a session that is not known yet may have a start that is still on its way
LATE_PAUSE_S = 1
AT_EXIT_S = 3
ENDED = "the program ended before the collector had taken all"
_chance = SystemRandom()  # the application may have seeded the global generator: what it draws is its own

START, EVENT, END = "/api/session/start", "/api/session/event", "/api/session/end"

log = logging.getLogger("llmtrack")


class Waiting(NamedTuple):
    """One request that waits to be sent. `put` and `after` (0: not tried yet) are times of time.monotonic()."""

    path: str
    session_id: str
    body: bytes
    put: float
    after: float = 0


class Result(NamedTuple):
    """What became of a request: sent, `refused` for good, tried again `late`, or the collector is `away`."""

    refused: str = ""
    late: bool = False
    away: bool = False
    pause_s: float = 0


class Sender:
    """A bounded queue and the thread that empties it. What is tried again has the same body, so it is stored once.

    `dropped` counts what was not logged; the first one is warned of.
    """

    def __init__(self, endpoint: str, key: str | None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._headers = {"Content-Type": "application/json", "User-Agent": f"llmtrack-client/{__version__}"}
        self._key = key
        self._tokens: dict[str, str] = {}  # of sessions that were started here: their proof where there is no key
        self.dropped = 0
        self._waiting: list[Waiting] = []
        self._bytes = 0
        self._failed = 0  # attempts in a row
        self._ending = self._ended = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        atexit.register(self.end)

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Queue a request. It is dropped when it is larger than a collector takes, or 8 MB wait already."""
        raw = json.dumps(body, ensure_ascii=False).encode()
        if len(raw) > MAX_BODY_BYTES:
            self.drop(f"{len(raw)} bytes are more than the collector takes")
            return
        with self._changed:
            ended, full = self._ended, self._bytes + len(raw) > MAX_WAITING_BYTES
            if not (ended or full):
                self._waiting.append(Waiting(path, body["session_id"], raw, time.monotonic()))
                self._bytes += len(raw)
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="llmtrack-sender", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
        if ended:
            self.drop(ENDED)
        elif full:
            self.drop("the collector does not answer, and too much is waiting for it already")

    def flush(self, limit_s: float) -> None:
        """Wait until all was sent or at least tried; no longer than `limit_s`, nor for a collector that is away."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or all(waiting.after for waiting in self._waiting), limit_s)

    def end(self, limit_s: float = AT_EXIT_S) -> None:
        """Send what is waiting, at most for `limit_s`: the process ends. What is left is counted as dropped."""
        if self._pid != os.getpid():  # a forked child: what waits here is its parent's
            return
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting, limit_s)
            left, self._ended = len(self._waiting), True
            self._changed.notify_all()
        if left:
            self.drop(ENDED, left)

    def drop(self, why: str, events: int = 1) -> None:
        """Count what is not logged; warn of the first."""
        with self._changed:
            first, self.dropped = not self.dropped, self.dropped + events
        if first:
            log.warning("llmtrack did not log something: %s. More of this will only be counted.", why)

    def _run(self) -> None:
        while waiting := self._next():
            result = self._send(waiting)
            with self._changed:
                at = self._waiting.index(waiting)
                if result.late:
                    self._waiting[at] = waiting._replace(after=time.monotonic() + LATE_PAUSE_S)
                elif not result.away:
                    del self._waiting[at]
                    self._bytes -= len(waiting.body)
                self._failed = self._failed + 1 if result.away else 0
                self._changed.notify_all()
                if result.away:
                    backoff_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failed - 1, 10))
                    pause_s = max(result.pause_s, backoff_s * _chance.uniform(0.5, 1))  # not all at once
                    self._changed.wait_for(lambda: self._ending, pause_s)
            if result.away and self._ending:
                time.sleep(FIRST_PAUSE_S)
            if result.refused:
                self.drop(result.refused)

    def _next(self) -> Waiting | None:
        """The first that may be sent: one whose session is not known yet lets the others pass. None: it is over."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                for waiting in self._waiting:
                    if waiting.after <= now:
                        return waiting
                soonest = min((waiting.after - now for waiting in self._waiting), default=None)
                self._changed.wait(soonest)
        return None

    def _send(self, waiting: Waiting) -> Result:
        proof = self._key or self._tokens.get(waiting.session_id)
        headers = self._headers | ({"Authorization": f"Bearer {proof}"} if proof else {})
        try:
            request = urllib.request.Request(self._endpoint + waiting.path, waiting.body, headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - the developer's address
                answer = json.loads(response.read())
            rejected = answer.get("rejected")
            if waiting.path == START:
                self._tokens[waiting.session_id] = answer["token"]
            elif waiting.path == END:
                self._tokens.pop(waiting.session_id, None)
            return Result(refused=f"the collector refused it: {rejected[0].get('why')}" if rejected else "")
        except urllib.error.HTTPError as error:
            with error:
                return _answered(error, time.monotonic() - waiting.put)
        except (ValueError, AttributeError, KeyError):  # its words may hold the key
            return Result(refused="endpoint or ingest_key cannot be right, or what answers there is no collector")
        except Exception:  # no connection, or no answer in time
            return Result(away=True)


def _answered(error: urllib.error.HTTPError, waited_s: float) -> Result:
    if error.code == 404 and waited_s < LATE_START_S:
        return Result(late=True)
    if error.code >= 500 or error.code in (408, 429):
        given = error.headers.get("Retry-After", "")
        return Result(away=True, pause_s=min(float(given), LONGEST_PAUSE_S) if given.isdecimal() else 0)
    try:
        words = str(json.loads(error.read(2000))["error"])[:200]
    except Exception:
        words = str(error.reason)[:200]
    return Result(refused=f"the collector answered {error.code}: {words}")


@functools.cache
def sender(endpoint: str, key: str | None) -> Sender:
    """The sender of this process to a collector: one for all, so that its bound holds while requests come and go."""
    return Sender(endpoint, key)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=sender.cache_clear)  # threads do not come along
