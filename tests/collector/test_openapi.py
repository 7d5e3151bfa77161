"""The collector's OpenAPI document is complete and true: schemathesis and raw bytes find no fault with the server."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.openapi.document import OPERATIONS, document
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Browser
from tests.processes import Serving, serving

KEY = "an ingest key of the test"


def test_it_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_in_it_and_nothing_else(settings: Settings, store: Store) -> None:
    app = create_app(settings, store, ChatClient(settings))
    routes = {
        (method.lower(), re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {(operation.method, operation.path) for operation in OPERATIONS}


def test_it_names_the_shape_of_every_error() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    shape = response["content"]["application/json"]["schema"]["$ref"]
                    wanted = "CompletionError" if path.startswith("/v1/") else "Error"
                    assert shape == f"#/components/schemas/{wanted}", (path, method, status)


@pytest.fixture
def server(tmp_path: Path, mongodb_uri: str, store: Store) -> Iterator[Serving]:
    limits = {f"LLMTRACK_LIMITS__{name}": "0" for name in ("REQUESTS_PER_ADDRESS", "QUERIES_PER_ADDRESS")}
    keys = {"LLMTRACK_SECRET_KEY": "for tests only", "LLMTRACK_INGEST_KEY": KEY}
    environment = {"MONGODB_URI": mongodb_uri, **keys, **limits}
    with serving(tmp_path, **environment) as running:
        yield running


def log_of(server: Serving) -> str:
    return server.log.read_text()


def test_schemathesis_finds_no_fault(server: Serving) -> None:
    for session_id in "0A1a":  # what it tries first: some of its events find a session
        assert Browser(server.url).post("/api/session/start", {"session_id": session_id}).status == 201
    key = f"Authorization: Bearer {KEY}"
    checks = "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"
    words = [
        "run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples", "8", "--no-color",
        "--phases", "fuzzing", "--generation-database", "none", "--header", key, "--checks", ",".join(checks),
    ]  # fmt: skip
    command = [str(Path(sys.executable).parent / "schemathesis"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=server.folder)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert int(re.search(r"(\d+) generated", ran.stdout)[1]) > 50, ran.stdout[-3000:]
    assert "Traceback" not in log_of(server)


lines = st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0"])
paths = st.sampled_from([operation.path.encode() for operation in OPERATIONS] + [b"/nowhere", b"*", b"/%00", b"/../x"])
methods = st.sampled_from([b"GET", b"POST", b"DELETE", b"PUT", b"OPTIONS", b"HEAD", b"TRACE", b"get", b""])
headers = st.sampled_from(
    [
        b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: x",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: gzip",
        b"Cookie: llmtrack_user=\xff\xfe.sig", b"Cookie: " + b"a=b; " * 500, b"Origin: \xf0\x9f\x98\x80",
        b"Accept: text/event-stream", b"Expect: 100-continue", b"User-Agent: \xff", b"X: " + b"y" * 9000,
        b"Content-Type: application/json; charset=utf-7", b"Content-Type: multipart/form-data; boundary=",
    ]
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffff\r\nx", b'{"session_id": ', b'{"query": "\xff"}', b"[" * 5000]
    ),
)
mixed = st.tuples(methods, paths, st.lists(headers, max_size=4), bodies, lines, st.binary(max_size=3))


@hypothesis_settings(
    max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(mixed)
def broken_requests(server: Serving, parts: tuple[bytes, bytes, list[bytes], bytes, bytes, bytes]) -> None:
    method, path, extra, body, line, junk = parts
    head = line.join([method + b" " + path + junk + b" HTTP/1.1", b"Host: a", b"Connection: close", *extra])
    answered = raw(server, head + b"\r\n\r\n" + body, patience_s=0.3)  # half of them are no whole request
    assert not answered or re.match(rb"HTTP/1\.[01] [1234]\d\d", answered), answered[:300]


@hypothesis_settings(
    max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.sampled_from([operation for operation in OPERATIONS if operation.body]), st.binary(max_size=300))
def broken_bodies(server: Serving, operation: object, body: bytes) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    answered = raw(server, head % (operation.path.encode(), len(body)) + body)  # type: ignore[attr-defined]
    assert re.match(rb"HTTP/1\.1 4\d\d", answered), answered[:300]


def raw(server: Serving, request: bytes, patience_s: float = 20) -> bytes:
    """What the server answers to these bytes; nothing when it closes, or waits for more than there is."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=patience_s) as connection:
        found = b""
        with contextlib.suppress(OSError):
            connection.sendall(request)
            while piece := connection.recv(65536):
                found += piece
        return found


def test_no_bytes_at_all_make_it_fail(server: Serving) -> None:
    broken_requests(server)
    broken_bodies(server)
    assert Browser(server.url).get("/healthz").status == 200
    assert "Traceback" not in log_of(server)
    assert "unexpected error" not in log_of(server)


CHUNKED = {
    "a small body in pieces": (b'{"session_id": "nobody", "events": []}', b" 401 "),
    "more than 256 KB in pieces": (b" " * 300_000, b" 413 "),
}


def test_bodies_without_a_length_are_bounded_too(server: Serving) -> None:
    head = b"POST /api/session/event HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    for name, (body, status) in CHUNKED.items():
        pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        assert status in raw(server, head + chunks + b"0\r\n\r\n")[:40], name
