"""What a model thought and what it said: tags that nothing opened, and answers that only speak of tags."""

from __future__ import annotations

import pytest

from llmtrack.turn.answer import Answer
from llmtrack.turn.chunk import Delta
from llmtrack.turn.thinking import Said

THOUGHT = {
    "on a line of its own": ("2 and 2.\n</think>\n\nIt is 4.", Said("2 and 2.", "It is 4.")),
    "another name, in capitals": ("2 and 2.\n</THINKING>\nIt is 4.", Said("2 and 2.", "It is 4.")),
    "lines of Windows": ("2 and 2.\r\n</think>\r\n\r\nIt is 4.", Said("2 and 2.", "It is 4.")),
    "nothing was thought": ("\n</think>\n\nIt is 4.", Said("", "It is 4.")),
    "nothing was said": ("2 and 2.\n</think>", Said("2 and 2.", "")),
    "code was thought": ("```\n2 + 2\n```\n</think>\nIt is 4.", Said("```\n2 + 2\n```", "It is 4.")),
    "the answer speaks of the tag": ("Hm.\n</think>\n\nIt ends with </think>.", Said("Hm.", "It ends with </think>.")),
}
TEXT = {
    "in code": "A model ends its thoughts with `</think>`.\n\nThen it speaks.",
    "in a block of code": "So:\n\n```\nHm.\n</think>\nIt is 4.\n```\n\nThat is all.",
    "in a block with tildes": "So:\n~~~xml\n</think>\n~~~\n",
    "in an indented block": "So:\n\n    </think>\n\nThat is all.",
    "in a sentence": "A model writes </think> and then speaks.",
    "at the end of a sentence": "A model ends its thoughts with </think>\n\nThen it speaks.",
    "both tags": "A model writes\n\n<think>\nHm.\n</think>\n\nand then speaks.",
    "the opening tag was named before": "After `<think>` comes\n</think>\nat last.",
    "no tag": "It is 4.",
}


def ended(answer: str, size: int) -> Answer:
    found = Answer("m", "p")
    for start in range(0, len(answer), size):
        found.add(Delta(text=answer[start : start + size]))
    found.done = True
    found.end(None)
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("case", THOUGHT)
def test_what_ends_with_a_tag_that_nothing_opened_was_thought(case: str, size: int) -> None:
    answer, wanted = THOUGHT[case]
    found = ended(answer, size)
    assert (found.thinking, found.text) == wanted
    numbers = found.numbers()
    assert numbers.get("thinking_length", 0) == len(wanted.thinking)
    assert numbers.get("response_length", 0) == len(wanted.text)
    assert "thinking_ms" not in numbers
    assert (numbers["ttft_ms"] is None) == (size < len(answer))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("case", TEXT)
def test_an_answer_that_speaks_of_tags_is_text(case: str, size: int) -> None:
    found = ended(TEXT[case], size)
    assert (found.thinking, found.text) == ("", TEXT[case])
    assert found.numbers()["ttft_ms"] is not None


def test_what_was_thought_under_another_name_keeps_its_text() -> None:
    found = Answer("m", "p")
    found.add(Delta(thinking="Hm."))
    found.add(Delta(text="A line:\n</think>\nThat was it."))
    found.end(None)
    assert (found.thinking, found.text) == ("Hm.", "A line:\n</think>\nThat was it.")
