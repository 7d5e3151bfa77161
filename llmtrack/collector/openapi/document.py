"""The collector's own OpenAPI 3.1 document, made from the pydantic models: GET /openapi.json.

A new endpoint is a line of OPERATIONS; a test holds that every route of the application has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from llmtrack.collector.ingest import bodies
from llmtrack.collector.openapi import answers
from llmtrack.version import __version__

Schema = dict[str, Any]
JSON, TEXT, HTML, STREAM = "application/json", "text/plain", "text/html", "text/event-stream"
ANY = "*/*"

REFUSALS = {
    400: "No JSON object",
    401: "No proof of who asks, or one that is too old",
    403: "A proof that does not open this, or a page of another origin",
    404: "There is none",
    409: "The turn_id names another question",
    413: "More than 256 KB or 500 events",
    415: "A compressed body, or one that is not application/json where that is due",
    422: "A field is wrong: which, and why",
    429: "Too much of one session, user or address",
    500: "A fault of the server, or of its configuration",
    502: "The model failed",
    503: "The database is away, the model is not configured, or too much at once",
    504: "The model did not answer in time",
}
EVERYWHERE = (400, 413, 415, 429, 500, 503)
ASKING = (502, 504)


class Answered(NamedTuple):
    """What an operation answers when it does its work: status, meaning, and for each media type a model, if any."""

    status: int
    meaning: str
    content: dict[str, type[BaseModel] | None] = {}  # noqa: RUF012 - a NamedTuple's default


class Operation(NamedTuple):
    """One method of one path. `also`: the refusals that can meet it beside EVERYWHERE."""

    method: str
    path: str
    does: str
    answer: Answered
    body: type[BaseModel] | None = None
    also: tuple[int, ...] = ()
    error: type[BaseModel] = answers.Error


_STORED = Answered(202, "Stored; what was not, and why", {JSON: answers.Stored})

OPERATIONS = (
    Operation(
        "post", "/api/session/start", "Begin a session; the same session_id again gets the same answer",
        Answered(201, "Begun", {JSON: answers.Started}), bodies.StartBody, (403, 422),
    ),
    Operation("post", "/api/session/event", "Store events", _STORED, bodies.EventsBody, (401, 403, 404, 422)),
    Operation("post", "/api/session/end", "End a session", _STORED, bodies.EndBody, (401, 403, 404, 422)),
    Operation(
        "get", "/session/{session_id}", "The document of a session",
        Answered(200, "The document", {JSON: answers.Session}), also=(401, 403, 404),
    ),
    Operation(
        "post", "/query", "Ask the model; streamed when asked for",
        Answered(200, "The answer", {JSON: answers.Answer, STREAM: None}), bodies.QueryBody, (403, 409, 422, *ASKING),
    ),
    Operation(
        "post", "/v1/chat/completions", "Ask a group's model in OpenAI's API",
        Answered(200, "The completion, or its chunks", {JSON: None, STREAM: None}), bodies.CompletionBody,
        (401, 422, *ASKING), answers.CompletionError,
    ),
    Operation(
        "get", "/api/chats", "The user's saved chats", Answered(200, "Newest first", {JSON: answers.Chats}), also=(403,)
    ),
    Operation(
        "get", "/api/chats/{session_id}", "A saved chat", Answered(200, "The chat", {JSON: answers.Chat}),
        also=(403, 404),
    ),
    Operation(
        "patch",
        "/api/chats/{session_id}",
        "Rename a saved chat",
        Answered(204, "Renamed"),
        body=bodies.ChatBody,
        also=(403, 404, 422),
    ),
    Operation("delete", "/api/chats/{session_id}", "Delete a saved chat", Answered(204, "Deleted"), also=(403, 404)),
    Operation(
        "post", "/api/chats/{session_id}/stop", "Stop an answer that is being written", Answered(204, "It stops"),
        bodies.StopBody, (403, 422),
    ),
    Operation("get", "/", "The chat page", Answered(200, "The page", {HTML: None})),
    Operation("get", "/chat/{chat}", "The chat page, open at a saved chat", Answered(200, "The page", {HTML: None})),
    Operation("get", "/llmtrack.js", "The tracker", Answered(200, "The script", {"text/javascript": None})),
    Operation("get", "/assets/{name}", "Files of the chat page", Answered(200, "The file", {ANY: None}), also=(404,)),
    Operation("get", "/privacy", "What is recorded of whom", Answered(200, "The page", {HTML: None})),
    Operation("get", "/healthz", "Whether it is alive", Answered(200, "It is", {JSON: answers.Health})),
    Operation("get", "/readyz", "Whether it can store", Answered(200, "It can", {JSON: answers.Ready})),
    Operation(
        "get", "/metrics", "Figures for Prometheus", Answered(200, "The figures", {TEXT: None}), also=(401, 403)
    ),
    Operation("get", "/openapi.json", "This document", Answered(200, "The document", {JSON: None})),
)  # fmt: skip


def document() -> Schema:
    """The OpenAPI document as JSON can hold it."""
    shapes: set[type[BaseModel]] = {operation.body for operation in OPERATIONS if operation.body}
    shapes |= {shape for operation in OPERATIONS for shape in operation.answer.content.values() if shape}
    shapes |= {bodies.Event, *(operation.error for operation in OPERATIONS)}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, found = models_json_schema(
        [(shape, "validation") for shape in ordered], ref_template="#/components/schemas/{model}"
    )
    schemas = found["$defs"]
    schemas["EventsBody"]["properties"]["events"] |= _EVENTS
    schemas["EndBody"]["properties"]["events"] |= _EVENTS
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "llmtrack", "version": __version__, "summary": "The collector: sessions, events and chats"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


# the collector checks events one by one, so that a bad one costs the others nothing: any item is taken as a request
_EVENTS: Schema = {"items": {"anyOf": [{"$ref": "#/components/schemas/Event"}, {"description": "refused by itself"}]}}


def _operation(operation: Operation) -> Schema:
    found: Schema = {"summary": operation.does, "responses": _responses(operation)}
    if "{" in operation.path:
        name = operation.path.partition("{")[2].partition("}")[0]
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        ]
    if operation.body:
        schema = _ref(operation.body)
        found["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in (JSON, TEXT)}}
    return found


def _responses(operation: Operation) -> Schema:
    status, meaning, content = operation.answer
    found: Schema = {str(status): {"description": meaning}}
    if content:
        found[str(status)]["content"] = {
            kind: {"schema": _ref(shape)} if shape else {} for kind, shape in content.items()
        }
    for refused in sorted({*EVERYWHERE, *operation.also}):
        found[str(refused)] = {"description": REFUSALS[refused], "content": {JSON: {"schema": _ref(operation.error)}}}
        if refused in (429, 503):
            found[str(refused)]["headers"] = {
                "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
            }
    return found


def _ref(shape: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{shape.__name__}"}
