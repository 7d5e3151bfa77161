"""The saved chats of the page's user: /api/chats lists and searches them, opens, renames and deletes one.

An answer that is being written in one is stopped here, too.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from llmtrack.collector.access import origins
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.chat.writing import Writings
from llmtrack.collector.errors import Refused
from llmtrack.collector.ingest.bodies import ChatBody, StopBody
from llmtrack.collector.ingest.reading import read_body
from llmtrack.store.database.chats import Chats


def saved_routes(chats: Chats, writings: Writings, access: Access) -> Blueprint:
    """GET /api/chats, GET, PATCH and DELETE /api/chats/<sessionId>, POST /api/chats/<sessionId>/stop."""
    routes = Blueprint("saved", __name__)
    origins.own_pages_only(routes)

    @routes.get("/api/chats")
    def saved() -> ResponseReturnValue:
        return jsonify(chats=chats.newest(access.user(request)[0], request.args.get("q", "")))

    @routes.get("/api/chats/<session_id>")
    def read(session_id: str) -> ResponseReturnValue:
        chat = chats.get(access.user(request)[0], session_id)
        if chat is None:
            raise _unknown(session_id)
        return jsonify(chat)

    @routes.patch("/api/chats/<session_id>")
    def rename(session_id: str) -> ResponseReturnValue:
        title = read_body(request, ChatBody).title
        if not chats.rename(access.user(request)[0], session_id, title):
            raise _unknown(session_id)
        return "", 204

    @routes.delete("/api/chats/<session_id>")
    def delete(session_id: str) -> ResponseReturnValue:
        if not chats.delete(access.user(request)[0], session_id):
            raise _unknown(session_id)
        return "", 204

    @routes.post("/api/chats/<session_id>/stop")
    def stop(session_id: str) -> ResponseReturnValue:
        turn_id = read_body(request, StopBody).turn_id
        user_id = access.user(request)[0]
        if writing := writings.get(user_id, session_id, turn_id):
            writing.stop()
        else:  # another worker may write it
            chats.stop(user_id, session_id, turn_id)
        return "", 204

    return routes


def _unknown(session_id: str) -> Refused:
    return Refused(404, f"There is no chat {session_id!r}.", "See GET /api/chats.")
