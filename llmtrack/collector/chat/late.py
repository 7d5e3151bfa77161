"""Turns of sessions whose own start is still on its way: kept for a minute, and logged when it has arrived.

A page asks its first question as soon as somebody clicks; the start of its session may take seconds on a slow line, and
may arrive at another worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Protocol

KEPT_S = 60
LOOK_EVERY_S = 0.5
MAX_KEPT = 1_000

log = logging.getLogger("llmtrack")


class Waiting(Protocol):
    """A record whose session has not started yet."""

    def arrived(self) -> bool:
        """Whether it has by now; then what waited is logged. Never raises."""


class Late:
    """Looks for the sessions in a thread of its own, while there is something to look for."""

    def __init__(self, kept_s: float = KEPT_S, look_every_s: float = LOOK_EVERY_S) -> None:
        self._kept_s, self._look_every_s = kept_s, look_every_s
        self._waiting: deque[tuple[float, Waiting]] = deque(maxlen=MAX_KEPT)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, record: Waiting) -> None:
        """Log the record when its session starts, if that is soon."""
        with self._lock:
            self._waiting.append((time.monotonic() + self._kept_s, record))
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="late", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            time.sleep(self._look_every_s)
            with self._lock:
                waiting = list(self._waiting)
            over = [each for each in waiting if self._is_over(*each)]
            with self._lock:
                for each in over:
                    if each in self._waiting:
                        self._waiting.remove(each)
                if not self._waiting:
                    self._thread = None
                    return

    def _is_over(self, until: float, record: Waiting) -> bool:
        if record.arrived():
            return True
        if time.monotonic() > until:
            log.info("a chat turn was not logged: its session did not start within %d s", self._kept_s)
            return True
        return False
