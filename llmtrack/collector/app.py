"""create_app: the collector as a Flask application, made of what it is given."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from flask_compress import Compress
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from llmtrack.collector.access import origins
from llmtrack.collector.access.places import guard
from llmtrack.collector.access.privacy import PrivateStore, UnsavedChats
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.access.signing import secret_key
from llmtrack.collector.chat.budget import Budget
from llmtrack.collector.chat.completions import completion_routes
from llmtrack.collector.chat.query import chat_routes
from llmtrack.collector.chat.saved import saved_routes
from llmtrack.collector.chat.turn import turns_going
from llmtrack.collector.chat.writing import Writings
from llmtrack.collector.errors import Denied, Overload, Refused
from llmtrack.collector.ingest.prefix import under
from llmtrack.collector.ingest.routes import ingest_routes
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.models.measured import Measured
from llmtrack.collector.openapi.document import document as openapi
from llmtrack.collector.pages import page_routes
from llmtrack.collector.telemetry.health import health_routes
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.collector.telemetry.observe import observe
from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError, NotTheirs, StoreUnavailable, UnknownSession
from llmtrack.session.jsonable import jsonable
from llmtrack.session.schema import MAX_BODY_BYTES
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.usage import Usage
from llmtrack.store.spool.durable import READ_S, DurableStore
from llmtrack.store.spool.queue import spool_of

SWEEP_EVERY_S = 60
REVIVE_EVERY_S = 3
# Files and pages. Not JSON: its length would tell of secrets beside what the asker sent.
COMPRESSED = ["text/javascript", "text/css", "text/html", "image/svg+xml"]
log = logging.getLogger("llmtrack")


def create_app(settings: Settings, store: Store, chat_client: ChatClient, metrics: Metrics | None = None) -> Flask:
    """The collector over `store`. Opens no connection by itself, and starts no thread but to drain the spool.

    `extensions["llmtrack"]` is the DurableStore; `extensions["llmtrack.cut"]` cuts the answers that are on their way.
    """
    app = Flask("llmtrack", static_folder=None)
    metrics = metrics or Metrics()
    observe(app, metrics)
    app.url_map.merge_slashes = False  # else //x is sent to the host that the request names, whoever that is
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined] # a document reads in its own order
    app.config.update(COMPRESS_MIMETYPES=COMPRESSED, COMPRESS_STREAMS=False, COMPRESS_ALGORITHM=["zstd", "br", "gzip"])
    Compress(app)
    secret = secret_key(settings)
    access, rates = Access.of(settings, secret), RateLimits(settings.limits)
    durable = app.extensions["llmtrack"] = DurableStore(store, spool_of(settings), settings.spool.after_s)
    sessions = PrivateStore(durable, settings.privacy, secret)
    # a question waits as long as an event does; who only reads has longer
    save_chats, after_s = settings.privacy.save_chats, settings.spool.after_s
    chats = Chats(store, after_s) if save_chats else UnsavedChats(store, after_s)
    saved = Chats(store, READ_S) if save_chats else UnsavedChats(store, READ_S)
    budget = Budget(Usage(store, after_s / 4), settings.limits.tokens_per_user_per_day)
    metrics.spool = durable.spool
    model = Measured(chat_client, metrics)
    guard(app, settings.limits, rates)
    app.register_blueprint(ingest_routes(settings, sessions, access, rates, metrics))
    writings = Writings()
    app.register_blueprint(chat_routes(settings, sessions, chats, model, access, rates, budget, writings))
    app.register_blueprint(saved_routes(saved, writings, access))
    app.extensions["llmtrack.cut"] = turns_going.cut
    app.register_blueprint(completion_routes(settings, sessions, model, access, rates, budget))
    app.register_blueprint(health_routes(durable, metrics, guard=lambda: access.must_measure(request)))
    if settings.tracker_path:
        app.wsgi_app = under(settings.tracker_path, app.wsgi_app)  # type: ignore[method-assign, assignment]
    if hops := settings.proxy_hops:  # outermost, so that everything inside sees who asks
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    app.register_blueprint(page_routes(settings, access))

    @app.get("/session/<path:session_id>")
    def session(session_id: str) -> ResponseReturnValue:
        access.must_read(request)
        document = sessions.find(session_id)
        if document is None:
            raise UnknownSession(f"No session {session_id!r}.", "Look it up with: llmtrack sessions")
        document.pop("start_proof", None)
        return jsonify(jsonable(document))

    @app.get("/openapi.json")
    def interface() -> ResponseReturnValue:
        return jsonify(openapi())

    app.after_request(lambda answer: origins.headers(request, settings, answer))
    _errors(app)
    return app


def start_sweeper(settings: Settings, store: Store, metrics: Metrics) -> threading.Event:
    """End silent sessions once a minute in a thread of its own, until the returned event is set.

    The first time also make the indexes: the database may have been away when the collector started.
    """
    stop = threading.Event()

    def sweep() -> None:
        indexed = False
        while not stop.wait(min(SWEEP_EVERY_S, settings.silent_after_s)):
            try:
                if not indexed:
                    store.ensure_indexes()
                    indexed = True
                if ended := store.end_silent(settings.silent_after_s):
                    metrics.ended.labels("silence").inc(ended)
                    log.info("ended %d silent sessions", ended)
            except LlmtrackError as error:
                log.warning("silent sessions could not be ended: %s", error.brief)

    threading.Thread(target=sweep, name="sweeper", daemon=True).start()
    return stop


def start_reviver(settings: Settings) -> None:
    """While this process lives, the embedded server does: one that was killed with its keeper is started anew.

    One that comes back elsewhere, as its port was taken meanwhile, is found by a new worker: this one ends.
    """
    from llmtrack.store.database import embedded

    at = embedded.port(settings.data_dir)

    def revive() -> None:
        while True:
            time.sleep(REVIVE_EVERY_S)
            try:
                embedded.revive(settings.data_dir, settings.embedded_linger_s)
                if embedded.port(settings.data_dir) not in (at, None):
                    log.warning("the embedded server has moved to another port: this worker makes room for a new one")
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
            except LlmtrackError as error:
                log.warning("the embedded server cannot be started: %s", error.message)

    threading.Thread(target=revive, name="reviver", daemon=True).start()


def _errors(app: Flask) -> None:
    """Every failure is answered with {"error": …}, never with a traceback."""

    def answer(error: LlmtrackError, status: int) -> ResponseReturnValue:
        response = jsonify(error=str(error))
        if status == 503:
            response.headers["Retry-After"] = "5"
        elif status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response, status

    def overload(error: Overload) -> ResponseReturnValue:
        response = jsonify(error=str(error), limit=error.limit)
        response.headers["Retry-After"] = str(error.retry_after_s)
        return response, error.status

    app.register_error_handler(Overload, overload)
    app.register_error_handler(Denied, lambda error: answer(error, error.status))
    app.register_error_handler(Refused, lambda error: answer(error, error.status))
    app.register_error_handler(NotTheirs, lambda error: answer(error, 403))
    app.register_error_handler(UnknownSession, lambda error: answer(error, 404))
    app.register_error_handler(StoreUnavailable, lambda error: answer(error, 503))
    app.register_error_handler(LlmtrackError, lambda error: answer(error, 500))

    def http(error: HTTPException) -> ResponseReturnValue:
        return jsonify(error=error.description or error.name), error.code or 500

    def unexpected(error: Exception) -> ResponseReturnValue:
        log.exception("unexpected error in %s %s", request.method, request.url_rule, exc_info=error)
        return jsonify(error="Something went wrong here; the server's log says what."), 500

    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, unexpected)
