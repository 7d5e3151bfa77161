"""POST /v1/chat/completions: an application's own chat asks the models of its users' groups, and both ends are logged.

The API is OpenAI's, so that an application needs only another base_url, the ingest key as its API key, and the headers
X-LLMTrack-Session and X-LLMTrack-Chat. The group of that session decides which model answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import orjson
from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import TypeAdapter, ValidationError
from werkzeug.exceptions import HTTPException

from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.chat.record import Record
from llmtrack.collector.chat.turn import Turn
from llmtrack.collector.errors import Overload, Refused
from llmtrack.collector.ingest.assignment import group_for
from llmtrack.collector.ingest.bodies import CompletionBody
from llmtrack.collector.ingest.reading import read_body
from llmtrack.collector.models.client import Model, Piece
from llmtrack.collector.models.failures import ModelError, Refusal
from llmtrack.config import Group, Settings
from llmtrack.errors import LlmtrackError, StoreUnavailable
from llmtrack.session.schema import MAX_COMPLETION_BYTES
from llmtrack.session.validated import SessionId
from llmtrack.turn.answer import asked

SESSION = "X-LLMTrack-Session"
CHAT = "X-LLMTrack-Chat"
TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # of OpenAI's errors, by status

log = logging.getLogger("llmtrack")


def completion_routes(
    settings: Settings, store: PrivateStore, chat_client: Model, access: Access, rates: RateLimits
) -> Blueprint:
    """POST /v1/chat/completions."""
    routes = Blueprint("completions", __name__)

    @routes.post("/v1/chat/completions")
    def complete() -> ResponseReturnValue:
        access.must_ask(request)
        request.max_content_length = MAX_COMPLETION_BYTES
        body = read_body(request, CompletionBody)
        session_id = request.headers.get(SESSION, "")
        rates.query(request.remote_addr or "unknown", body.user or "", session_id)
        chat = _chat(request.headers.get(CHAT) or session_id)
        record = Record(store, None, body.user or "", chat, session_id, lambda session: True, SESSION)
        group = _group(settings, record, body)
        turn = Turn(chat, group, record)
        said = asked(body.messages)
        if said and not said.again:  # else the model goes on after its tools: the prompt is logged already
            turn.ask(said.text)
        pieces = turn.hear(chat_client.complete(group, _call(group, body)), lambda piece: piece.delta)
        # a failure before the first word is known while the status can still tell it
        first = list(islice(pieces, 1))
        if turn.error:
            log.warning("turn %s: the model failed with status %d", turn.turn_id, turn.error.status)
            response = _failed(turn.error)
        elif body.stream:
            response = Response(_events(turn, chain(first, pieces)), mimetype="text/event-stream")
            response.headers["X-Accel-Buffering"] = "no"
            response.call_on_close(pieces.close)  # also when the client left before the first event was read
        else:
            [whole] = [*first, *pieces]
            response = jsonify(whole.chunk)
        return _told(response, turn, group)

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    def refused(error: LlmtrackError) -> ResponseReturnValue:
        status = 503 if isinstance(error, StoreUnavailable) else getattr(error, "status", 500)
        response = _error(status, str(error))
        if isinstance(error, Overload):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    routes.register_error_handler(LlmtrackError, refused)
    routes.register_error_handler(HTTPException, lambda e: _error(e.code or 500, e.description or e.name))
    return routes


def _chat(given: str) -> str:
    """The chat that the call belongs to; without one, a visit is one chat. Raises Refused."""
    try:
        return TypeAdapter(SessionId).validate_python(given) if given else ""
    except ValidationError:
        raise Refused(400, f"{CHAT}: must be 1 to 256 letters, digits or . _ @ + : ~ = -.", "Correct it.") from None


def _group(settings: Settings, record: Record, body: CompletionBody) -> Group:
    """The group of the visit. Without a visit: the one that `model` names, or `user` is assigned to, or the first."""
    groups = settings.experiments[settings.experiment or ""].groups
    if not record.owner:
        for group in groups:
            if group.name == body.model or not (body.user or any(group.name == body.model for group in groups)):
                return group
    group, notice = group_for(settings, record.owner, body.user or "")
    record.notices += filter(None, [notice])
    return group


def _call(group: Group, body: CompletionBody) -> dict[str, Any]:
    """What the model is asked: the call as it came, but for the model, and the group's system prompt if it has none."""
    call = body.model_dump(exclude_unset=True)
    own = any(message.get("role") in ("system", "developer") for message in body.messages)
    if group.system_prompt and not own:
        call["messages"] = [{"role": "system", "content": group.system_prompt}, *body.messages]
    return {**call, "model": group.model, "stream": bool(body.stream)}


def _events(turn: Turn, pieces: Iterable[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if piece.chunk is not None:
            yield _event(piece.chunk)
    if turn.error:
        log.warning("turn %s: the model failed in the middle with status %d", turn.turn_id, turn.error.status)
        yield _event(_shape(turn.error.status, str(turn.error), turn.error.refusal))
    else:
        yield b"data: [DONE]\n\n"


def _event(data: object) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(data)


def _failed(error: ModelError) -> Response:
    """A provider's refusal of the question is the asker's; all else is the collector's to mend."""
    refusal = error.refusal
    return _error(refusal.status if refusal else error.status, str(error), refusal)


def _error(status: int, message: str, refusal: Refusal | None = None) -> Response:
    response = jsonify(_shape(status, message, refusal))
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _shape(status: int, message: str, refusal: Refusal | None = None) -> dict[str, Any]:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code, param = (refusal.code, refusal.param) if refusal else (None, None)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _told(response: Response, turn: Turn, group: Group) -> Response:
    """Whether the turn is tracked and why not, in headers: the body is OpenAI's."""
    about = turn.about()
    response.headers["X-LLMTrack-Tracked"] = "true" if about["tracked"] else "false"
    response.headers["X-LLMTrack-Turn"] = turn.turn_id
    response.headers["X-LLMTrack-Group"] = _ascii(group.name)
    if about["notice"]:
        response.headers["X-LLMTrack-Notice"] = _ascii(about["notice"])
    return response


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
