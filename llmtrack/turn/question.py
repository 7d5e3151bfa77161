"""What a call asks: the last thing the user said, and whether the model has heard it before."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from llmtrack.session.schema import MAX_TEXT, well_formed
from llmtrack.turn.content import content_of
from llmtrack.turn.fields import string
from llmtrack.turn.tools import MAX_NAME


class Question(NamedTuple):
    """`text` is what the user said last, None when the call holds nothing of a user.

    `again`: the model goes on after tools that it had called. `results` are the ids of the calls whose results come
    with it. `attachments` are the kinds of what the user sent beside the text. `said` is a digest of all that was said
    up to the question: calls of one turn share it.
    """

    text: str | None
    again: bool = False
    results: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    said: str = ""


def asked(messages: object) -> Question:
    """What the messages of a call, or the text that stands for them, ask.

    >>> asked([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]).text
    'Why?'
    >>> parts = [{"type": "text", "text": "Look:"}, {"type": "image_url"}]
    >>> asked([{"role": "user", "content": parts}])[:4]
    ('Look:', False, (), ('image',))
    >>> call, result = {"role": "assistant"}, {"role": "tool", "tool_call_id": "c1", "content": "42"}
    >>> asked([{"role": "user", "content": "Why?"}, call, result])[:3]
    ('Why?', True, ('c1',))
    """
    if isinstance(messages, str):
        return Question(well_formed(messages), said=_digest([messages]))
    items = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    results: list[str] = []
    again = False
    for at in range(len(items) - 1, -1, -1):
        message = items[at]
        who = message.get("role") or message.get("type")
        if who == "user":
            content = content_of(message.get("content"), between="\n")
            said = _digest([[each.get("role"), content_of(each.get("content")).text] for each in items[: at + 1]])
            return Question(content.text, again, tuple(reversed(results)), content.attachments, said)
        if who in ("tool", "function", "function_call_output", "custom_tool_call_output"):
            again = True
            if named := string(message.get("tool_call_id") or message.get("call_id"), MAX_NAME):
                results.append(named)
    return Question(None, again, tuple(reversed(results)))


def _digest(said: list[Any]) -> str:
    return hashlib.sha256(json.dumps(said, default=str).encode("utf-8", "replace")).hexdigest()[:32]


def prompt_data(text: str, attachments: tuple[str, ...] = (), most: int = MAX_TEXT) -> dict[str, Any]:
    """A prompt as it is stored: cut at `most` characters, and then with its full length."""
    cut = {"text_length": len(text)} if len(text) > most else {}
    return {"text": text[:most], **cut, **({"attachments": list(attachments)} if attachments else {})}
