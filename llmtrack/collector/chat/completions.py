"""POST /v1/chat/completions: an application's own chat asks the models of its users' groups, and both ends are logged.

The API is OpenAI's, so that an application needs only another base_url, the ingest key as its API key, and the headers
X-LLMTrack-Session and X-LLMTrack-Chat. The group of that session decides which model answers. What the provider sends
is passed on as it came.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
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
from llmtrack.collector.chat.budget import Budget
from llmtrack.collector.chat.continued import Continued
from llmtrack.collector.chat.record import Record
from llmtrack.collector.chat.turn import Turn
from llmtrack.collector.errors import Overload, Refused
from llmtrack.collector.ingest.assignment import group_for
from llmtrack.collector.ingest.bodies import CompletionBody, TurnId
from llmtrack.collector.ingest.reading import read_body, reason
from llmtrack.collector.models.client import Model
from llmtrack.collector.models.failures import ModelError, Refusal
from llmtrack.collector.models.reading import Piece
from llmtrack.config import Group, Settings
from llmtrack.errors import LlmtrackError, StoreUnavailable
from llmtrack.session.claim import Claim
from llmtrack.session.schema import MAX_COMPLETION_BYTES, is_session_id
from llmtrack.session.validated import SessionId
from llmtrack.turn.question import asked

SESSION = "X-LLMTrack-Session"
CHAT = "X-LLMTrack-Chat"
TURN = "X-LLMTrack-Turn"
RETRY = "X-Stainless-Retry-Count"  # of OpenAI's SDKs, which ask again by themselves
TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # of OpenAI's errors, by status

log = logging.getLogger("llmtrack")


def completion_routes(
    settings: Settings, store: PrivateStore, chat_client: Model, access: Access, rates: RateLimits, budget: Budget
) -> Blueprint:
    """POST /v1/chat/completions."""
    routes = Blueprint("completions", __name__)
    continued = Continued(store)

    @routes.post("/v1/chat/completions")
    def complete() -> ResponseReturnValue:
        access.must_ask(request)
        request.max_content_length = MAX_COMPLETION_BYTES
        body = read_body(request, CompletionBody)
        session_id = request.headers.get(SESSION, "")
        rates.query(request.remote_addr or "unknown", body.user or "", session_id)
        chat = _header(CHAT, SessionId) or _session(session_id)
        record = Record(store, None, body.user or "", chat, session_id, Claim(anything=True), SESSION)
        spender = str(record.owner.get("user_id") or body.user or "")
        budget.check(spender)
        group = _group(settings, record, body)
        call, question = _call(group, body), asked(body.messages)
        part = continued.part_of(session_id, chat, question, named=_header(TURN, TurnId), retry=_retry())
        turn = Turn(part.turn_id, chat, group, record, attempt=part.attempt)

        def pieces() -> Generator[Piece]:
            if question.text is not None:  # what the turn has logged already is not logged again
                turn.ask(question.text, question.attachments)
            turn.answer.ask()
            yield from chat_client.complete(group, call)

        def heard() -> Generator[Piece]:
            try:
                with closing(turn.hear(pieces())) as said:
                    for piece, _ in said:
                        if piece.raw is not None:
                            yield piece
            finally:
                continued.turns.end(f"{session_id}\n{chat}", turn.turn_id, turn.answer, failed=bool(turn.error))
                budget.spend(spender, turn.tokens(len(orjson.dumps(call["messages"]))))

        sent = heard()
        # a failure before the first word is known while the status can still tell it
        first = list(islice(sent, 1))
        if turn.error and not first:
            log.warning("turn %s: the model failed with status %d", turn.turn_id, turn.error.status)
            response = _failed(turn.error)
        elif body.stream:
            response = Response(_events(turn, chain(first, sent)), mimetype="text/event-stream")
            response.headers["X-Accel-Buffering"] = "no"
            response.call_on_close(sent.close)  # also when the client left before the first event was read
        else:
            response = Response(b"".join(piece.raw or b"" for piece in (*first, *sent)), mimetype="application/json")
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


def _header(name: str, kind: Any) -> str:
    """An id that a header gives; empty without one. Raises Refused."""
    given = request.headers.get(name, "")
    try:
        return str(TypeAdapter(kind).validate_python(given)) if given else ""
    except ValidationError as error:
        raise Refused(400, f"{name}: {reason(error).removeprefix('event: ')}.", "Correct it.") from None


def _session(session_id: str) -> str:
    """The chat of a call that names none: a session is one chat."""
    return session_id if is_session_id(session_id) else ""


def _retry() -> int:
    """How often the SDK has asked this before."""
    given = request.headers.get(RETRY, "")
    return min(int(given), 1000) if given.isascii() and given.isdigit() and len(given) < 9 else 0


def _group(settings: Settings, record: Record, body: CompletionBody) -> Group:
    """The group of the session. Without one: that that `model` names, or `user` is assigned to, or the first."""
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
    """What the provider sent, event by event. Only of a failure that it did not tell is there an event of our own."""
    for piece in pieces:
        if piece.raw is not None:
            name = f"event: {piece.event}\n".encode() if piece.event else b""
            yield name + b"".join(b"data: %s\n" % line for line in piece.raw.split(b"\n")) + b"\n"
    if turn.error:
        log.warning("turn %s: the model failed in the middle with status %d", turn.turn_id, turn.error.status)
        if not turn.error.told:
            shape = _shape(turn.error.status, str(turn.error), turn.error.refusal)
            yield b"data: %s\n\n" % orjson.dumps(shape)


def _failed(error: ModelError) -> Response:
    """A provider's refusal of the question is the asker's; all else is the collector's to mend."""
    refusal = error.refusal
    response = _error(refusal.status if refusal else error.status, str(error), refusal)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(round(error.retry_after_s))
    return response


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
    response.headers[TURN] = turn.turn_id
    response.headers["X-LLMTrack-Group"] = _ascii(group.name)
    if about["notice"]:
        response.headers["X-LLMTrack-Notice"] = _ascii(about["notice"])
    return response


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
