"""The collector seen from outside: alive, able to store, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from llmtrack.collector.telemetry.metrics import CONTENT_TYPE, Metrics
from llmtrack.errors import LlmtrackError
from llmtrack.store.spool.durable import DurableStore
from llmtrack.store.spool.queue import Spool

READY_TIMEOUT_S = 2.0  # whoever asks usually gives up soon after


def health_routes(durable: DurableStore, metrics: Metrics, guard: Callable[[], None]) -> Blueprint:
    """GET /healthz, /readyz and /metrics. `guard` raises Refused for whom the figures are not meant."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return jsonify(status="ok")

    @routes.get("/readyz")
    def readyz() -> ResponseReturnValue:
        wrong = _wrong(durable)
        status = "unavailable" if wrong else "ok"
        return jsonify(status=status, wrong=wrong, spool=_waiting(durable.spool)), 503 if wrong else 200

    @routes.get("/metrics")
    def figures() -> ResponseReturnValue:
        guard()
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)

    @routes.after_request
    def fresh(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def _waiting(spool: Spool) -> dict[str, float | None]:
    """What waits for the database, how far behind it is, and what was put aside; nothing where it cannot be read."""
    try:
        behind_s = spool.behind_s
        behind_s = behind_s if behind_s is None else round(behind_s, 1)
        return {"waiting": spool.depth, "behind_s": behind_s, "put_aside": spool.refused}
    except LlmtrackError:
        return {}


def _wrong(durable: DurableStore) -> dict[str, str]:
    """What keeps events from the database, by part; empty when nothing does."""
    wrong = {}
    checks = {"database": lambda: durable.check(READY_TIMEOUT_S), "spool": durable.spool.check}
    for part, check in checks.items():
        try:
            check()
        except LlmtrackError as error:
            wrong[part] = error.brief
    return wrong
