"""Which turn a call belongs to: a new one, one that goes on after its tools, or one that is asked again."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from llmtrack.turn.answer import Answer
from llmtrack.turn.question import Question

MAX_CHATS = 5_000
MAX_TURNS = 50  # of one chat


def new_turn_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


@dataclass
class Turn:
    """What is remembered of a turn: what was said before it and in it, whatever later calls may name, how it went."""

    turn_id: str
    said: str
    calls: set[str] = field(default_factory=set)
    responses: set[str] = field(default_factory=set)
    attempts: int = 0
    failed: bool = False


class Turns:
    """The latest turns of each chat, as far as this process took part in them. Safe to share between threads."""

    def __init__(self, max_chats: int = MAX_CHATS) -> None:
        self._chats: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._max_chats = max_chats
        self._lock = threading.Lock()

    def find(self, chat: str, question: Question, *, again: bool = False, previous: str = "") -> Turn | None:
        """The turn that a call goes on with, or asks again; None for a new one.

        A call that brings results of tools is found by the ids of the calls, else by what was said before it, else by
        the response that it names as the one before (`previous`). The same words after a failure, or from a library
        that says it asks `again`, are the same question.
        """
        with self._lock:
            turns = list(reversed(self._chats.get(chat, ())))
        named = [turn for turn in turns if previous and previous in turn.responses]
        same = [turn for turn in turns if turn.said and turn.said == question.said]
        if question.again or question.text is None:
            results = set(question.results)
            known = [turn for turn in (*same, *named, *turns) if turn.calls & results]
            return next(iter([*known, *named, *same]), None)
        return next((turn for turn in same if again or turn.failed), None)

    def get(self, chat: str, turn_id: str) -> Turn | None:
        """The turn of this id."""
        with self._lock:
            return next((turn for turn in self._chats.get(chat, ()) if turn.turn_id == turn_id), None)

    def begin(self, chat: str, turn_id: str, question: Question, *, attempt: int = 0) -> int:
        """Remember that a model is asked. Returns which attempt it is: 1 for the first, the same for later steps."""
        turn = self.get(chat, turn_id)
        with self._lock:
            if turn is None:
                turn = Turn(turn_id, question.said)
                turns = self._chats.setdefault(chat, deque(maxlen=MAX_TURNS))
                turns.append(turn)
                self._chats.move_to_end(chat)
                while len(self._chats) > self._max_chats:
                    self._chats.popitem(last=False)
            going_on = question.again or question.text is None
            turn.attempts = max(turn.attempts + (not going_on or not turn.attempts), attempt)
            turn.failed = False
            return turn.attempts

    def end(self, chat: str, turn_id: str, answer: Answer, *, failed: bool) -> None:
        """Remember how the model answered."""
        turn = self.get(chat, turn_id)
        if turn is not None:
            with self._lock:
                turn.failed = failed
                turn.calls |= set(answer.tools.ids)
                turn.responses |= {answer.response_id} if answer.response_id else set()
