"""What the tracker sends: start, event, end. Good events of a batch are kept, the others answered with a reason."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from llmtrack.collector.access import origins
from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.access.proofs import Access, start_proof
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.errors import Refused
from llmtrack.collector.ingest import bodies
from llmtrack.collector.ingest.assignment import assign
from llmtrack.collector.ingest.environment import environment
from llmtrack.collector.ingest.reading import read_body, read_events
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.config import Settings
from llmtrack.session import schema


def ingest_routes(
    settings: Settings, store: PrivateStore, access: Access, rates: RateLimits, metrics: Metrics
) -> Blueprint:
    """POST /api/session/start, /event and /end."""
    routes = Blueprint("ingest", __name__)

    @routes.before_request
    def guard() -> None:
        origins.must_be_listed(request, settings)

    @routes.post("/api/session/start")
    def start() -> ResponseReturnValue:
        body = read_body(request, bodies.StartBody)
        now_ms = time.time_ns() // 1_000_000
        experiment_id = body.experiment_id or settings.experiment or ""
        experiment = settings.experiments.get(experiment_id)
        if experiment is None:
            raise Refused(
                422,
                f"experiment_id: there is no experiment {experiment_id!r}.",
                f"One of: {', '.join(sorted(settings.experiments))} (llmtrack.toml).",
            )
        user_id = body.user_id or access.user(request)[0]
        rates.user(user_id)
        group = assign(experiment_id, experiment.groups, user_id)
        proof = start_proof(body.secret)
        claim = access.may_start(request, proof)
        session = store.start(
            {
                "session_id": body.session_id or schema.new_session_id(user_id, now_ms),
                "user_id": user_id,
                "model_group": group.name,
                "experiment_id": experiment_id,
                "start_time": datetime.fromtimestamp((now_ms - body.age_ms) / 1000, UTC),
                "environment": environment(body.environment, request.headers.get("User-Agent", "")),
                **({"previous_session_id": body.previous_session_id} if body.previous_session_id else {}),
                "start_proof": proof,
            },
            claim,
        )
        token = access.started(session, claim)
        if "_id" in session:  # else it was there already
            metrics.started.inc()
        answer = {key: session.get(key) for key in ("session_id", "user_id", "model_group", "experiment_id")}
        # halfway through our own work, so that the tracker may take half of its round trip as the way of the answer
        server_time = (now_ms + time.time_ns() // 1_000_000) // 2
        return jsonify(**answer, server_time=server_time, token=token), 201

    @routes.post("/api/session/event")
    def event() -> ResponseReturnValue:
        body = read_body(request, bodies.EventsBody)
        return store_events(body, None)

    @routes.post("/api/session/end")
    def end() -> ResponseReturnValue:
        body = read_body(request, bodies.EndBody)
        now_ms = time.time() * 1000
        # By the clock of the events before it, even one that runs ahead: an end before them would be none.
        left_ms = body.t if body.t is not None and schema.plausible(body.t, round(now_ms)) else now_ms
        answer = store_events(body, datetime.fromtimestamp(left_ms / 1000, UTC))
        metrics.ended.labels("page").inc()
        return answer

    def store_events(body: bodies.EventsBody, end: datetime | None) -> ResponseReturnValue:
        claim = access.may_write(request, body.session_id, body.token)
        rates.session(body.session_id)
        now_ms = time.time_ns() // 1_000_000
        events, rejected = read_events(
            body.events, bodies.Event if body.id or access.is_writer(request) else bodies.TrackerEvent, now_ms
        )
        told = body.sent_at is not None and schema.plausible(body.sent_at, now_ms)
        extra = {"clock_offset_ms": round(body.sent_at - now_ms)} if body.sent_at is not None and told else None
        extra = extra if events or end else None
        stored = store.append(body.session_id, events, claim, end=end, extra=extra, once=body.id)
        metrics.batch(stored.accepted, stored.duplicates, rejected)
        return jsonify(accepted=stored.accepted, duplicates=stored.duplicates, rejected=rejected), 202

    return routes
