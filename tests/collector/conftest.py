"""The collector behind a real HTTP server, over the test's own database."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.serving import make_server


class Answer(NamedTuple):
    status: int
    json: Any
    headers: Any


class Browser:
    """A minimal HTTP client that keeps cookies, and shows `bearer` with every request if there is one."""

    def __init__(self, base: str, bearer: str = "") -> None:
        self.base, self.bearer = base, bearer
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        names = {"Content-Type": "application/json"} if data is not None else {}
        names |= {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        names |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=names)
        try:
            with self.opener.open(request, timeout=20) as response:
                return _answer(response.status, response.read(), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)


def _answer(status: int, raw: bytes, headers: Any) -> Answer:
    try:
        return Answer(status, json.loads(raw), headers)
    except ValueError:
        return Answer(status, raw.decode(), headers)


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serve an application on a free port until the test ends; returns its address."""
    servers, apps = [], []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        apps.append(app)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    for app in apps:
        getattr(app, "app", app).extensions["llmtrack"].close()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
