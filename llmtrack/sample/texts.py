"""The questions and answers of the sample sessions, as they stand in texts.md."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Turn(NamedTuple):
    """A question, its answer (markdown), and passages of the answer that a reader might copy."""

    question: str
    answer: str
    passages: tuple[str, ...]


@cache
def topics() -> tuple[tuple[Turn, ...], ...]:
    """The turns by topic. In the file `# ` opens a topic and `## ` a question; its answer follows."""
    text = files("llmtrack.sample").joinpath("texts.md").read_text(encoding="utf-8")
    found = []
    for topic in re.split(r"^# .*\n", text, flags=re.M)[1:]:
        turns = [block.split("\n", 1) for block in re.split(r"^## ", topic, flags=re.M)[1:]]
        found.append(tuple(Turn(question, answer.strip(), passages(answer)) for question, answer in turns))
    return tuple(found)


def passages(answer: str) -> tuple[str, ...]:
    """What a reader would mark in the rendered answer: whole code blocks, and sentences without markup.

    >>> passages("Use **this** one. It works on every machine.\\n\\n```\\nls -l\\n```")
    ('ls -l', 'It works on every machine.')
    """
    code = [block.strip() for block in re.findall(r"```\w*\n(.*?)```", answer, flags=re.S)]
    prose = re.sub(r"```.*?```", "\n", answer, flags=re.S)
    lines = [re.sub(r"^(- |\d+\. |> )", "", line) for line in prose.splitlines()]
    sentences = [sentence.strip() for line in lines for sentence in re.split(r"(?<=[.!?:]) ", line)]
    return (*code, *(sentence for sentence in sentences if len(sentence) >= 20 and not re.search(r"[*`|_]", sentence)))
