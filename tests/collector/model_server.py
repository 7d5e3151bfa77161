"""A local OpenAI-compatible server for tests: real HTTP, real streaming, and every way in which a provider fails.

The name of the model that is asked for says how it behaves (MODELS below). What it was asked lies in `requests`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = (
    "**Supervised learning** learns from examples with answers.\n\n- inputs\n- labels\n\n"
    "| kind | example |\n|---|---|\n| supervised | spam filter |\n\n```python\nprint('hello')\n```\n"
)
KEY = "sk-test-model-server-0123456789"
LOST = "lost-model"
STATUSES = {"wrong-key": 401, "forbidden": 403, LOST: 404, "busy": 429, "refuses": 400, "fails": 500}
SECRET_WORDS = f"Incorrect API key provided: {KEY}. You said: tell me."


class ModelServer(ThreadingHTTPServer):
    """Answers POST /v1/chat/completions on a free port of loopback."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.paths: list[str] = []
        self.failure_headers: dict[str, str] = {}  # what a failure says besides
        self.answer = ANSWER
        self.think_s = 0.0  # before the first word
        self.delay_s = 0.0  # between two words
        self.left = threading.Event()  # the asking side closed the connection in the middle of an answer
        self.stop = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no news."""


@contextlib.contextmanager
def running() -> Iterator[ModelServer]:
    """A model server, until the block ends."""
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        self.server.keys.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
        self.server.paths.append(self.path)
        model = asked["model"]
        if self.path.partition("?")[0] != "/v1/chat/completions":
            self._error(404, {"error": {"message": f"no {self.path}"}})
        elif model == "busy-once":
            first = sum(request["model"] == model for request in self.server.requests) == 1
            if first:
                self._error(429, {"error": {"message": "slow down"}})
            else:
                self._stream(asked)
        elif model == "no-usage" and "stream_options" in asked:
            self._error(422, {"detail": "body.stream_options: extra inputs are not permitted"})
        elif model == LOST:
            self._error(404, {"error": {"message": f"The model `{model}` does not exist"}})
        elif model in STATUSES:
            self._error(STATUSES[model], {"error": {"message": SECRET_WORDS}})
        elif model in ("whole", "web-page", "garbage"):
            self._whole(model, asked)
        elif model == "silent":
            self.server.stop.wait(20)
        else:
            self._stream(asked)

    def _stream(self, asked: dict[str, Any]) -> None:
        """Word by word, with usage at the end when asked for. `…-after-3` goes wrong after three words."""
        model = asked["model"]
        self._begin(framed=model != "unframed-after-3")
        self._chunk(asked, {"role": "assistant", "content": ""})
        if model == "perplexity":
            self._event({"citations": ["https://a.example/1"], "search_results": [_SOURCE], "choices": []})
        time.sleep(self.server.think_s)
        words = self.server.answer.split(" ") if model != "empty" else []
        for number, word in enumerate(words):
            if number == 3 and model.endswith("after-3"):
                self._go_wrong(model)
                return
            if not self._chunk(asked, {"content": word if number == len(words) - 1 else f"{word} "}):
                return
            time.sleep(self.server.delay_s)
        if model == "annotated":
            self._chunk(asked, {"annotations": [{"type": "url_citation", "url_citation": _SOURCE}]})
        self._chunk(asked, {}, "stop" if model != "empty" else "content_filter")
        if asked.get("stream_options", {}).get("include_usage"):
            self._event({"model": model, "choices": [], "usage": {**_USAGE, "completion_tokens_details": None}})
        self._write(b"data: [DONE]\n\n")
        self._write(b"")  # the last, empty chunk

    def _go_wrong(self, model: str) -> None:
        if model == "error-after-3":
            self._event({"error": {"message": f"overloaded, key {KEY}"}})
        elif model == "garbage-after-3":
            self._write(b"data: {not json\n\n")
        elif model == "silent-after-3":
            self.server.stop.wait(20)
        elif model == "broken-after-3":  # a reset, as from a provider that dies
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _whole(self, model: str, asked: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": self.server.answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        kind, body = {
            "whole": ("application/json", json.dumps({"model": model, "choices": [choice], "usage": _USAGE})),
            "web-page": ("text/html; charset=utf-8", "<html>Welcome</html>"),
            "garbage": ("application/json", "{not json"),
        }[model]
        self._send(200, kind, body)

    def _error(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body))

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.failure_headers.items() if status >= 400 else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _begin(self, *, framed: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.framed = framed
        self.send_header(*(("Transfer-Encoding", "chunked") if framed else ("Connection", "close")))
        self.end_headers()

    def _chunk(self, asked: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bool:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return self._event({"id": "1", "object": "chat.completion.chunk", "model": asked["model"], "choices": [choice]})

    def _event(self, data: dict[str, Any]) -> bool:
        return self._write(f"data: {json.dumps(data)}\n\n".encode())

    def _write(self, data: bytes) -> bool:
        """Whether the other side still listens."""
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self.framed else data)
            self.wfile.flush()
        except OSError:
            self.server.left.set()
            self.close_connection = True
            return False
        return True


_SOURCE = {"title": "A source", "url": "https://a.example/1", "start_index": 0, "end_index": 4}
_USAGE = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}
