"""One call of a model, of which both ends are recorded, however it goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

from llmtrack.collector.chat.budget import tokens_of
from llmtrack.collector.chat.record import Record
from llmtrack.collector.models.failures import FAILED, ModelError
from llmtrack.collector.models.reading import Piece
from llmtrack.config import Group
from llmtrack.turn.answer import Answer, ms_since
from llmtrack.turn.question import prompt_data
from llmtrack.turn.thinking import Said

log = logging.getLogger("llmtrack")


class Going:
    """The turns whose answers are on their way in this process."""

    def __init__(self) -> None:
        self._turns: set[Turn] = set()
        self._lock = threading.Lock()

    def add(self, turn: Turn) -> None:
        """It has begun."""
        with self._lock:
            self._turns.add(turn)

    def remove(self, turn: Turn) -> None:
        """It has ended."""
        with self._lock:
            self._turns.discard(turn)

    def cut(self) -> None:
        """End all of them with their next word; what was said is recorded."""
        with self._lock:
            for turn in self._turns:
                turn.stopped = True


turns_going = Going()


class Turn:
    """`error`: the model failed. `stopped`: whoever asked wanted no more of it."""

    def __init__(
        self, turn_id: str, chat_session_id: str, group: Group, record: Record, *, attempt: int = 1, anew: bool = False
    ) -> None:
        """`attempt` above 1: the turn is answered again; `anew`: because somebody wished another answer."""
        self.turn_id = turn_id
        self.answer = Answer(group.model, group.provider)
        self.error: ModelError | None = None
        self.stopped = False
        self._chat_session_id, self._record = chat_session_id, record
        self._again = {**({"attempt": attempt} if attempt > 1 else {}), **({"regenerated": True} if anew else {})}
        self._t = time.time_ns() // 1_000_000
        self._arrived = time.monotonic()
        self._outcome: dict[str, Any] = {}

    def ask(self, text: str, attachments: tuple[str, ...] = (), edits: str | None = None, **marks: Any) -> None:
        """Log the prompt, before the model is asked; of a turn that is answered again it is there already."""
        prompt = {"turn_id": self.turn_id, "t": self._t, **prompt_data(text, attachments), **marks}
        self._record.begin(prompt, edits)

    def hear(self, pieces: Generator[Piece]) -> Generator[tuple[Piece, Said]]:
        """Pass the model's pieces on, each with what is new in it.

        The answer is recorded, also when the generator is closed before its end or something fails that should not.
        """
        self.answer.ask()
        last: list[tuple[Piece, Said]] = []
        left = True
        turns_going.add(self)
        try:
            with closing(pieces):
                for piece in pieces:
                    if self.stopped:
                        return
                    self.answer.done = self.answer.done or piece.done
                    said = self.answer.add(piece.delta)
                    if piece.done:
                        last.append((piece, said))
                    else:
                        yield piece, said
            last.insert(0, (Piece(None), self.answer.close()))
            left = False
        except ModelError as error:
            self.error = error
        except Exception as error:
            log.exception("unexpected error in turn %s", self.turn_id)
            self.error = ModelError(FAILED, f"Something went wrong in the collector ({type(error).__name__}).")
        finally:
            turns_going.remove(self)
            self._end(left=left and self.error is None and self.answer.finish_reason is None)
        yield from last  # whoever has heard the end finds it recorded

    def _end(self, *, left: bool) -> None:
        outcome = self.answer.end(self.error.message if self.error else None, left=left)
        if "error" in outcome and self.error is None:  # it ended well, and said nothing
            self.error = ModelError(FAILED, outcome["error"], "Try again.", told=True)
        if self.stopped:
            outcome["stopped"] = True
        self._outcome = {**outcome, **self._again}
        # from the time the prompt came, not from the clock: an answer never lies before its question
        t = self._t + ms_since(self._arrived)
        thought: dict[str, Any] = {"thinking": self.answer.thinking} if self.answer.thinking else {}
        if thought and self.answer.thinking_ms is not None:
            thought["thinking_ms"] = self.answer.thinking_ms
        saved = {"text": self.answer.text, **outcome, **thought}
        self._record.end(self.turn_id, t, {**self._outcome, **self.answer.numbers()}, saved)

    def tokens(self, characters: int) -> int:
        """What it cost, of so many characters asked; a model that failed before its first word costs nothing."""
        text, usage = self.answer.text + self.answer.thinking, self.answer.usage
        return tokens_of(usage, characters + len(text)) if text or usage else 0

    def about(self) -> dict[str, Any]:
        """What every response says of the turn."""
        return {
            "turn_id": self.turn_id,
            "sessionId": self._chat_session_id,
            "model": self.answer.model,
            "provider": self.answer.provider,
            "tracked": self._record.tracked,
            "notice": self._record.notice,
        }

    def result(self) -> dict[str, Any]:
        """The whole answer and how it ended; {"error"} when it failed, beside what was said until then."""
        answer: dict[str, Any] = {"answer": self.answer.text, "citations": list(self.answer.citations)}
        if self.error:
            answer = {"error": str(self.error), **(answer if self.answer.text else {})}
        else:
            answer |= {"latency_ms": self.answer.latency_ms, "ttft_ms": self.answer.ttft_ms}
        marks = ("finish_reason", "partial", "refusal", "stopped", "attempt")
        answer |= {name: self._outcome[name] for name in marks if name in self._outcome}
        numbers = self.answer.numbers()
        answer |= {name: numbers[name] for name in ("thinking_length", "thinking_ms") if name in numbers}
        return {**answer, **self.about()}
