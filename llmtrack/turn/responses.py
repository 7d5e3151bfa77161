"""The same of OpenAI's Responses API: one piece of an answer, read from an event or a whole response."""

from __future__ import annotations

from typing import Any

from llmtrack.turn.chunk import MAX_REASON, Delta, Failure, failure_of, usage_of
from llmtrack.turn.citations import citations_of, merged
from llmtrack.turn.content import Content, content_of
from llmtrack.turn.fields import object_of, objects_of, string
from llmtrack.turn.tools import MAX_NAME, ToolPiece

_USAGE = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}
_SAID = ("response.output_text.delta", "response.refusal.delta")
_THOUGHT = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
_OPEN = ("queued", "in_progress")  # states of a response that says nothing of its end yet


def read_response(data: object, event: str = "") -> Delta:
    """The piece in an event of a stream (`event`: its name), or in a whole response.

    >>> read_response({"type": "response.output_text.delta", "delta": "Hi"}).text
    'Hi'
    >>> part = {"type": "output_text", "text": "Hi"}
    >>> read_response({"status": "completed", "output": [{"type": "message", "content": [part]}]}).finish_reason
    'completed'
    """
    fields = object_of(data)
    kind = fields.get("type") or event
    if kind in _SAID:
        return Delta(string(fields.get("delta")), refusal=kind == "response.refusal.delta")
    if kind in _THOUGHT:
        return Delta(thinking=string(fields.get("delta")))
    if kind == "response.output_item.done":
        return Delta(tools=tuple(_tools([object_of(fields.get("item"))], fields.get("output_index"))))
    if kind == "error" or ("response" not in fields and "output" not in fields):
        return Delta(failure=failure_of(fields, event))
    return _whole(object_of(fields.get("response")) or fields)


def _whole(response: dict[str, Any]) -> Delta:
    """A whole response, which the last event of a stream holds, too."""
    items = objects_of(response.get("output"))
    contents = [content_of(item.get("content")) for item in items if item.get("type") in ("message", None)]
    thoughts = [content_of(item.get("content")).thinking or content_of(item.get("summary")).thinking for item in items]
    parts = [part for item in items for part in objects_of(item.get("content"))]
    usage = object_of(response.get("usage"))
    status = string(response.get("status"), MAX_REASON)
    reason = string(object_of(response.get("incomplete_details")).get("reason"), MAX_REASON)
    failure = failure_of(response)
    content = _joined(contents)
    return Delta(
        text=content.text,
        thinking="".join(thoughts),
        citations=merged((), citations_of(*parts)),
        model=string(response.get("model")) or None,
        usage=usage_of({ours: usage.get(theirs) for ours, theirs in _USAGE.items()}),
        tools=tuple(_tools(items)),
        finish_reason=None if status in _OPEN else reason or status or None,
        failure=failure or (Failure(code=status) if status in ("failed", "cancelled") else None),
        whole=True,
        refusal=content.refusal,
        attachments=content.attachments,
        response_id=string(response.get("id"), MAX_NAME) or None,
    )


def _joined(contents: list[Content]) -> Content:
    return Content(
        "".join(content.text for content in contents),
        attachments=tuple(kind for content in contents for kind in content.attachments),
        refusal=any(content.refusal for content in contents),
    )


def _tools(items: list[dict[str, Any]], index: object = None) -> list[ToolPiece]:
    """Calls of the application's own functions: what the provider runs itself (a web search) is no step."""
    calls = [(at, item) for at, item in enumerate(items) if item.get("type") in ("function_call", "custom_tool_call")]
    return [
        ToolPiece(
            index if type(index) is int else at,
            string(item.get("call_id"), MAX_NAME) or string(item.get("id"), MAX_NAME),
            string(item.get("name"), MAX_NAME),
            string(item.get("arguments")) or string(item.get("input")),
        )
        for at, item in calls
    ]
