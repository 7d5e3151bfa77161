"""What providers, gateways and local servers answer: each way in which public reports say they differ, as bytes.

`REPLIES` holds for each name what is sent to a streamed call, to a whole one, and to one of the Responses API.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Three ", "short ", "words.")
SAID = "Three short words."
BEGUN = "Three short "
DONE = b"data: [DONE]\n\n"


def event(data: object, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    return event(chunk_of(finish, **delta))


def chunk_of(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def words(*said: str) -> list[bytes]:
    return [chunk(content=word) for word in said]


def completion(finish: str | None = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def response(status: str = "completed", *output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "r", "object": "response", "created_at": 1, "model": "m", "status": status, "output": list(output),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], **more,
    }  # fmt: skip


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": list(parts)}


def written(*texts: str) -> list[bytes]:
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    kind = "response.output_text.delta"
    return [event({"type": kind, "delta": text, "sequence_number": 1, "logprobs": [], **place}, kind) for text in texts]


def ended(kind: str, whole: dict[str, Any]) -> bytes:
    return event({"type": kind, "response": whole, "sequence_number": 9}, kind)


@dataclass
class Reply:
    """`stream` and `responses` are pieces that are sent one by one; what is None has no such shape."""

    stream: list[bytes]
    whole: bytes = completion(content=SAID)
    responses: list[bytes] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str | None = "text/event-stream"
    framed: bool = True
    reset: bool = False  # the connection is reset after the last piece


def told(*said: bytes) -> list[bytes]:
    return [*words(*WORDS), *said]


BEGIN = words("Three ", "short ")
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
OUTPUT_TEXT = {"type": "output_text", "text": SAID, "annotations": []}
FAILED = {"error": {"message": "out of memory", "type": "server_error", "code": "overloaded"}}
FUNCTION = {"type": "function_call", "id": "f", "call_id": "call_1", "name": "weather", "arguments": "{}"}

REPLIES: dict[str, Reply] = {
    "plain": Reply(
        told(chunk("stop"), DONE),
        responses=[*written(*WORDS), ended("response.completed", response("completed", message(OUTPUT_TEXT)))],
    ),
    # how a stream ends
    "done-alone": Reply(told(DONE), completion(None, content=SAID)),
    "reason-alone": Reply(told(chunk("stop"))),
    "neither": Reply(BEGIN, completion(None, content=SAID), responses=written("Three ", "short ")),
    "neither-unframed": Reply(BEGIN, framed=False),
    "after-the-end": Reply(told(chunk("stop"), DONE, chunk(content="GHOST"))),
    "length": Reply(
        [*BEGIN, chunk("length"), DONE],
        completion("length", content=BEGUN),
        [
            *written("Three ", "short "),
            ended("response.incomplete", response("incomplete", incomplete_details={"reason": "max_output_tokens"})),
        ],
    ),
    "filtered": Reply([*BEGIN, chunk("content_filter"), DONE], completion("content_filter", content=BEGUN)),
    "reset": Reply(BEGIN, b"", reset=True),
    "nothing": Reply([chunk("stop"), DONE], completion(content="")),
    # errors inside a 200
    "error": Reply(
        [*BEGIN, event(FAILED)],
        json.dumps(FAILED).encode(),
        [
            *written("Three ", "short "),
            ended("response.failed", response("failed", error={"code": "server_error", "message": "out of memory"})),
        ],
    ),
    "error-object": Reply(
        [*BEGIN, event({"object": "error", "message": "out of memory", "code": 500}), DONE],
        json.dumps({"object": "error", "message": "out of memory", "code": 500}).encode(),
        [*written("Three ", "short "), event({"type": "error", "code": "c", "message": "out of memory", "param": None,
                                              "sequence_number": 3}, "error")],
    ),
    "error-text": Reply([*BEGIN, event({"error": "out of memory"})], json.dumps({"error": "out of memory"}).encode()),
    "error-event": Reply([*BEGIN, event({"detail": "out of memory"}, "error")], json.dumps(FAILED).encode()),
    "error-reason": Reply([*BEGIN, chunk("error"), DONE], completion("error", content=BEGUN)),
    "error-in-choice": Reply(
        [*BEGIN, event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", **FAILED}]}), DONE],
        json.dumps({"choices": [{"index": 0, "finish_reason": "error", **FAILED}]}).encode(),
    ),
    # statuses
    "status-500": Reply([], json.dumps(FAILED).encode(), status=500),
    "status-429": Reply([], json.dumps(FAILED).encode(), status=429, headers={"Retry-After": "7"}),
    "elsewhere": Reply([], b"", status=301, headers={"Location": "http://127.0.0.1:9/v1"}),
    "web-page": Reply([b"<html>Welcome</html>"], b"<html>Welcome</html>", kind="text/html"),
    # shapes
    "crlf": Reply([piece.replace(b"data: ", b"data:").replace(b"\n", b"\r\n") for piece in told(chunk("stop"), DONE)]),
    "byte-by-byte": Reply([bytes([byte]) for piece in told(chunk("stop"), DONE) for byte in piece]),
    "comments": Reply([b": WORKING\n\n", *told(b":\n\n", chunk("stop"), DONE)]),
    "no-utf8": Reply(
        [*BEGIN, b'data: {"choices":[{"index":0,"delta":{"content":"caf\xe9"}}]}\n\n', chunk("stop"), DONE]
    ),
    "labelled-json": Reply(told(chunk("stop"), DONE), kind="application/json"),
    "labelled-text": Reply(told(chunk("stop"), DONE), kind="text/plain"),
    "not-labelled": Reply(told(chunk("stop"), DONE), kind=None),
    "counts-apart": Reply(
        [event({"id": "", "choices": [], "prompt_filter_results": []}), *told(chunk("stop", content=None)),
         event({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}), DONE],
    ),
    "said-twice": Reply(told(chunk("stop", content=SAID), DONE)),
    "whole-at-the-end": Reply(
        told(event({"choices": [{"index": 0, "message": {"content": SAID}, "finish_reason": "stop"}]}), DONE)
    ),
    "parts": Reply(
        [chunk(content=[{"type": "text", "text": word}]) for word in WORDS]
        + [chunk(content=[{"type": "image_url", "image_url": {"url": "x"}}]), chunk("stop"), DONE],
        completion(content=[{"type": "text", "text": SAID}, {"type": "image_url", "image_url": {"url": "x"}}]),
    ),
    "refusal": Reply(
        [chunk(refusal=word) for word in WORDS] + [chunk("stop"), DONE],
        completion(content=None, refusal=SAID),
        [ended("response.completed", response("completed", message({"type": "refusal", "refusal": SAID})))],
    ),
    # thinking
    "think-tags": Reply(
        [*words("<thi", "nk>\nHm.", "</think>\n\n"), *told(chunk("stop"), DONE)],
        completion(content=f"<think>Hm.</think>\n{SAID}"),
    ),
    "think-closed": Reply(
        [*words("Hm.\n", "</thi", "nk>\n\n"), *told(chunk("stop"), DONE)],
        completion(content=f"Hm.\n</think>\n\n{SAID}"),
    ),
    "reasoning": Reply(
        [chunk(reasoning_content="Hm."), *told(chunk("stop"), DONE)], completion(content=SAID, reasoning_content="Hm.")
    ),
    "thinks-without-end": Reply(
        [*words("<think>Hm. ", "Hm. "), chunk("length"), DONE], completion("length", content="<think>Hm. Hm. ")
    ),
    # tools
    "calls": Reply(
        [chunk(content=None, tool_calls=[{"index": 0, **CALL}]), chunk("tool_calls"), DONE],
        completion("tool_calls", content=None, tool_calls=[CALL]),
        [ended("response.completed", response("completed", FUNCTION))],
    ),
    "calls-in-pieces": Reply(
        [chunk(tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": piece}}])
         for piece in ('{"ci', 'ty": "', 'Rome"}')] + [chunk("tool_calls"), DONE],
        completion("tool_calls", content=None, tool_calls=[CALL]),
    ),
    "calls-the-old-way": Reply(
        [chunk(function_call={"name": "weather", "arguments": ""}), chunk(function_call={"arguments": "{}"}),
         chunk("function_call"), DONE],
        completion("function_call", content=None, function_call={"name": "weather", "arguments": "{}"}),
    ),
}  # fmt: skip

# a whole completion to a call that wanted a stream, and a stream to one that did not
REPLIES["whole-to-a-stream"] = Reply([completion(content=SAID)], completion(content=SAID), kind="application/json")
REPLIES["stream-to-a-whole"] = Reply(told(chunk("stop"), DONE), b"".join(told(chunk("stop"), DONE)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = REPLIES[asked["model"]]
        with suppress(OSError):
            if self.path.endswith("/responses"):
                self._pieces(reply, reply.responses or [])
            elif asked.get("stream") and reply.status == 200:
                self._pieces(reply, reply.stream)
            elif reply.reset:
                self._reset()
            else:
                kind = "text/event-stream" if reply.whole.startswith(b"data:") else "application/json"
                self._head(
                    reply, kind if reply.kind != "text/html" else reply.kind, ("Content-Length", str(len(reply.whole)))
                )
                self.wfile.write(reply.whole)

    def _head(self, reply: Reply, kind: str | None, *more: tuple[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in ([("Content-Type", kind)] if kind else []) + [*reply.headers.items(), *more]:
            self.send_header(name, value)
        self.end_headers()

    def _pieces(self, reply: Reply, pieces: list[bytes]) -> None:
        end = ("Transfer-Encoding", "chunked") if reply.framed else ("Connection", "close")
        self._head(reply, reply.kind, end)
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.framed else piece)
            self.wfile.flush()
        if reply.reset:
            self._reset()
        elif reply.framed:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _reset(self) -> None:
        time.sleep(0.05)  # what was sent is read before the reset throws it away
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class Provider(ThreadingHTTPServer):
    """Answers on a free port of loopback; the name of the model says how."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no news."""


@contextmanager
def provider() -> Iterator[str]:
    """The base URL of a provider, until the block ends."""
    server = Provider(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
