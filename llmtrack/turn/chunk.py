"""One piece of an answer, read from what an OpenAI-compatible server sent, without trust in its shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from llmtrack.session.schema import well_formed

MAX_CITATIONS = 50
MAX_URL = 2000
MAX_TITLE = 300
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")

Citation = dict[str, str]  # {"url", "title"?}


class Delta(NamedTuple):
    """A piece of an answer. `model` is the name the provider gives; `usage` counts tokens, once known.

    `tools` are the names of functions that the model calls instead of, or beside, speaking.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    model: str | None = None
    usage: dict[str, int] | None = None
    tools: tuple[str, ...] = ()


def read_chunk(chunk: object) -> tuple[Delta, str | None]:
    """The piece in a streamed chunk or a whole completion, and its finish_reason if it has one.

    Of several answers to one question (`n` above 1) the first is read, the one that choice 0 holds.

    >>> read_chunk({"model": "m", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    (Delta(text='Hi', citations=(), model='m', usage=None, tools=()), 'stop')
    >>> read_chunk(["no", "chunk"])
    (Delta(text='', citations=(), model=None, usage=None, tools=()), None)
    """
    fields = _object(chunk)
    choices = fields.get("choices")
    answers = [_object(choice) for choice in choices] if isinstance(choices, list) else []
    choice = next((choice for choice in answers if not choice.get("index")), {})
    message = _object(choice.get("delta")) or _object(choice.get("message"))
    finish = choice.get("finish_reason")
    delta = Delta(
        text=_text(message.get("content")) or _text(message.get("refusal")),
        citations=merged((), _citations(fields, message)),
        model=fields["model"] if isinstance(fields.get("model"), str) and fields["model"] else None,
        usage=_usage(_object(fields.get("usage"))),
        tools=tuple(_tools(message)),
    )
    return delta, finish if isinstance(finish, str) else None


def read_response(event: object) -> Delta:
    """The piece in an event of OpenAI's Responses API, or in a whole response of it.

    >>> read_response({"type": "response.output_text.delta", "delta": "Hi"}).text
    'Hi'
    >>> read_response({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]}).text
    'Hi'
    """
    fields = _object(event)
    if fields.get("type") == "response.output_text.delta":
        return Delta(_text(fields.get("delta")))
    whole = _object(fields.get("response")) or fields  # the last event of a stream holds the whole response
    output = whole.get("output")
    items = [_object(item) for item in output] if isinstance(output, list) else []
    contents = [item["content"] for item in items if isinstance(item.get("content"), list)]
    parts = [_object(part) for content in contents for part in content]
    usage = _object(whole.get("usage"))
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}
    called = [_text(item.get("name")) for item in items if item.get("type") == "function_call"]
    citations = (citation for part in parts for citation in _citations({}, part))
    return Delta(
        text="" if "response" in fields else "".join(_text(part.get("text")) for part in parts),
        citations=merged((), citations),
        model=whole["model"] if isinstance(whole.get("model"), str) and whole["model"] else None,
        usage=_usage({ours: usage.get(theirs) for ours, theirs in names.items()}),
        tools=tuple(called),
    )


def merged(known: tuple[Citation, ...], more: Iterator[Citation] | tuple[Citation, ...]) -> tuple[Citation, ...]:
    """Citations without repeats, in the order in which they first came; a title that comes later is kept.

    >>> merged(({"url": "https://a.org"},), ({"url": "https://a.org", "title": "A"}, {"url": "https://b.org"}))
    ({'url': 'https://a.org', 'title': 'A'}, {'url': 'https://b.org'})
    """
    by_url = {citation["url"]: citation for citation in known}
    for citation in more:
        by_url[citation["url"]] = {**by_url.get(citation["url"], {}), **citation}
    return tuple(by_url.values())[:MAX_CITATIONS]


def _citations(fields: dict[str, Any], message: dict[str, Any]) -> Iterator[Citation]:
    """From annotations (OpenAI, OpenRouter), and from `citations` and `search_results` (Perplexity)."""
    for list_of in (fields.get("citations"), fields.get("search_results"), message.get("annotations")):
        for item in list_of if isinstance(list_of, list) else ():
            source = {"url": item} if isinstance(item, str) else _object(item)
            source = _object(source.get("url_citation")) or source
            url, title = source.get("url"), source.get("title")
            if isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) <= MAX_URL:
                citation = {"url": well_formed(url)}
                if isinstance(title, str) and title:
                    citation["title"] = well_formed(title[:MAX_TITLE])
                yield citation


def _tools(message: dict[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        name = _object(_object(call).get("function")).get("name")
        if isinstance(name, str) and name:
            yield well_formed(name[:MAX_TITLE])


def _text(content: object) -> str:
    """Text as a string, or as the list of parts that some models send."""
    if isinstance(content, str):
        return well_formed(content)
    parts = content if isinstance(content, list) else []
    return "".join(_text(_object(part).get("text")) for part in parts)


def _usage(usage: dict[str, Any]) -> dict[str, int] | None:
    counts = {name: usage[name] for name in USAGE if type(usage.get(name)) is int}
    return counts or None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
