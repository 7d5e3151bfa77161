"""The chat: POST /query asks the group's model (one body, or server-sent events)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from llmtrack.collector.access import origins
from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.chat.budget import Budget
from llmtrack.collector.chat.record import Record
from llmtrack.collector.chat.turn import Turn, answer
from llmtrack.collector.ingest.assignment import group_for
from llmtrack.collector.ingest.bodies import QueryBody
from llmtrack.collector.ingest.reading import read_body
from llmtrack.collector.models.client import Model
from llmtrack.config import Settings
from llmtrack.store.database.chats import Chats

log = logging.getLogger("llmtrack")


def chat_routes(
    settings: Settings,
    store: PrivateStore,
    chats: Chats,
    chat_client: Model,
    access: Access,
    rates: RateLimits,
    budget: Budget,
) -> Blueprint:
    """POST /query."""
    routes = Blueprint("chat", __name__)

    origins.own_pages_only(routes)

    @routes.post("/query")
    def query() -> ResponseReturnValue:
        body = read_body(request, QueryBody)
        user_id, is_new = access.user(request)
        rates.query(request.remote_addr or "unknown", user_id, body.trackingSessionId)
        budget.check(user_id)
        caller = request._get_current_object()  # type: ignore[attr-defined] # the record is asked after the request ended
        record = Record(
            store,
            chats,
            user_id,
            body.sessionId,
            body.trackingSessionId,
            lambda session: access.may_log(caller, session, body.token),
        )
        group, notice = group_for(settings, record.owner, user_id)
        record.notices += filter(None, [notice])
        turn = Turn(body.sessionId, group, record)
        # a failure before the first word is known while the status can still tell it
        pieces = answer(turn, body, group, record, chat_client, partial(budget.spend, user_id))
        first = next(pieces, None)
        if first is not None and (body.stream or "text/event-stream" in request.headers.get("Accept", "")):
            response = Response(_events(turn, first, pieces), mimetype="text/event-stream")
            response.headers["X-Accel-Buffering"] = "no"
            response.call_on_close(pieces.close)  # also when the client left before the first event was read
        else:
            deque(pieces, maxlen=0)
            response = jsonify(turn.result())
            response.status_code = turn.error.status if turn.error else 200
        if turn.error:
            log.warning("turn %s: the model failed with status %d", turn.turn_id, turn.error.status)
        if is_new:
            access.set_cookie(response, user_id, secure=request.is_secure)
        return response

    return routes


def _events(turn: Turn, first: str, pieces: Generator[str]) -> Iterator[bytes]:
    yield _event("meta", turn.about())
    yield _event("token", {"text": first})
    for text in pieces:
        yield _event("token", {"text": text})
    if turn.error:
        log.warning("turn %s: the model failed in the middle with status %d", turn.turn_id, turn.error.status)
        yield _event("error", {**turn.result(), "status": turn.error.status})
    else:
        yield _event("done", turn.result())


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
