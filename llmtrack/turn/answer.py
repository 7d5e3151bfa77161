"""The answer to one call as it is logged: gathered from its pieces, timed, and marked by how it ended."""

from __future__ import annotations

import time
from typing import Any

from llmtrack.turn.chunk import Delta, Failure
from llmtrack.turn.citations import Citation, merged
from llmtrack.turn.thinking import Said, Thinking, unopened
from llmtrack.turn.tools import ToolCalls

MAX_ATTACHMENTS = 50
CUT = frozenset(  # finish reasons that say: there would be more, or it was not let through
    (
        "length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded", "incomplete",
        "content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal",
    )
)  # fmt: skip


class Answer:
    """Gathers the pieces of one answer and measures when they came.

    `model` is the provider's name for it, or the one that was asked for; `failure` what the provider said went wrong.
    """

    def __init__(self, model: str, provider: str) -> None:
        self.asked_model = self.model = model
        self.provider = provider
        self.citations: tuple[Citation, ...] = ()
        self.ttft_ms: int | None = None
        self.latency_ms = 0
        self.usage: dict[str, int] | None = None
        self.finish_reason: str | None = None
        self.failure: Failure | None = None
        self.response_id: str | None = None
        self.done = False  # the provider said that this was all
        self.tools = ToolCalls()
        self._refused = False
        self._attachments: tuple[str, ...] = ()
        self._pieces: list[str] = []
        self._thoughts: list[str] = []
        self._divided = Thinking()
        self._thought_at: float | None = None
        self.thinking_ms: int | None = None
        self._said = False
        self._asked = self._came = time.monotonic()

    def ask(self) -> None:
        """The model is asked now."""
        self._asked = self._came = time.monotonic()

    @property
    def text(self) -> str:
        """All that has been said so far."""
        return "".join(self._pieces)

    @property
    def thinking(self) -> str:
        """All that was thought so far."""
        return "".join(self._thoughts)

    @property
    def is_step(self) -> bool:
        """Whether it only calls tools: the turn goes on, and its answer is still to come."""
        return bool(self.tools) and not self.text.strip()

    def add(self, delta: Delta) -> Said:
        """A piece has come. Returns what of it is new, thinking and text apart."""
        self._came = time.monotonic()
        self.model = delta.model or self.model
        self.usage = delta.usage or self.usage
        self.citations = merged(self.citations, delta.citations)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.failure = self.failure or delta.failure
        self.response_id = delta.response_id or self.response_id
        self._refused = self._refused or delta.refusal
        self._attachments = (self._attachments + delta.attachments)[:MAX_ATTACHMENTS]
        for piece in delta.tools:
            self.tools.add(piece)
        said = self._divided.add("" if self._repeats(delta) else delta.text)
        thinking = "" if delta.whole and self._thoughts else delta.thinking + said.thinking
        return self._heard(Said(thinking, said.text), timed=not delta.whole)

    def close(self) -> Said:
        """No more pieces will come. Returns what had waited for the next."""
        return self._heard(self._divided.end(), timed=True)

    def _repeats(self, delta: Delta) -> bool:
        """Whether the piece says all that was said before once more, as the last one of some providers does."""
        if delta.whole:
            return bool(self._pieces)
        return delta.finish_reason is not None and len(self._pieces) > 1 and delta.text == self.text

    def _heard(self, said: Said, *, timed: bool) -> Said:
        now = time.monotonic()
        if said.thinking:
            if timed and self._thought_at is None:
                self._thought_at = now
            self._thoughts.append(said.thinking)
        if self._thought_at is not None and not self._pieces:
            self.thinking_ms = int((now - self._thought_at) * 1000)
        if said.text:
            if self.ttft_ms is None:
                self.ttft_ms = ms_since(self._asked)
            self._pieces.append(said.text)
        return said

    def end(self, error: str | None, *, left: bool = False) -> dict[str, Any]:
        """What was said, by whom, how it ended and what went wrong.

        `partial`: there would be more. Whoever `left` did so after the last piece. An answer that holds nothing is an
        error, unless nobody waited for it.
        """
        self.close()
        self._take_back()
        text = self.text
        nothing = not (text.strip() or self.tools or self._attachments or left)
        if nothing and not error:
            error = f"The model gave an empty answer (finish_reason: {self.finish_reason or 'none'})."
        self.latency_ms = int(((self._came if left and text else time.monotonic()) - self._asked) * 1000)
        outcome: dict[str, Any] = {"model": self.model, "provider": self.provider}
        if self.model != self.asked_model:
            outcome["asked_model"] = self.asked_model
        self._said = bool(text) or not error
        if error:
            outcome["error"] = error
        if self._said:
            outcome |= {"text": text, "citations": list(self.citations)}
            if error or left or not self._ended_well:
                outcome["partial"] = True
        for name, value in self._marks():
            if value:
                outcome[name] = value
        return outcome

    def _take_back(self) -> None:
        """What came as text and ended with a `</think>` that nothing had opened was thinking."""
        divided = None if self._thoughts else unopened(self.text)
        if divided is None:
            return
        if len(self._pieces) > 1:
            self.ttft_ms = None  # when the text began was not known then
        self._pieces, self._thoughts = [divided.text], [divided.thinking] if divided.thinking else []

    @property
    def _ended_well(self) -> bool:
        if self.finish_reason is None:
            return self.done
        return self.finish_reason.lower() not in CUT and not self._refused

    def _marks(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("finish_reason", self.finish_reason),
            ("refusal", self._refused),
            ("attachments", list(self._attachments)),
            ("tool_calls", self.tools.names),
            ("tool_call_ids", self.tools.ids),
            ("step", self.is_step),
        )

    def numbers(self) -> dict[str, Any]:
        """latency_ms to the end, ttft_ms to the first text, response_length in characters, usage in tokens.

        Of an answer whose model thought also thinking_length in characters and, where it came piece by piece,
        thinking_ms from the first of them to the first text.
        """
        numbers: dict[str, Any] = {"latency_ms": self.latency_ms, "ttft_ms": self.ttft_ms}
        if self._said:
            numbers["response_length"] = len(self.text)
        if self._thoughts:
            numbers["thinking_length"] = len(self.thinking)
            if self.thinking_ms is not None:
                numbers["thinking_ms"] = self.thinking_ms
        if self.usage:
            numbers["usage"] = self.usage
        return numbers


def ms_since(start: float) -> int:
    """Whole milliseconds since a moment of time.monotonic(): rounded down, or an answer overtook the next question."""
    return int((time.monotonic() - start) * 1000)
