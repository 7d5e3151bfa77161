"""The chat page, its assets, and the tracker for any page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, send_from_directory

from llmtrack.collector.access import notice
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.ingest.assignment import assign
from llmtrack.config import Settings

WEB = Path(__file__).parent.parent / "web"


def page_routes(settings: Settings, access: Access) -> Blueprint:
    """GET /, /chat/…, /privacy, /llmtrack.js and /assets/…"""
    routes = Blueprint("pages", __name__, template_folder=str(WEB))

    @routes.get("/")
    @routes.get("/chat/<path:chat>")
    def index(chat: str = "") -> Response:
        # one page for all chats: it reads the name of the chat from its address, and asks for it
        user_id, is_new = access.user(request)
        experiment = settings.experiment or ""
        group = assign(experiment, settings.experiments[experiment].groups, user_id)
        answer = _page(
            "index.html",
            experiment=experiment,
            user_id=user_id,
            token=access.page_token(user_id),
            provider=group.provider,
            respect_signals=settings.privacy.respect_signals,
            unsaved=not settings.privacy.save_chats,
        )
        if is_new:
            access.set_cookie(answer, user_id, secure=request.is_secure)
        return answer

    @routes.get("/privacy")
    def privacy() -> Response:
        user_id, is_new = access.user(request)
        return _page(
            "privacy.html",
            privacy=settings.privacy,
            texts=notice.texts(settings.privacy),
            recipients=notice.recipients(settings),
            user_id=None if is_new else user_id,
            signalled="1" in (request.headers.get("Sec-GPC"), request.headers.get("DNT")),
        )

    @routes.get("/llmtrack.js")
    def tracker() -> Response:
        answer = _file(WEB, "tracker.js", mimetype="text/javascript", max_age=3600)
        answer.headers["Access-Control-Allow-Origin"] = "*"  # a module of another site is loaded with CORS
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return answer

    @routes.get("/assets/<path:name>")
    def assets(name: str) -> Response:
        # asked for at each load and answered 304: after an upgrade, old and new modules never mix
        return _file(WEB / "assets", name, max_age=0)

    return routes


def _file(folder: Path, name: str, **options: Any) -> Response:
    """A file in memory, as only what is no stream can be compressed for every browser."""
    answer = send_from_directory(folder, name, **options)
    answer.direct_passthrough = False
    answer.make_sequence()
    answer.close()  # the file, not the answer
    return answer


def _page(template: str, **values: Any) -> Response:
    answer = make_response(render_template(template, **values))
    answer.headers["Cache-Control"] = "no-store"
    return answer
