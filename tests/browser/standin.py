"""Two local servers for the tracker's tests: a collector that does as it is told, and a site of another origin."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import llmtrack

TRACKER = Path(llmtrack.__file__).parent / "web" / "tracker.js"
PAGES = Path(__file__).parent / "pages"


@dataclass
class Visit:
    """What the collector knows of one session: each n once, as the real one keeps it."""

    start: dict[str, Any]
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of the events of one type, in order of n."""
        return [event["data"] for _, event in sorted(self.events.items()) if event["type"] == kind]

    def times(self, kind: str) -> list[float]:
        return [event["t"] for _, event in sorted(self.events.items()) if event["type"] == kind]

    @property
    def complete(self) -> bool:
        """Whether no n is missing up to the largest."""
        return bool(self.events) and sorted(self.events) == list(range(1, max(self.events) + 1))


@dataclass(frozen=True)
class Request:
    """One request as it came in; `status` 0 was left without an answer."""

    name: str
    body: dict[str, Any]
    at: float
    status: int
    size: int
    method: str
    content_type: str

    @property
    def ns(self) -> list[int]:
        return [event["n"] for event in self.body.get("events", [])]


class Collector:
    """POST /api/session/{start,event,end} and GET /llmtrack.js.

    `away` leaves requests without an answer, `answers` are given once each before normal service (status, headers),
    `hold` delays answers until it is set, `ahead_ms` is how far the server's clock is ahead.
    """

    def __init__(self) -> None:
        self.away = False
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.hold: threading.Event | None = None
        self.ahead_ms = 0
        self.requests: list[Request] = []
        self.visits: dict[str, Visit] = {}
        self.url = ""
        self._lock = threading.Lock()

    @property
    def visit(self) -> Visit:
        """The only session so far."""
        (visit,) = self.visits.values()
        return visit

    def sent(self, *names: str) -> list[Request]:
        return [request for request in list(self.requests) if request.name in names]

    def handle(
        self, name: str, raw: bytes, method: str, content_type: str
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        body = json.loads(raw) if raw else {}
        with self._lock:
            status, headers = (0, {}) if self.away else self.answers.pop(0) if self.answers else (200, {})
            reply: dict[str, Any] = {"error": "as the test says"}
            if status == 200 and method == "POST":
                status, reply = getattr(self, f"_{name}")(body)
            request = Request(name, body, time.monotonic(), status, len(raw), method, content_type)
            self.requests.append(request)
        if self.hold:
            self.hold.wait(10)
        return status, headers, reply

    def _start(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        visit = self.visits.setdefault(body["session_id"], Visit(body))
        now = round(time.time() * 1000) + self.ahead_ms
        return 201, {"session_id": visit.start["session_id"], "server_time": now, "token": "token"}

    def _event(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        visit = self.visits.get(body["session_id"])
        if visit is None:
            return 404, {"error": "no such session"}
        new = {event["n"]: event for event in body["events"] if event["n"] not in visit.events}
        visit.events |= new
        return 202, {"accepted": len(new), "duplicates": len(body["events"]) - len(new), "rejected": []}

    def _end(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, reply = self._event(body)
        if status == 202:
            self.visits[body["session_id"]].ends.append(body.get("t", 0))
        return status, reply


class Site:
    """Serves tests/browser/pages, with the tracker's tag where a page says {tracker}, its address where {source}.

    /moved/… redirects to the tracker.
    """

    def __init__(self, tracker_url: str) -> None:
        self.tracker_url = tracker_url
        self.url = ""

    def page(self, name: str = "page.html", **attributes: str) -> str:
        """The address of a page whose tracker has these data- attributes (respect_dnt="" → data-respect-dnt)."""
        return f"{self.url}/{name}?{urlencode(attributes)}#part"

    def render(self, target: str) -> bytes:
        parts = urlsplit(target)
        data = "".join(
            f' data-{name.replace("_", "-")}="{value}"'
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        )
        tag = f'<script type="module" src="{self.tracker_url}"{data}></script>'
        return (
            (PAGES / parts.path.lstrip("/"))
            .read_text()
            .replace("{tracker}", tag)
            .replace("{source}", self.tracker_url)
            .encode()
        )


@contextmanager
def serve_collector(collector: Collector) -> Iterator[Collector]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            found = urlsplit(self.path).path == "/llmtrack.js"
            self.answer(200 if found else 404, TRACKER.read_bytes() if found else b"", "text/javascript")

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.path.removeprefix("/api/session/")
            kind = self.headers.get("Content-Type", "")
            status, headers, reply = collector.handle(name, raw, self.command, kind)
            if status:
                expose = {"Access-Control-Expose-Headers": "Retry-After"}
                self.answer(status, json.dumps(reply).encode(), "application/json", headers | expose)

        def do_OPTIONS(self) -> None:
            collector.handle(self.path, b"", self.command, "")
            self.answer(204, b"", "text/plain")

    with _serve(Handler) as url:
        collector.url = url
        yield collector


@contextmanager
def serve_site(site: Site) -> Iterator[Site]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.answer(302, b"", "text/plain", {"Location": site.tracker_url})
                return
            found = self.path != "/favicon.ico"
            self.answer(200 if found else 404, site.render(self.path) if found else b"", "text/html; charset=utf-8")

    with _serve(Handler) as url:
        site.url = url
        yield site


class Quiet(BaseHTTPRequestHandler):
    """A connection a request: an unanswered one is then a network error that no browser repeats by itself."""

    def answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Access-Control-Allow-Origin": "*", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that left before its answer is no error here."""


@contextmanager
def _serve(handler: type[Quiet]) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def until(condition: Callable[[], Any], within_s: float = 8, pause: Callable[[float], Any] = time.sleep) -> Any:
    """What `condition` answers as soon as it is true; AssertionError after `within_s`."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if value := condition():
            return value
        pause(0.02)
    raise AssertionError(f"not within {within_s} s")
