"""What a model is told of a chat: the system prompt, the last turns as far as they fit, the prompt."""

from __future__ import annotations

from typing import NamedTuple

from llmtrack.collector.models.client import Messages
from llmtrack.store.database.driver import Document

MAX_MESSAGES = 40  # of the chat's earlier turns
MAX_CHARACTERS = 60_000
LEFT_OUT = "…"  # in the place of what is


class Context(NamedTuple):
    """`left_out_characters`: how much of the earlier turns found no room."""

    messages: Messages
    left_out_characters: int = 0


def context(system_prompt: str, turns: list[Document], prompt: str) -> Context:
    """At most 40 messages and 60,000 characters of earlier turns; the one that is too long loses its oldest part.

    A turn without an answer yet is left out; a failed one keeps its prompt, joined to the next (some models insist that
    roles alternate), unless that asks the same again.

    >>> failed = {"text": "Why?", "answer": {"error": "…"}}
    >>> context("", [failed], "Why?").messages, context("", [failed], "And how?").messages
    ([{'role': 'user', 'content': 'Why?'}], [{'role': 'user', 'content': 'Why?\\n\\nAnd how?'}])
    """
    asked, room, left_out = prompt, MAX_CHARACTERS, 0
    messages: Messages = []
    for turn in reversed(turns):
        answer = turn.get("answer")
        if answer is None:
            continue
        said = "" if answer.get("error") else answer.get("text", "")
        whole = len(turn["text"]) + len(said)
        if len(messages) + 2 > MAX_MESSAGES or room <= 0:
            left_out += whole
            continue
        question, said = _newest(turn["text"], said, room)
        left_out += max(whole - room, 0)
        room -= whole
        if said:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": said}, *messages]
        elif messages:
            messages[0]["content"] = _joined(question, messages[0]["content"])
        else:
            asked = _joined(question, asked)
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return Context([*system, *messages, {"role": "user", "content": asked}], left_out)


def _newest(question: str, answer: str, room: int) -> tuple[str, str]:
    """The newest part of a turn that fits: the beginning of its question goes first."""
    if len(question) + len(answer) <= room:
        return question, answer
    if len(answer) >= room:
        return LEFT_OUT, LEFT_OUT + answer[len(answer) - room :]
    return LEFT_OUT + question[len(question) + len(answer) - room :], answer


def _joined(failed: str, following: str) -> str:
    return following if following.startswith(failed) else f"{failed}\n\n{following}"
