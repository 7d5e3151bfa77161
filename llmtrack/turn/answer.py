"""Both ends of a call as they are logged: what was asked, and the answer gathered from its pieces."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from llmtrack.session.schema import well_formed
from llmtrack.turn.chunk import Citation, Delta, merged


class Asked(NamedTuple):
    """The last thing the user said; `again` when the model has heard it and goes on after tools it had called."""

    text: str
    again: bool = False


def asked(messages: object) -> Asked | None:
    """What the messages of a call ask, or the text that stands for them; None when no user speaks in them.

    >>> asked([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    Asked(text='Why?', again=False)
    >>> asked([{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url"}]}])
    Asked(text='Look:', again=False)
    >>> asked([{"role": "user", "content": "Why?"}, {"role": "assistant"}, {"role": "tool", "content": "42"}])
    Asked(text='Why?', again=True)
    """
    if isinstance(messages, str):
        return Asked(well_formed(messages))
    again = False
    for message in reversed(messages if isinstance(messages, list) else []):
        who = message.get("role") or message.get("type") if isinstance(message, dict) else None
        if who == "user":
            return Asked(_said(message.get("content")), again)
        again = again or who in ("tool", "function", "function_call_output")
    return None


def _said(content: object) -> str:
    """The text of a message: a string, or the text among its parts (the rest are pictures, sounds and files)."""
    if isinstance(content, str):
        return well_formed(content)
    parts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return well_formed("\n".join(text for text in parts if isinstance(text, str)))


class Answer:
    """Gathers the pieces of one answer and measures when they came. `model` is the provider's name for it."""

    def __init__(self, model: str, provider: str) -> None:
        self.model, self.provider = model, provider
        self.citations: tuple[Citation, ...] = ()
        self.ttft_ms: int | None = None
        self.latency_ms = 0
        self._said = False
        self.usage: dict[str, int] | None = None
        self._tools: tuple[str, ...] = ()
        self._pieces: list[str] = []
        self._asked = self._came = time.monotonic()

    def ask(self) -> None:
        """The model is asked now."""
        self._asked = self._came = time.monotonic()

    def add(self, delta: Delta) -> None:
        """A piece has come."""
        self._came = time.monotonic()
        self.model = delta.model or self.model
        self.usage = delta.usage or self.usage
        self.citations = merged(self.citations, delta.citations)
        self._tools += delta.tools
        if delta.text:
            if self.ttft_ms is None:
                self.ttft_ms = ms_since(self._asked)
            self._pieces.append(delta.text)

    @property
    def text(self) -> str:
        """All that has come so far."""
        return "".join(self._pieces)

    def end(self, error: str | None, *, complete: bool) -> dict[str, Any]:
        """What was said, by whom, and what went wrong.

        An answer that is not `complete` is marked partial; whoever left did so after its last piece.
        """
        left = bool(self._pieces) and not (complete or error)
        self.latency_ms = int(((self._came if left else time.monotonic()) - self._asked) * 1000)
        outcome: dict[str, Any] = {"model": self.model, "provider": self.provider}
        text = self.text
        self._said = bool(text) or not error
        if error:
            outcome["error"] = error
        if self._said:
            outcome["text"] = text
            outcome["citations"] = list(self.citations)
        if text and not complete:
            outcome["partial"] = True
        if self._tools:
            outcome["tool_calls"] = list(self._tools)
        return outcome

    def numbers(self) -> dict[str, Any]:
        """latency_ms to the end, ttft_ms to the first text, response_length in characters, usage in tokens."""
        numbers: dict[str, Any] = {"latency_ms": self.latency_ms, "ttft_ms": self.ttft_ms}
        if self._said:
            numbers["response_length"] = len(self.text)
        if self.usage:
            numbers["usage"] = self.usage
        return numbers


def ms_since(start: float) -> int:
    """Whole milliseconds since a moment of time.monotonic(): rounded up, an answer might overtake the next question."""
    return int((time.monotonic() - start) * 1000)
