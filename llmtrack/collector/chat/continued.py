"""Which turn of a session a call of /v1/chat/completions belongs to."""

from __future__ import annotations

from typing import Any, NamedTuple

from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.errors import LlmtrackError
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT
from llmtrack.turn.identity import Turns, new_turn_id
from llmtrack.turn.question import Question, prompt_data


class Part(NamedTuple):
    """The turn that a call is part of, and which attempt at answering it."""

    turn_id: str
    attempt: int


class Continued:
    """Knows the calls that passed this worker; what passed another is looked up in the session."""

    def __init__(self, store: PrivateStore) -> None:
        self._store = store
        self.turns = Turns()

    def part_of(self, session_id: str, chat: str, question: Question, *, named: str, retry: int) -> Part:
        """The turn that is `named`; else the one that goes on, or that an SDK asks again (`retry`); else a new one."""
        key = f"{session_id}\n{chat}"
        goes_on = question.again or question.text is None
        turn_id = named
        if not turn_id and (found := self.turns.find(key, question, again=retry > 0)):
            turn_id = found.turn_id
        if not turn_id and session_id and (goes_on or retry):
            turn_id = self._stored(session_id, chat, question)
        turn_id = turn_id or new_turn_id()
        return Part(turn_id, self.turns.begin(key, turn_id, question, attempt=retry + 1))

    def _stored(self, session_id: str, chat: str, question: Question) -> str:
        """The id of the last turn of the chat that called these tools, or asked the same; empty if none did."""
        try:
            document = self._store.find(session_id) or {}
        except LlmtrackError:
            return ""
        events = [(event["type"], event["data"]) for event in reversed(document.get("events", []))]
        results = set(question.results)
        text = prompt_data(question.text)["text"] if question.text is not None else None
        same = ""
        for kind, data in events:
            if not isinstance(data, dict) or data.get("chat_session_id") != chat:
                continue
            if kind == MODEL_RESPONSE and results & _ids(data):
                return str(data.get("turn_id") or "")
            if kind == PROMPT and data.get("text") == text and not same:
                same = str(data.get("turn_id") or "")
        return same


def _ids(data: dict[str, Any]) -> set[str]:
    ids = data.get("tool_call_ids")
    return {each for each in ids if isinstance(each, str)} if isinstance(ids, list) else set()
