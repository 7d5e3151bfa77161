"""What a person sees of an answer, and so can copy: markdown on one side, a browser's selection on the other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.interaction import Interaction
from llmtrack.session.cleaning.clean import one
from llmtrack.session.visible import Shown, visible

START = 1_790_000_000_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)

SEEN = {  # an answer, and what a browser gives for a selection of it
    "emphasis": ("A **round** *loaf*, ***very*** ~~old~~", "A round loaf, very old"),
    "a link": ("See [the notes](https://example.org/a?b=c) first", "See the notes first"),
    "an image": ("Look: ![a loaf](https://example.org/a.png)", "Look: a loaf"),
    "a heading": ("## Bread\n\nKeep it dry.", "Bread\n\nKeep it dry."),
    "a list": ("Check:\n\n- cut side down\n- no fridge", "Check:\n\ncut side down\nno fridge"),
    "a numbered list": ("1. Mix\n2. Bake", "Mix\nBake"),
    "a numbered list, with its numbers": ("1. [Mix](https://e.org) *it*\n2. Bake", "1. Mix it\n2. Bake"),
    "a quote": ("> Bread is life\n> and more", "Bread is life and more"),
    "a table, cell by cell": ("| day | loaf |\n|---|---|\n| 1 | rye |", "day\tloaf\n1\trye"),
    "inline code": ("Call `loaf.bake()` twice", "Call loaf.bake() twice"),
    "fenced code": ("Do:\n\n```python\nbake(loaf)\n```", "Do:\nbake(loaf)"),
    "a formula": ("So $E = mc^2$ holds", "So E=mc2 holds"),
    "a formula with commands": (r"So \(m = \theta V\) holds", "So m=θV holds"),
    "a formula of a line": ("So\n\n$$\n\\sqrt{b^2 - 4ac} \\neq \\lambda\n$$\n\nholds", "So\n√b2-4ac ≠ λ\nholds"),
    "a formula as KaTeX holds it": (r"So $m = \theta V$ **holds**", r"So m=θVm = \theta Vm=θV holds"),
    "prices": ("It costs **$5** to $6 a loaf", "It costs $5 to $6 a loaf"),
    "no formula after all": (r"So \(\frac{\) **holds**", r"So \frac{ holds"),
    "escapes": (r"2 \* 3 is \_six\_", "2 * 3 is _six_"),
    "entities": ("Bread &amp; butter &copy; us", "Bread & butter © us"),
    "line breaks": ("one\\\ntwo  \nthree", "one\ntwo\nthree"),
    "typographic quotes and dashes": ('He said "no" -- it\'s late', "He said “no” \u2013 it\u2019s late"),
    "a part of it": ("The **quick** brown [fox](x) jumps", "brown fox"),
    "as it was written": ("A **round** loaf", "A **round** loaf"),
    "an answer in another script": ("面包可以**保存**四天", "面包可以保存四天"),
}


@pytest.mark.parametrize(("answer", "copied"), SEEN.values(), ids=SEEN)
def test_a_copy_is_found_in_the_answer_it_was_taken_from(answer: str, copied: str) -> None:
    assert Shown(answer).holds(Shown(copied))
    assert Shown(answer).holds(Shown(copied[:500]))
    assert not Shown(answer).holds(Shown(f"{copied} and something else"))


@pytest.mark.parametrize("tex", ["{" * 5000, r"\frac" * 300, r"\begin{a}" * 200, r"\left(" * 500, "x_" * 2000, "\\"])
def test_no_formula_is_too_odd(tex: str) -> None:
    assert Shown(f"An odd one: $${tex}$$ and **more**").holds(Shown("and more"))


def test_a_short_text_is_found_by_its_words_alone() -> None:
    assert Shown("Is it so? No.").holds(Shown("No"))
    assert not Shown("I was **on** edge").holds(Shown("ned"))
    assert not Shown("anything").holds(Shown("???"))


WORDS = st.lists(st.sampled_from(["loaf", "rye", "four", "days", "dry", "oven"]), min_size=2, max_size=6).map(" ".join)
DRESS = st.sampled_from(["{}", "**{}**", "*{}*", "`{}`", "[{}](https://e.org)", "# {}", "- {}", "> {}", "1. {}"])


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, DRESS), min_size=1, max_size=5))
def test_dressed_as_markdown_a_text_is_still_seen(blocks: list[tuple[str, str]]) -> None:
    answer = "\n\n".join(dress.format(words) for words, dress in blocks)
    selection = "\n".join(words for words, _ in blocks)
    assert Shown(answer).holds(Shown(selection))
    assert visible(answer).split() == selection.split()


def told(*events: tuple[int, str, dict[str, str]]) -> list[tuple[int, bool]]:
    """Copies of each answer, and whether it was copied."""
    stored = [{"t": START + at * 1000, "type": kind, "data": data} for at, kind, data in events]
    turns = Interaction(one({"session_id": "s", "start_time": START, "events": stored}, NOW).cleaned).turns()
    return [*zip(turns["copies"].tolist(), turns["copied"].tolist(), strict=True)]


def test_a_copy_that_spans_two_answers_counts_for_both_and_one_of_the_prompt_for_none() -> None:
    first, second = "A **round loaf** keeps for four days.", "Rye keeps for a *whole* week."
    talk = (
        (1, "prompt", {"text": "How long does a loaf keep?"}), (2, "model_response", {"text": first}),
        (9, "prompt", {"text": "And how long does rye keep, please?"}), (10, "model_response", {"text": second}),
    )  # fmt: skip
    spanning = "loaf keeps for four days.\nAnd how long does rye keep, please?\nRye keeps for a whole"
    assert told(*talk, (20, "copy", {"selected_text": spanning})) == [(1, True), (1, True)]
    assert told(*talk, (20, "copy", {"selected_text": "for a whole week"})) == [(0, False), (1, True)]
    assert told(*talk, (20, "copy", {"selected_text": "how long does rye keep"})) == [(0, False), (0, False)]
