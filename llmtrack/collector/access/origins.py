"""Which pages may ask, and what a browser is told about every answer.

The tracker's endpoints are authorised by tokens, never by cookies: any page may use them, or those that
`allowed_origins` lists. What a cookie authorises answers the collector's own pages only.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Request, Response, request

from llmtrack.collector.errors import Denied
from llmtrack.config import Settings

TRACKER_PATHS = "/api/session/"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'; img-src 'self' data:"
)


def own_pages_only(routes: Blueprint) -> None:
    """Guard routes that a cookie authorises: for the collector's own pages, and kept by no cache."""

    @routes.before_request
    def guard() -> None:
        must_be_own_page(request)
        must_be_json(request)

    @routes.after_request
    def private(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response


def must_be_own_page(request: Request) -> None:
    """Raise Denied for what a page of another origin sent, with the user's cookie, behind the user's back.

    Browsers say so themselves in Sec-Fetch-Site (over https and on localhost), else in Origin. A request with
    neither comes from no browser.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none") or (site is None and _is_own(request)):
        return
    raise Denied(403, "A page of another origin may not ask this.", "Open the collector's own page.")


def must_be_listed(request: Request, settings: Settings) -> None:
    """Raise Denied for a page that `allowed_origins` does not list; the collector's own pages need no listing."""
    if "*" in settings.allowed_origins or request.headers.get("Origin") in settings.allowed_origins:
        return
    if not _is_own(request):
        origin = request.headers["Origin"][:200]
        raise Denied(403, f"Pages of {origin!r} may not send events here.", "Add the origin to allowed_origins.")


def must_be_json(request: Request) -> None:
    """Raise Denied for a body that is not application/json, which is what a form of any page can send."""
    if request.method in ("POST", "PATCH") and not request.is_json:
        raise Denied(415, f"The body is {request.mimetype or 'of no type'!r}.", "Send Content-Type: application/json.")


def headers(request: Request, settings: Settings, answer: Response) -> Response:
    """Every answer with what protects it in a browser, those of the tracker's endpoints with CORS."""
    answer.headers.setdefault("X-Content-Type-Options", "nosniff")
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    answer.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    if settings.hsts_s and request.is_secure:
        answer.headers["Strict-Transport-Security"] = f"max-age={settings.hsts_s}"
    if not request.path.startswith(TRACKER_PATHS):
        return answer
    origin = request.headers.get("Origin", "")
    if "*" in settings.allowed_origins:
        answer.headers["Access-Control-Allow-Origin"] = "*"
    else:
        answer.vary.add("Origin")
        if origin in settings.allowed_origins:
            answer.headers["Access-Control-Allow-Origin"] = origin
    answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
    answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    answer.headers["Access-Control-Max-Age"] = "86400"
    return answer


def _is_own(request: Request) -> bool:
    """Whether Origin names this host; also when there is none. Of the scheme a proxy may not have told us."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == request.host != ""
    except ValueError:
        return False
