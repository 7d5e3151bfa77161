"""Around every request: its id, its line in the log, its time in the figures."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from llmtrack.collector.telemetry.logs import REQUEST_ID
from llmtrack.collector.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "llmtrack.route"  # in the WSGI environment: the template of the route that answers
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
log = logging.getLogger("llmtrack")


def observe(app: Flask, metrics: Metrics) -> None:
    """Watch `app`. Called before anything else is registered, so that what is refused early is seen as well."""

    @app.before_request
    def route() -> None:
        if request.url_rule is not None:
            request.environ[ROUTE] = request.url_rule.rule

    app.wsgi_app = Observed(app.wsgi_app, metrics)  # type: ignore[method-assign] # as Flask wants it done


class Observed:
    """A WSGI application, watched from outside: what a stream does after its first byte is seen as well."""

    def __init__(self, app: WSGIApplication, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, with X-Request-Id: the one that was sent when it is well-formed, else a new one."""
        sent = str(environ.get("HTTP_X_REQUEST_ID", ""))
        seen = _Request(environ, sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8), self._metrics)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
            seen.status = int(status[:3])
            return start_response(status, [*headers, ("X-Request-Id", seen.id)], *rest)

        with seen:
            body = self._app(environ, start)  # Flask answers every error by itself
        return _Body(body, seen)


class _Request:
    """What is known of one request. Inside `with`, log lines carry its id, whichever thread goes on with it."""

    def __init__(self, environ: WSGIEnvironment, id: str, metrics: Metrics) -> None:
        self.id, self.status, self.bytes_out = id, 500, 0
        self._environ, self._metrics, self._began = environ, metrics, time.perf_counter()

    def __enter__(self) -> None:
        self._token = REQUEST_ID.set(self.id)

    def __exit__(self, *_: object) -> None:
        REQUEST_ID.reset(self._token)

    def done(self) -> None:
        """Count it and write its line. The route is its template: a path may name a session, and so a user."""
        seconds = time.perf_counter() - self._began
        route = self._environ.get(ROUTE, "")
        method = self._environ["REQUEST_METHOD"] if route else ""  # else it is whatever somebody made up
        endpoint = f"{method} {route}" if route else "none"
        self._metrics.request(endpoint, self.status, seconds)
        level = logging.WARNING if self.status >= 500 else logging.INFO
        if not log.isEnabledFor(level):
            return
        length = str(self._environ.get("CONTENT_LENGTH") or "")
        fields = {
            "method": method,
            "route": route,
            "status": self.status,
            "ms": round(seconds * 1000, 1),
            "bytes_in": int(length) if length.isascii() and length.isdigit() else 0,
            "bytes_out": self.bytes_out,
        }
        told = "%s %d %s ms, %d B in, %d B out"
        log.log(level, told, endpoint, *list(fields.values())[2:], extra={"request": fields})


class _Body:
    """The answer's bytes on their way out; closed once, at their end or when the client left."""

    def __init__(self, body: Iterable[bytes], request: _Request) -> None:
        self._body, self._request = body, request
        self._pieces = iter(body)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._request:
            try:
                piece = next(self._pieces)
            except StopIteration:
                raise
            except Exception:  # granian would end the answer just so, and log the error with its values
                log.exception("unexpected error in the middle of an answer")
                raise StopIteration from None
        self._request.bytes_out += len(piece)
        return piece

    def close(self) -> None:
        """The end of the request."""
        if not self._open:
            return
        self._open = False
        with self._request:
            try:
                getattr(self._body, "close", lambda: None)()
            finally:
                self._request.done()
