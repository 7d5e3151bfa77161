"""From the bytes of a request to events: what is accepted, what is refused, and why."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson
from flask import Request
from pydantic import BaseModel, ValidationError

from llmtrack.collector.errors import Refused
from llmtrack.collector.ingest import bodies
from llmtrack.session import schema

_LONE_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|"
    rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
Shape = TypeVar("Shape", bound=BaseModel)


def read_events(
    given: list[Any], shape: type[bodies.Event], now_ms: int
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
    if incoming.content_length is None and len(raw) >= schema.MAX_BODY_BYTES:  # in chunks: it was cut there
        raise Refused(413, f"The body exceeds {schema.MAX_BODY_BYTES} bytes.", "Send less at once.")
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
