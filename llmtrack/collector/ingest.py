"""What the tracker sends: start, event, end. Good events of a batch are kept, the others answered with a reason."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from flask import Blueprint, Request, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from llmtrack import model
from llmtrack.collector import origins
from llmtrack.collector.access import Access, start_proof
from llmtrack.collector.groups import assign
from llmtrack.collector.limits import RateLimits
from llmtrack.collector.metrics import Metrics
from llmtrack.collector.privacy import PrivateStore
from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError

_LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_LIBRARY = re.compile(r"(?i)python|java|curl|wget|go-http|okhttp|apache-http|libwww|ruby|php|node|axios|guzzle")
MAX_USER_AGENT = 1000

Shape = TypeVar("Shape", bound=BaseModel)


class Refused(LlmtrackError):
    """A request that cannot be taken, with the HTTP status to answer."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


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
        body = read_body(request, model.StartBody)
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
        session = store.start(
            {
                "session_id": body.session_id or model.new_session_id(user_id, now_ms),
                "user_id": user_id,
                "model_group": group.name,
                "experiment_id": experiment_id,
                "start_time": datetime.fromtimestamp((now_ms - body.age_ms) / 1000, UTC),
                "environment": environment(body.environment, request.headers.get("User-Agent", "")),
                **({"previous_session_id": body.previous_session_id} if body.previous_session_id else {}),
                "start_proof": proof,
            }
        )
        access.must_own(request, session, proof)
        if "_id" in session:  # else it was there already
            metrics.started.inc()
        answer = {key: session.get(key) for key in ("session_id", "user_id", "model_group", "experiment_id")}
        # halfway through our own work, so that the tracker may take half of its round trip as the way of the answer
        server_time = (now_ms + time.time_ns() // 1_000_000) // 2
        return jsonify(**answer, server_time=server_time, token=access.sign(session["session_id"])), 201

    @routes.post("/api/session/event")
    def event() -> ResponseReturnValue:
        body = read_body(request, model.EventsBody)
        return store_events(body, None)

    @routes.post("/api/session/end")
    def end() -> ResponseReturnValue:
        body = read_body(request, model.EndBody)
        now_ms = time.time() * 1000
        left_ms = min(body.t, now_ms) if body.t is not None and model.plausible(body.t, round(now_ms)) else now_ms
        answer = store_events(body, datetime.fromtimestamp(left_ms / 1000, UTC))
        metrics.ended.labels("page").inc()
        return answer

    def store_events(body: model.EventsBody, end: datetime | None) -> ResponseReturnValue:
        access.must_write(request, body.session_id, body.token)
        rates.session(body.session_id)
        now_ms = time.time_ns() // 1_000_000
        events, rejected = read_events(
            body.events, model.Event if body.id or access.is_writer(request) else model.TrackerEvent, now_ms
        )
        told = body.sent_at is not None and model.plausible(body.sent_at, now_ms)
        extra = {"clock_offset_ms": round(body.sent_at - now_ms)} if body.sent_at is not None and told else None
        stored = store.append(body.session_id, events, end=end, extra=extra if events or end else None, once=body.id)
        metrics.batch(stored.accepted, stored.duplicates, rejected)
        return jsonify(accepted=stored.accepted, duplicates=stored.duplicates, rejected=rejected), 202

    return routes


def read_events(
    given: list[Any], shape: type[model.Event], now_ms: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The good events as they are stored, and {"n", "why"} of each of the others."""
    events, rejected = [], []
    for each in given:
        try:
            events.append(shape.model_validate(each).stored(now_ms))
        except ValidationError as error:
            rejected.append({"n": each.get("n") if isinstance(each, dict) else None, "why": reason(error)})
    return events, rejected


def read_body(incoming: Request, shape: type[Shape]) -> Shape:
    """The JSON body, whatever its Content-Type says: a beacon can only send text/plain. Raises Refused."""
    raw = incoming.get_data(cache=False)
    if incoming.content_length is None and len(raw) >= model.MAX_BODY_BYTES:  # in chunks: it was cut there
        raise Refused(413, f"The body exceeds {model.MAX_BODY_BYTES} bytes.", "Send less at once.")
    try:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:  # half an emoji, cut by a script: everything else in the body is good
            value = orjson.loads(_LONE_SURROGATE.sub(rb"\1\\ufffd", raw))
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"The body is not JSON: {error}.", "Send one JSON object.") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body is not a JSON object.", "Send one JSON object.")
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        status = 413 if error.errors()[0]["type"] == "too_long" else 422
        raise Refused(status, f"{reason(error)}.", "Nothing was stored.") from None


def reason(error: ValidationError) -> str:
    """The first thing that is wrong, in one phrase that names the field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = "should be an object" if first["type"] in ("dict_type", "model_type") else message
    return f"{'.'.join(str(part) for part in first['loc']) or 'event'}: {message}"


def environment(sent: Mapping[str, Any], user_agent: str) -> dict[str, Any]:
    """What the visit ran on: what the tracker says, with device, browser and os read from the User-Agent header."""
    known: dict[str, Any] = model.storable(dict(sent))
    viewport = known.get("viewport")
    if not isinstance(viewport, dict) or not all(isinstance(viewport.get(k), int | float) for k in ("width", "height")):
        known.pop("viewport", None)
    if is_bot(user_agent):
        known["bot"] = True
    for key, value in parse_user_agent(user_agent, bool(known.get("touch"))).items():
        if not isinstance(known.get(key), str) or not known[key]:
            known[key] = value
    return known


def is_bot(user_agent: str) -> bool:
    """Whether a User-Agent says that it is a crawler, a preview or a monitor.

    A browser that a program drives and a program's HTTP library are none: both may act for a person.

    >>> is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), is_bot("Python-urllib/3.13")
    (True, False)
    """
    from ua_parser import parse

    found = parse(user_agent[:MAX_USER_AGENT])
    return bool(found.device and found.device.family == "Spider" and not _LIBRARY.match(user_agent))


def parse_user_agent(user_agent: str, touch: bool = False) -> dict[str, str]:
    """device (desktop, mobile, tablet, bot or unknown), browser and os families.

    >>> parse_user_agent("")
    {'device': 'unknown', 'browser': 'unknown', 'os': 'unknown'}
    """
    from ua_parser import parse

    if not user_agent:
        return {"device": "unknown", "browser": "unknown", "os": "unknown"}
    found = parse(user_agent[:MAX_USER_AGENT])
    os = found.os.family if found.os else "unknown"
    browser = found.user_agent.family if found.user_agent else "unknown"
    device = "bot" if is_bot(user_agent) else _device(user_agent, os, touch)
    return {"device": device, "browser": browser, "os": os}


def _device(user_agent: str, os: str, touch: bool) -> str:
    if "iPad" in user_agent or "Tablet" in user_agent or (os == "Android" and "Mobile" not in user_agent):
        return "tablet"
    if os == "Mac OS X" and touch:  # an iPad that asks for the desktop site
        return "tablet"
    if "Mobi" in user_agent or os in ("iOS", "Android"):
        return "mobile"
    return "desktop" if os in ("Windows", "Mac OS X", "Chrome OS") or "X11" in user_agent else "unknown"
