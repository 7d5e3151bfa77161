"""The collector seen from outside: alive, able to store, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from llmtrack.collector.metrics import CONTENT_TYPE, Metrics
from llmtrack.errors import LlmtrackError
from llmtrack.store.mongo import Store

READY_TIMEOUT_S = 2.0  # whoever asks usually gives up soon after


def health_routes(store: Store, metrics: Metrics, guard: Callable[[], None]) -> Blueprint:
    """GET /healthz, /readyz and /metrics. `guard` raises Refused for whom the figures are not meant."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return jsonify(status="ok")

    @routes.get("/readyz")
    def readyz() -> ResponseReturnValue:
        wrong = _wrong(store)
        return jsonify(status="unavailable" if wrong else "ok", wrong=wrong), 503 if wrong else 200

    @routes.get("/metrics")
    def figures() -> ResponseReturnValue:
        guard()
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)

    @routes.after_request
    def fresh(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def _wrong(store: Store) -> dict[str, str]:
    """What keeps the collector from storing, by part; empty when nothing does."""
    try:
        store.ping(READY_TIMEOUT_S)
    except LlmtrackError as error:
        return {"database": error.message.partition(":")[0]}  # what follows the colon names hosts
    return {}
