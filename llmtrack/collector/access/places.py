"""What happens when too much comes at once: each kind of work has its places, the next is refused before it waits.

A worker has a fixed number of threads. A slow model holds one for each answer, a slow database one for each batch and
each reading, a slow sender one for each body: none can take the places of the others, and some threads are always left
to say no.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response, g, request

from llmtrack.collector.access.rates import RateLimits, network
from llmtrack.collector.errors import Overload, Refused
from llmtrack.config import Limits

SPARE_THREADS = 32  # of a worker: they refuse what has no place, and serve pages
PROBES = 4  # who asks at once whether all is well: that asks the database
RETRY_AFTER_S = 2
MODEL_PATHS = ("/query", "/v1/chat/completions")
READ_PATHS = ("/api/chats", "/session/")
PROBE_PATHS = ("/readyz", "/metrics")


class Places:
    """At most `count` at once, two thirds of them for one address; the next is refused at once."""

    def __init__(self, count: int, limit: str, what: str) -> None:
        self._count, self._limit, self._what = count, limit, what
        self._each = max(1, count * 2 // 3)
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def enter(self, address: str) -> Callable[[], None]:
        """Take a place; returns what gives it back, which may be called again. Raises Overload (503)."""
        with self._lock:
            if self._taken.total() >= self._count or self._taken[address] >= self._each:
                raise Overload(
                    503, self._limit, RETRY_AFTER_S, f"Too many {self._what} at once.", "Try again in a moment."
                )
            self._taken[address] += 1
        given_back = threading.Event()

        def leave() -> None:
            with self._lock:
                if not given_back.is_set():
                    given_back.set()
                    self._taken[address] -= 1
                    if not self._taken[address]:
                        del self._taken[address]

        return leave


def threads(limits: Limits) -> int:
    """How many threads a worker needs, so that no kind of work takes the place of another."""
    return limits.concurrent_queries + limits.concurrent_ingest + limits.concurrent_reads + PROBES + SPARE_THREADS


def guard(app: Flask, limits: Limits, rates: RateLimits) -> None:
    """Refuse what is too much before any of its body is read."""
    model = Places(limits.concurrent_queries, "concurrent_queries", "questions")
    ingest = Places(limits.concurrent_ingest, "concurrent_ingest", "requests")
    reads = Places(limits.concurrent_reads, "concurrent_reads", "readings")
    probes = Places(PROBES, "probes", "probes")

    @app.before_request
    def admit() -> None:
        address = network(request.remote_addr or "unknown")
        rates.address(address)
        if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused(415, "Content-Encoding: bodies are taken as they are, not compressed.", "Send plain JSON.")
        if request.path in MODEL_PATHS:
            g.leave = model.enter(address)
        elif request.path.startswith(READ_PATHS):
            g.leave = reads.enter(address)
        elif request.path in PROBE_PATHS:
            g.leave = probes.enter(address)
        elif request.method not in ("GET", "HEAD", "OPTIONS"):
            g.leave = ingest.enter(address)

    @app.after_request
    def leave(answer: Response) -> Response:
        if "leave" in g:
            give_back = g.pop("leave")
            if answer.is_streamed:
                answer.call_on_close(give_back)  # an answer that is still on its way holds its place
            else:
                give_back()
        return answer
