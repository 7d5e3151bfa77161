"""One piece of an answer, read from what an OpenAI-compatible server sent, without trust in its shape."""

from __future__ import annotations

from typing import Any, NamedTuple

from llmtrack.turn.citations import Citation, citations_of, merged
from llmtrack.turn.content import content_of
from llmtrack.turn.fields import first, object_of, objects_of, string
from llmtrack.turn.tools import ToolPiece, tool_pieces

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
MAX_REASON = 100


class Failure(NamedTuple):
    """What a provider says went wrong inside an answer. Its words may hold a key."""

    message: str = ""
    code: str = ""


class Delta(NamedTuple):
    """A piece of an answer. `model` is the name the provider gives; `usage` counts tokens, once known.

    `whole`: the text is all of the answer, not more of it. `refusal`: the text declines. `attachments` are the kinds
    of what is no text. `response_id` is what a later question may name as the one before it.
    """

    text: str = ""
    thinking: str = ""
    citations: tuple[Citation, ...] = ()
    model: str | None = None
    usage: dict[str, int] | None = None
    tools: tuple[ToolPiece, ...] = ()
    finish_reason: str | None = None
    failure: Failure | None = None
    whole: bool = False
    refusal: bool = False
    attachments: tuple[str, ...] = ()
    response_id: str | None = None


def read_chunk(chunk: object, event: str = "") -> Delta:
    """The piece in a streamed chunk or a whole completion; `event` is the name of the event that brought it.

    Of several answers to one question (`n` above 1) the first is read, the one that choice 0 holds.

    >>> said = read_chunk({"model": "m", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    >>> said.text, said.model, said.finish_reason
    ('Hi', 'm', 'stop')
    >>> read_chunk({"error": {"message": "overloaded", "code": 503}}).failure
    Failure(message='overloaded', code='503')
    >>> read_chunk(["no", "chunk"]) == Delta()
    True
    """
    fields = object_of(chunk)
    choice = next((each for each in objects_of(fields.get("choices")) if not each.get("index")), {})
    streamed = object_of(choice.get("delta"))
    message = streamed or object_of(choice.get("message"))
    content = content_of(message.get("content"))
    parts = [part for part in objects_of(message.get("content")) if "image" not in string(part.get("type"))]
    refusal = "" if content.text else string(message.get("refusal"))
    finish = string(choice.get("finish_reason"), MAX_REASON) or None
    return Delta(
        text=content.text or refusal,
        thinking=_thinking(message) or content.thinking,
        citations=merged((), citations_of(fields, choice, message, {"references": parts}, *parts)),
        model=string(fields.get("model")) or None,
        usage=usage_of(object_of(fields.get("usage"))),
        tools=tuple(tool_pieces(message)),
        finish_reason=finish,
        failure=failure_of(fields, event) or failure_of(choice) or (Failure() if finish == "error" else None),
        whole="message" in choice and not streamed,
        refusal=bool(refusal) or content.refusal,
        attachments=content.attachments + (("audio",) if object_of(message.get("audio")) else ()),
    )


def _thinking(message: dict[str, Any]) -> str:
    """As DeepSeek and vLLM, OpenRouter and Groq, or Ollama name it; several of them say the same."""
    return first(message.get("reasoning_content"), message.get("reasoning"), message.get("thinking"))


def failure_of(fields: dict[str, Any], event: str = "") -> Failure | None:
    """Every shape of an error: `error`, an object or a text; an object or an event that is one as a whole."""
    error = fields.get("error")
    inner = object_of(error)
    if not error:
        if "error" not in (event, fields.get("object"), fields.get("type")):
            return None
        inner = fields
    code = next((inner[name] for name in ("code", "type", "status") if inner.get(name)), "")
    words = (error, inner.get("message"), inner.get("detail"), inner.get("error"))
    return Failure(first(*words), str(code)[:MAX_REASON] if isinstance(code, str | int) else "")


def usage_of(usage: dict[str, Any]) -> dict[str, int] | None:
    """The counts of tokens that are counts."""
    counts = {name: usage[name] for name in USAGE if type(usage.get(name)) is int}
    return counts or None
