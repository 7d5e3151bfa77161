"""One question and its answer: what the model is told, what it says, and what is recorded of both."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

from llmtrack.collector.chat.budget import tokens_of
from llmtrack.collector.chat.record import Record
from llmtrack.collector.ingest.bodies import QueryBody
from llmtrack.collector.models.client import Messages, Model
from llmtrack.collector.models.failures import ModelError
from llmtrack.config import Group
from llmtrack.store.database.sessions import Document
from llmtrack.turn.answer import Answer, ms_since
from llmtrack.turn.chunk import Delta

MAX_MESSAGES = 40  # of the chat's earlier turns, as context
MAX_CHARACTERS = 60_000

Piece = TypeVar("Piece")


class Turn:
    """One call of a group's model of which both ends are recorded, however it goes. `error`: the model failed."""

    def __init__(self, chat_session_id: str, group: Group, record: Record) -> None:
        self.turn_id = secrets.token_hex(8)
        self.error: ModelError | None = None
        self._chat_session_id, self._record = chat_session_id, record
        self._t = time.time_ns() // 1_000_000
        self._arrived = time.monotonic()
        self._answer = Answer(group.model, group.provider)
        self._complete = False

    def ask(self, text: str, *, regenerated: bool = False, instead_of: str | None = None) -> None:
        """Log the prompt: before the model is asked."""
        prompt = {"turn_id": self.turn_id, "t": self._t, "text": text}
        self._record.begin(prompt, regenerated=regenerated, instead_of=instead_of)

    def hear(self, pieces: Generator[Piece], read: Callable[[Piece], Delta]) -> Generator[Piece]:
        """Pass the model's pieces on. The answer is recorded, also when the generator is closed before its end."""
        self._answer.ask()
        try:
            with closing(pieces):
                for piece in pieces:
                    self._answer.add(read(piece))
                    yield piece
            self._complete = True
        except ModelError as error:
            self.error = error
        finally:
            outcome = self._answer.end(self.error.message if self.error else None, complete=self._complete)
            response = {**outcome, **self._answer.numbers()}
            # from the time the prompt came, not from the clock: an answer never lies before its question
            t = self._t + ms_since(self._arrived)
            self._record.end(self.turn_id, t, response, {"text": self._answer.text, **outcome})

    def tokens(self, asked: Messages) -> int:
        """What it cost; a model that failed before its first word costs nothing."""
        text, usage = self._answer.text, self._answer.usage
        return tokens_of(usage, sum(len(each["content"]) for each in asked) + len(text)) if text or usage else 0

    def about(self) -> dict[str, Any]:
        """What every response says of the turn."""
        return {
            "turn_id": self.turn_id,
            "sessionId": self._chat_session_id,
            "model": self._answer.model,
            "provider": self._answer.provider,
            "tracked": self._record.tracked,
            "notice": self._record.notice,
        }

    def result(self) -> dict[str, Any]:
        """The whole answer, once it has ended well; else {"error"}."""
        if self.error:
            return {"error": str(self.error), **self.about()}
        answer = {"answer": self._answer.text, "citations": list(self._answer.citations)}
        return {**answer, "latency_ms": self._answer.latency_ms, "ttft_ms": self._answer.ttft_ms, **self.about()}


def answer(
    turn: Turn, body: QueryBody, group: Group, record: Record, client: Model, spend: Callable[[int], None]
) -> Generator[str]:
    """The text of the answer to a /query as it comes, in the light of the chat's earlier turns.

    `spend` is told how many tokens it cost, however it ends.
    """
    earlier, instead_of = record.turns(), None
    if body.regenerate:
        same = [index for index, before in enumerate(earlier) if before["text"] == body.query]
        if same:
            instead_of = earlier[same[-1]]["turn_id"]
            earlier = earlier[: same[-1]]
    turn.ask(body.query, regenerated=body.regenerate, instead_of=instead_of)
    messages = context(group.system_prompt, earlier, body.query)
    try:
        with closing(turn.hear(client.stream(group, messages), lambda delta: delta)) as deltas:
            for delta in deltas:
                if delta.text:
                    yield delta.text
    finally:
        if cost := turn.tokens(messages):
            spend(cost)


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
