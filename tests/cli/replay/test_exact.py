"""What somebody asked and what a model answered is shown as it was written, whatever markup it looks like."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from llmtrack.analysis.interaction import timeline
from llmtrack.cli.drawing.formats import as_csv, as_json, as_markdown
from llmtrack.cli.drawing.text import safe
from llmtrack.cli.replay.plain import Screen, play
from llmtrack.cli.replay.sentences import tell
from llmtrack.cli.replay.show import COLUMNS
from llmtrack.session.cleaning.clean import one

T = 1_730_000_000_000


def shown(text: str, kind: str = "model_response") -> list[str]:
    """The lines of a prompt or an answer on a terminal of 80 columns, without bars, empty lines left out."""
    document = {"session_id": "s", "start_time": T, "events": [{"t": T, "type": kind, "data": {"text": text}}]}
    visit = one(document, datetime(2026, 1, 1, tzinfo=UTC))
    stream = io.StringIO()
    drawn = Console(file=stream, width=80, force_terminal=True, color_system=None, markup=False, emoji=False)
    moments = timeline.schedule(timeline.relative(visit))
    play(moments, tell(visit.events), Screen(drawn, 0.0), lambda: 0.0, lambda _: None)
    rows = [row.partition("│")[2][1:].rstrip() for row in stream.getvalue().splitlines() if "│" in row]
    return [row for row in rows if row.strip()]


KEPT = {
    "comparisons": "Keep 0<foo or foo>10, else stop.",
    "generics": "A List<String> is no Map<K, V>.",
    "details": "<details>\n<summary>More</summary>\ninside\n</details>",
    "XML": '<config version="1">\n<item/>\n</config>',
    "an unknown tag": "<think>\nI wonder\n</think>",
    "a comment": "before <!-- hidden --> after",
    "a poem": "Roses are red,\nviolets are blue.\nSugar is sweet.",
    "an image in place": "Look: ![a cat](https://example.org/cat.png) sleeps.",
    "an image with a title": '![a cat](https://example.org/cat.png "Tom") sleeps.',
    "formulas": r"With \(a*b*c\) and $$x_1 * y * z$$ it costs $5, or $6.",
    "a formula of several lines": "\\[\nx = \\frac{1}{2}\n\\]",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_an_answer_keeps_what_was_written(text: str) -> None:
    assert shown(text) == text.split("\n")


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_a_prompt_is_shown_letter_by_letter(text: str) -> None:
    assert shown(text, "prompt") == text.split("\n")


def test_markup_in_cells_lists_and_entities_is_text() -> None:
    rows = shown("| a | b |\n|---|---|\n| <T> | ![i](u) |\n\n- Set<int>\n\nan &lt;b&gt; and `<i>`")
    assert shown("[![badge](b.svg)](https://example.org)") == ["![badge](b.svg) (https://example.org)"]
    assert [row.split() for row in rows if "─" not in row] == [
        ["a", "b"], ["<T>", "![i](u)"], ["•", "Set<int>"], ["an", "<b>", "and", "<i>"],
    ]  # fmt: skip


def test_the_first_line_keeps_its_indentation() -> None:
    assert shown("\n  \n    def f():\n        pass\n\n", "prompt") == ["    def f():", "        pass"]


MISREAD = [
    "\u201cSo it\u2019s \u2018quoted\u2019\u201d, he said \u2014 twice\u2026",
    "naïve café: Ünïcödé",
    "Ответ: да, это так",
    "日本語の文章です。",
    "🎉 done",
]


@pytest.mark.parametrize("meant", MISREAD)
def test_utf8_read_as_latin1_loses_its_controls_alone(meant: str) -> None:
    text = meant.encode().decode("latin-1")
    left = "".join(letter for letter in text if not "\x80" <= letter <= "\x9f")
    assert safe(text) == left
    assert " ".join(shown(text, "prompt")) == left
    assert next(csv.reader(io.StringIO(as_csv([{"text": text}], ["text"]).partition("\r\n")[2]))) == [left]
    assert json.loads(as_json({"text": text})) == {"text": text}, "JSON keeps the controls too, escaped"


def test_a_transcript_in_markdown_keeps_lines() -> None:
    row: dict[str, Any] = {"at_s": 0, "type": "prompt", "sentence": "asked", "text": "one\ntwo <b>"}
    assert as_markdown([row], COLUMNS).splitlines()[2] == r"| 0:00.0 | prompt | asked | one<br>two \<b\> |"
