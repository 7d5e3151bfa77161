"""The chat: POST /query asks the group's model, and answers in one body or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from llmtrack.collector.access import origins
from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.chat.budget import Budget
from llmtrack.collector.chat.context import context
from llmtrack.collector.chat.late import Late
from llmtrack.collector.chat.record import Record
from llmtrack.collector.chat.turn import Turn
from llmtrack.collector.chat.writing import Reader, Writing, Writings
from llmtrack.collector.errors import Refused
from llmtrack.collector.ingest.assignment import group_for
from llmtrack.collector.ingest.bodies import QueryBody
from llmtrack.collector.ingest.reading import read_body
from llmtrack.collector.models.client import Model
from llmtrack.collector.models.reading import Piece
from llmtrack.config import Group, Settings
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.driver import Document
from llmtrack.turn.identity import new_turn_id
from llmtrack.turn.thinking import Said

COMMENT = b": \n\n"  # says nothing, and keeps the connection


def chat_routes(
    settings: Settings,
    store: PrivateStore,
    chats: Chats,
    chat_client: Model,
    access: Access,
    rates: RateLimits,
    budget: Budget,
    writings: Writings,
) -> Blueprint:
    """POST /query."""
    routes = Blueprint("chat", __name__)
    late = Late()

    origins.own_pages_only(routes)

    @routes.post("/query")
    def query() -> ResponseReturnValue:
        body = read_body(request, QueryBody)
        user_id, is_new = access.user(request)
        rates.query(request.remote_addr or "unknown", user_id, body.trackingSessionId)
        claim = access.may_log(request, body.trackingSessionId, body.token)
        record = Record(store, chats, user_id, body.sessionId, body.trackingSessionId, claim, late=late)
        if is_new and claim.speaks.opens(record.owner):
            known = record.owner.get("user_id")  # a caller without cookies: the session tells whose chat it is
            user_id, is_new = (str(known), False) if known else (user_id, is_new)
            record.user_id = user_id
        writing = writings.get(user_id, body.sessionId, body.turn_id)
        if writing is None:
            budget.check(user_id)
            group, notice = group_for(settings, record.owner, user_id)
            record.notices += filter(None, [notice])
            turn, pieces = begin(body, group, record, chat_client)
            writing = _start(writings, turn, pieces, body, record, partial(budget.spend, user_id))
        if body.stream or "text/event-stream" in request.headers.get("Accept", ""):
            reader = writing.read()
            response = Response(_events(writing, reader), mimetype="text/event-stream")
            response.headers["X-Accel-Buffering"] = "no"
            response.call_on_close(reader.close)  # also when the client left before the first event was read
        else:
            writing.wait()
            response = _whole(writing.turn)
        if is_new:
            access.set_cookie(response, user_id, secure=request.is_secure)
        return response

    return routes


def begin(body: QueryBody, group: Group, record: Record, client: Model) -> tuple[Turn, Generator[tuple[Piece, Said]]]:
    """The turn of a question, new or asked again, and what the model says to it in the light of the earlier turns.

    Raises Refused when the id is that of another question.
    """
    earlier = record.turns()
    at = _position(earlier, body)
    known: Document = {}
    if at is not None:
        known, earlier = earlier[at], earlier[:at]
        if known["text"] != body.query:
            raise Refused(409, "turn_id: it names another question of this chat.", "Make up a new one.")
    elif body.edits is not None:
        ids = [turn["turn_id"] for turn in earlier]
        earlier = earlier[: ids.index(body.edits)] if body.edits in ids else earlier
    attempts = len(known.get("attempts", [])) + 1 if known else 0
    turn_id = known.get("turn_id") or body.turn_id or new_turn_id()
    turn = Turn(turn_id, body.sessionId, group, record, attempt=attempts + 1, anew=body.regenerate)
    told = context(group.system_prompt, earlier, body.query)

    def pieces() -> Generator[Piece]:
        left_out: dict[str, Any] = {"left_out_characters": told.left_out_characters} if told.left_out_characters else {}
        turn.ask(body.query, edits=body.edits, **left_out)
        turn.answer.ask()
        yield from client.complete(group, {"messages": told.messages, "stream": True})

    return turn, turn.hear(pieces())


def _position(turns: list[Document], body: QueryBody) -> int | None:
    """Where the question stands in the chat already. One that is asked anew without an id is told by its words."""
    for at in range(len(turns) - 1, -1, -1):
        if turns[at]["turn_id"] == body.turn_id:
            return at
        if body.turn_id is None and body.regenerate and turns[at]["text"] == body.query:
            return at
    return None


def _start(
    writings: Writings,
    turn: Turn,
    pieces: Generator[tuple[Piece, Said]],
    body: QueryBody,
    record: Record,
    spend: Callable[[int], None],
) -> Writing:
    """Let the model write. Its place is held until it has ended, whoever leaves meanwhile."""
    leave = g.pop("leave", lambda: None)

    def said() -> Generator[Said]:
        try:
            with closing(pieces):
                for _, piece in pieces:
                    yield piece
        finally:
            if cost := turn.tokens(len(body.query)):
                spend(cost)

    def save() -> bool:
        return record.writing(turn.turn_id, {"text": turn.answer.text, "thinking": turn.answer.thinking})

    def make(forget: Callable[[], None]) -> Writing:
        def over() -> None:
            forget()
            leave()

        return Writing(turn, said(), lasting=body.turn_id is not None, save=save, over=over)

    writing, is_new = writings.start((record.user_id, body.sessionId, turn.turn_id), make)
    if not is_new:
        leave()
    return writing


def _whole(turn: Turn) -> Response:
    response = jsonify(turn.result())
    if turn.error:
        response.status_code = turn.error.status
        if turn.error.retry_after_s is not None:
            response.headers["Retry-After"] = str(round(turn.error.retry_after_s))
    return response


def _events(writing: Writing, reader: Reader) -> Iterator[bytes]:
    turn = writing.turn
    yield COMMENT + _event("meta", turn.about())
    for said in reader:
        if said is None:
            yield COMMENT
        elif said.thinking:
            yield _event("thinking", {"text": said.thinking})
        if said and said.text:
            yield _event("token", {"text": said.text})
    if turn.error:
        wait = {"retry_after_s": round(turn.error.retry_after_s)} if turn.error.retry_after_s is not None else {}
        yield _event("error", {**turn.result(), "status": turn.error.status, **wait})
    else:
        yield _event("done", turn.result())


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
