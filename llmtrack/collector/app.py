"""create_app: the collector as a Flask application, made of what it is given."""

from __future__ import annotations

import logging
import threading

from flask import Flask, Response, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from llmtrack.collector.access import Access, secret_key
from llmtrack.collector.budget import Budget
from llmtrack.collector.chat import chat_routes
from llmtrack.collector.ingest import Refused, ingest_routes
from llmtrack.collector.limits import Overload, RateLimits
from llmtrack.collector.models import ChatClient
from llmtrack.collector.openapi import document
from llmtrack.collector.overload import guard
from llmtrack.collector.pages import page_routes
from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError, StoreUnavailable, UnknownSession
from llmtrack.jsonable import jsonable
from llmtrack.model import MAX_BODY_BYTES
from llmtrack.store.chats import Chats
from llmtrack.store.mongo import Store
from llmtrack.store.usage import Usage

SWEEP_EVERY_S = 60
log = logging.getLogger("llmtrack")


def create_app(settings: Settings, store: Store, chat_client: ChatClient) -> Flask:
    """The collector over `store`. Starts no thread and opens no connection by itself: see `start_sweeper`."""
    app = Flask("llmtrack", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # a document reads in its own order
    access = Access(secret_key(settings))
    rates = RateLimits(settings.limits)
    budget = Budget(Usage(store), settings.limits.tokens_per_user_per_day)
    guard(app, settings.limits, rates)
    app.register_blueprint(ingest_routes(settings, store, access, rates))
    app.register_blueprint(chat_routes(settings, store, Chats(store), chat_client, access, rates, budget))
    app.register_blueprint(page_routes(settings, access))

    @app.get("/session/<path:session_id>")
    def session(session_id: str) -> ResponseReturnValue:
        document = store.find(session_id)
        if document is None:
            raise UnknownSession(f"No session {session_id!r}.", "Look it up with: llmtrack sessions")
        return jsonify(jsonable(document))

    @app.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return jsonify(document())

    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        store.ping()
        return jsonify(status="ok")

    app.after_request(lambda answer: _headers(settings, answer))
    _errors(app)
    return app


def start_sweeper(settings: Settings, store: Store) -> threading.Event:
    """End silent sessions once a minute in a thread of its own, until the returned event is set."""
    stop = threading.Event()

    def sweep() -> None:
        while not stop.wait(min(SWEEP_EVERY_S, settings.silent_after_s)):
            try:
                if ended := store.end_silent(settings.silent_after_s):
                    log.info("ended %d silent sessions", ended)
            except LlmtrackError as error:
                log.warning("silent sessions could not be ended: %s", error)

    threading.Thread(target=sweep, name="sweeper", daemon=True).start()
    return stop


def _headers(settings: Settings, answer: Response) -> Response:
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    if request.path.startswith("/api/session/"):
        origin = request.headers.get("Origin", "")
        if "*" in settings.allowed_origins:
            answer.headers["Access-Control-Allow-Origin"] = "*"
        elif origin in settings.allowed_origins:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.vary.add("Origin")
        answer.headers["Access-Control-Allow-Headers"] = "Content-Type"
        answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
        answer.headers["Access-Control-Max-Age"] = "86400"
    return answer


def _errors(app: Flask) -> None:
    """Every failure is answered with {"error": …}, never with a traceback."""

    def answer(error: LlmtrackError, status: int) -> ResponseReturnValue:
        response = jsonify(error=str(error))
        if status == 503:
            response.headers["Retry-After"] = "5"
        return response, status

    def overload(error: Overload) -> ResponseReturnValue:
        response = jsonify(error=str(error), limit=error.limit)
        response.headers["Retry-After"] = str(error.retry_after_s)
        return response, error.status

    app.register_error_handler(Overload, overload)
    app.register_error_handler(Refused, lambda error: answer(error, error.status))
    app.register_error_handler(UnknownSession, lambda error: answer(error, 404))
    app.register_error_handler(StoreUnavailable, lambda error: answer(error, 503))
    app.register_error_handler(LlmtrackError, lambda error: answer(error, 500))

    def http(error: HTTPException) -> ResponseReturnValue:
        return jsonify(error=error.description or error.name), error.code or 500

    def unexpected(error: Exception) -> ResponseReturnValue:
        log.exception("unexpected error in %s %s", request.method, request.path, exc_info=error)
        return jsonify(error="Something went wrong here; the server's log says what."), 500

    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, unexpected)
