"""A stand-in for the collector: the real page under the real Content-Security-Policy, answers as the test says.

A test plans replies (`server.plan(Reply(...))`), or takes one in hand with `Reply(open=True)` and gives its text
piece by piece while it looks at the page.
"""

from __future__ import annotations

import json
import mimetypes
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jinja2

import llmtrack
from llmtrack.collector.access.origins import CONTENT_SECURITY_POLICY

WEB = Path(llmtrack.__file__).parent / "web"
# The tracker's interface, noting what the page tells it.
TRACKER = """
window.tracked = [];
window.llmtrack = {
  sessionId: "user_test_1_a",
  optOut() {},
  track: (type, data) => window.tracked.push({ type, data }),
};
"""
GIVE_UP_S = 20


@dataclass
class Reply:
    """How one POST /query is answered. With `open`, text comes from add() until end() or break_off()."""

    text: str = "Hello, **world**."
    status: int = 200
    error: str = ""
    citations: list[dict[str, str]] = field(default_factory=list)
    thinking: tuple[str, ...] = ()
    done: dict[str, Any] = field(default_factory=dict)
    provider: str = "test"
    tracked: bool = True
    notice: str | None = None
    streamed: bool = True
    open: bool = False
    asked: threading.Event = field(default_factory=threading.Event)
    _pieces: queue.Queue[str | Exception | None] = field(default_factory=queue.Queue)

    def add(self, text: str) -> None:
        self._pieces.put(text)

    def end(self) -> None:
        self._pieces.put(None)

    def break_off(self) -> None:
        """Close the connection in the middle of the answer."""
        self._pieces.put(ConnectionAbortedError())

    def pieces(self) -> Iterator[str]:
        if not self.open:
            yield from (self.text[at : at + 7] for at in range(0, len(self.text), 7))
            return
        while (piece := self._pieces.get(timeout=GIVE_UP_S)) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece


@dataclass
class ChatServer:
    url: str = ""
    provider: str = "test"
    tracker: bool = True
    chats_fail: bool = False
    chats: dict[str, dict[str, Any]] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    _replies: list[Reply] = field(default_factory=list)

    def plan(self, reply: Reply) -> Reply:
        self._replies.append(reply)
        return reply

    def next_reply(self) -> Reply:
        return self._replies.pop(0) if self._replies else Reply()

    def save(self, chat: str, title: str, *messages: dict[str, Any], age_s: float = 0) -> None:
        """A chat of the sidebar."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))
        self.chats[chat] = {"sessionId": chat, "title": title, "updated_at": at, "messages": list(messages)}

    def log(self, chat: str, *messages: dict[str, Any], edits: str | None = None) -> None:
        """Save messages, each in the place of its turn's; a question that edits ends what followed."""
        if chat not in self.chats:
            self.save(chat, messages[0]["text"])
        saved = self.chats[chat]["messages"]
        if edits:
            del saved[next(at for at, each in enumerate(saved) if each["turn_id"] == edits) :]
        for message in messages:
            here = [at for at, each in enumerate(saved) if _same(each, message)]
            saved[here[0] if here else len(saved) :] = [message, *saved[here[0] + 1 :]] if here else [message]


def _same(saved: dict[str, Any], message: dict[str, Any]) -> bool:
    return bool((saved["role"], saved["turn_id"]) == (message["role"], message["turn_id"]))


@contextmanager
def serve() -> Iterator[ChatServer]:
    """A ChatServer on a free port of this machine."""
    chat_server = ChatServer()
    handler = type("Handler", (_Handler,), {"chat_server": chat_server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        chat_server.url = f"http://127.0.0.1:{http.server_address[1]}"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield chat_server
        finally:
            http.shutdown()


class _Handler(BaseHTTPRequestHandler):
    chat_server: ChatServer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output quiet."""

    def do_GET(self) -> None:
        server, (path, _, words) = self.chat_server, self.path.partition("?q=")
        if path == "/" or path.startswith("/chat/"):
            page = jinja2.Environment(autoescape=True).from_string((WEB / "index.html").read_text("utf-8"))
            html = page.render(experiment="test", user_id="reader", provider=server.provider)
            self._send(200, html.encode(), "text/html; charset=utf-8")
        elif path == "/llmtrack.js" and server.tracker:
            self._send(200, TRACKER.encode(), "text/javascript")
        elif path == "/api/chats" and server.chats_fail:
            self._json(503, {"error": "The store is away."})
        elif path == "/api/chats":
            found = [chat for chat in server.chats.values() if unquote(words).lower() in json.dumps(chat).lower()]
            self._json(200, {"chats": sorted(found, key=lambda chat: chat["updated_at"], reverse=True)})
        elif path.startswith("/api/chats/") and (chat := server.chats.get(unquote(path.rsplit("/", 1)[1]))):
            self._json(200, chat)
        elif path.startswith("/assets/") and (file := WEB / path.lstrip("/")).is_file():
            self._send(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")
        else:
            self._json(404, {"error": f"Nothing at {path}."})

    def do_DELETE(self) -> None:
        chat = self.path.rsplit("/", 1)[1]
        self.chat_server.deleted.append(chat)
        found = self.chat_server.chats.pop(chat, None)
        self._json(204 if found else 404, None)

    def do_PATCH(self) -> None:
        chat, body = self.chat_server.chats.get(self.path.rsplit("/", 1)[1]), self._body()
        if chat:
            chat["title"] = body["title"]
        self._json(204 if chat else 404, None)

    def _body(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_POST(self) -> None:
        body, server = self._body(), self.chat_server
        if self.path.endswith("/stop"):
            server.stopped.append(body["turn_id"])
            self._json(204, None)
            return
        reply = server.next_reply()
        server.queries.append(body)
        turn = {"turn_id": body["turn_id"], "sessionId": body["sessionId"]}
        turn |= {"provider": reply.provider, "tracked": reply.tracked, "notice": reply.notice}
        asked = {"role": "user", "text": body["query"], "turn_id": turn["turn_id"]}
        server.log(body["sessionId"], asked, edits=body.get("edits"))
        reply.asked.set()
        if reply.status != 200:
            self._json(reply.status, {"error": reply.error} | turn)
            return
        if not reply.streamed:
            self._json(200, {"answer": reply.text, "citations": []} | turn)
            return
        try:
            self._stream(reply, turn)
        except (ConnectionError, queue.Empty):
            self.close_connection = True  # the page left, the test is over or wants the answer to break off

    def _stream(self, reply: Reply, turn: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self._event("meta", turn)
        for thought in reply.thinking:
            self._event("thinking", {"text": thought})
        text = ""
        for piece in reply.pieces():
            text += piece
            self._event("token", {"text": piece})
        if reply.error:
            self._event("error", {"error": reply.error, "status": 502})
            return
        done = turn | {"answer": text, "citations": reply.citations} | reply.done
        self.chat_server.log(turn["sessionId"], {"role": "assistant", "text": text} | done)
        self._event("done", done)

    def _event(self, name: str, data: dict[str, Any]) -> None:
        event = f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        # Cut anywhere, also inside a character: a network does.
        middle = len(event) // 2
        for part in (event[:middle], event[middle:]):
            self.wfile.write(part)
            self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any] | None) -> None:
        self._send(status, b"" if body is None else json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
