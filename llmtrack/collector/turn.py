"""One question and its answer: what the model is told, what it says, and what is recorded of both."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from llmtrack.collector.budget import tokens_of
from llmtrack.collector.delta import Citation, merged
from llmtrack.collector.failures import ModelError
from llmtrack.collector.models import ChatClient, Messages
from llmtrack.collector.record import Record
from llmtrack.config import Group
from llmtrack.model import QueryBody
from llmtrack.store.mongo import Document

MAX_MESSAGES = 40  # of the chat's earlier turns, as context
MAX_CHARACTERS = 60_000


class Turn:
    """Asks the group's model and records both ends, however it goes. `error` is set when the model failed."""

    def __init__(
        self,
        body: QueryBody,
        group: Group,
        record: Record,
        client: ChatClient,
        spend: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        self._spend, self._characters = spend, 0
        self.turn_id = secrets.token_hex(8)
        self.error: ModelError | None = None
        self._body, self._group, self._record, self._client = body, group, record, client
        self._t = time.time_ns() // 1_000_000
        self._arrived = self._asked = time.monotonic()
        self._pieces: list[str] = []
        self._citations: tuple[Citation, ...] = ()
        self._model = group.model
        self._usage: dict[str, int] | None = None
        self._complete = False
        self._ttft_ms: int | None = None
        self._latency_ms = 0

    def answer(self) -> Generator[str]:
        """The answer's text as it comes. Both ends are recorded, also when the generator is closed before its end."""
        messages = self._begin()
        self._characters = sum(len(message["content"]) for message in messages)
        self._asked = time.monotonic()
        try:
            with closing(self._client.stream(self._group, messages)) as deltas:
                for delta in deltas:
                    self._model = delta.model or self._model
                    self._usage = delta.usage or self._usage
                    self._citations = merged(self._citations, delta.citations)
                    if delta.text:
                        if not self._pieces:
                            self._ttft_ms = _ms_since(self._asked)
                        self._pieces.append(delta.text)
                        yield delta.text
            self._complete = True
        except ModelError as error:
            self.error = error
        finally:
            self._end()

    def _begin(self) -> Messages:
        """Log the prompt before the model is asked; return what to ask it."""
        earlier, instead_of = self._record.turns(), None
        if self._body.regenerate:
            same = [index for index, turn in enumerate(earlier) if turn["text"] == self._body.query]
            if same:
                instead_of = earlier[same[-1]]["turn_id"]
                earlier = earlier[: same[-1]]
        prompt = {"turn_id": self.turn_id, "t": self._t, "text": self._body.query}
        self._record.begin(prompt, regenerated=self._body.regenerate, instead_of=instead_of)
        return context(self._group.system_prompt, earlier, self._body.query)

    def _end(self) -> None:
        self._latency_ms = _ms_since(self._asked)
        text = "".join(self._pieces)
        if text or self._usage:  # a model that failed before its first word costs nothing
            self._spend(tokens_of(self._usage, self._characters + len(text)))
        outcome: dict[str, Any] = {"model": self._model, "provider": self._group.provider}
        if self.error:
            outcome["error"] = self.error.message
        if text or not self.error:
            outcome["text"] = text
            outcome["citations"] = list(self._citations)
        if text and not self._complete:
            outcome["partial"] = True
        numbers: dict[str, Any] = {"latency_ms": self._latency_ms, "ttft_ms": self._ttft_ms}
        if "text" in outcome:
            numbers["response_length"] = len(text)
        if self._usage:
            numbers["usage"] = self._usage
        # from the time the prompt came, not from the clock: an answer never lies before its question
        t = self._t + _ms_since(self._arrived)
        self._record.end(self.turn_id, t, {**outcome, **numbers}, {"text": text, **outcome})

    def about(self) -> dict[str, Any]:
        """What every response says of the turn."""
        return {
            "turn_id": self.turn_id,
            "sessionId": self._body.sessionId,
            "model": self._model,
            "provider": self._group.provider,
            "tracked": self._record.tracked,
            "notice": self._record.notice,
        }

    def result(self) -> dict[str, Any]:
        """The whole answer, once it has ended well; else {"error"}."""
        if self.error:
            return {"error": str(self.error), **self.about()}
        answer = {"answer": "".join(self._pieces), "citations": list(self._citations)}
        return {**answer, "latency_ms": self._latency_ms, "ttft_ms": self._ttft_ms, **self.about()}


def context(system_prompt: str, turns: list[Document], prompt: str) -> Messages:
    """What the model is told: the system prompt, the chat's last turns as far as they fit, the prompt.

    Whole turns, at most 40 messages and 60,000 characters. A turn without an answer yet is left out; a failed one
    keeps its prompt, joined to the next (some models insist that roles alternate), unless that asks the same again.

    >>> failed = {"text": "Why?", "answer": {"error": "…"}}
    >>> context("", [failed], "Why?"), context("", [failed], "And how?")
    ([{'role': 'user', 'content': 'Why?'}], [{'role': 'user', 'content': 'Why?\\n\\nAnd how?'}])
    """
    asked = prompt
    messages: Messages = []
    size = 0
    for turn in reversed(turns):
        answer = turn.get("answer")
        if answer is None:
            continue
        text = "" if answer.get("error") else answer.get("text", "")
        size += len(turn["text"]) + len(text)
        if size > MAX_CHARACTERS or len(messages) + 2 > MAX_MESSAGES:
            break
        if text:
            messages = [*_pair(turn["text"], text), *messages]
        elif messages:
            messages[0]["content"] = _joined(turn["text"], messages[0]["content"])
        else:
            asked = _joined(turn["text"], asked)
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, *messages, {"role": "user", "content": asked}]


def _pair(prompt: str, answer: str) -> Messages:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _joined(failed: str, following: str) -> str:
    return following if following.startswith(failed) else f"{failed}\n\n{following}"


def _ms_since(start: float) -> int:
    return round((time.monotonic() - start) * 1000)
