"""`llmtrack sessions` by what happened: texts, events, prompts, exits and thumbs; each sort shows what it sorts by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtrack.cli.drawing.listing import fitting
from llmtrack.cli.listed import Sort
from tests.cli.commands.reports.reading import as_jsonl, run

T = 1_760_000_000_000


def event(second: float, type: str, **data: Any) -> dict[str, Any]:
    return {"t": T + second * 1000, "type": type, "data": data}


def turn(second: float, prompt: str, answer: str, latency_ms: int = 1000) -> list[dict[str, Any]]:
    asked = event(second, "prompt", text=prompt)
    return [asked, event(second + 2, "model_response", text=answer, latency_ms=latency_ms)]


def visit(session_id: str, place: int, *events: dict[str, Any]) -> dict[str, Any]:
    start = T + place * 3_600_000
    moved = [{**each, "t": each["t"] + place * 3_600_000} for each in events]
    return {"session_id": session_id, "user_id": session_id, "start_time": start, "end_time": start + 90_000,
            "environment": {"device": "desktop"}, "events": moved}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> str:
    return as_jsonl(
        tmp_path / "s.jsonl",
        [
            visit("copied", 0, *turn(1, "What is a tensor?", "An array."), event(8, "copy", selected_text="An array.")),
            visit(
                "talked", 1, *turn(1, "Hello", "Hi"), *turn(9, "A Tensor is?", "x", 5000), *turn(20, "Bye", "So long")
            ),
            visit("disliked", 2, *turn(1, "Explain", "A tensor has axes."), event(9, "feedback", rating="down")),
            visit("liked", 3, *turn(1, "Thanks", "Welcome"), event(9, "feedback", rating="up")),
            visit("empty", 4, event(2, "click", target="tensor")),
        ],
    )


def ids(source: str, *words: str) -> list[str]:
    ran = run("sessions", "--source", source, "--format", "json", *words)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["matched"] >= len(found["sessions"])
    return [row["session_id"] for row in found["sessions"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--text", "(?i)tensor"], ["disliked", "talked", "copied"]),
        (["--text", "tensor"], ["disliked", "copied"]),
        (["--text", "^A"], ["disliked", "talked", "copied"]),
        (["--event", "copy"], ["copied"]),
        (["--event", "copy|feedback"], ["liked", "disliked", "copied"]),
        (["--event", "model_response[latency_ms>3000]"], ["talked"]),
        (["--event", 'prompt[text~"(?i)hello|bye"]', "--event", "model_response[latency_ms<2000]"], ["talked"]),
        (["--event", "click[target=tensor]"], ["empty"]),
        (["--event", "visit"], ["empty", "liked", "disliked", "talked", "copied"]),
        (["--min-prompts", "2"], ["talked"]),
        (["--rating", "down"], ["disliked"]),
        (["--rating", "up"], ["liked"]),
        (["--exit", "after_copy"], ["copied"]),
        (["--exit", "no_prompt"], ["empty"]),
        (["--text", "(?i)tensor", "--min-prompts", "2"], ["talked"]),
        (["--text", "nowhere"], []),
        (["--reverse"], ["copied", "talked", "disliked", "liked", "empty"]),
        (["--reverse", "--limit", "2"], ["copied", "talked"]),
        (["--sort", "prompts", "--limit", "1"], ["talked"]),
        (["--sort", "prompts", "--reverse", "--limit", "1"], ["empty"]),
    ],
)
def test_chosen_by_what_happened(source: str, words: list[str], expected: list[str]) -> None:
    assert ids(source, *words) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "("], "The regular expression '(' has a fault"),
        (["--exit", "bored"], "'bored' is no exit. Choose one of open, "),
        (["--rating", "sideways"], "Choose one of up, down."),
        (["--event", "copy["], "a data field is expected"),
        (["--follow", "--text", "a"], "Leave what filters by events away."),
    ],
)
def test_what_is_none_is_refused(source: str, words: list[str], said: str) -> None:
    ran = run("sessions", "--source", source, *words)
    assert (ran.code, ran.out, said in ran.err) == (2, "", True)


def test_that_nothing_fits_is_said(source: str) -> None:
    assert "In none of 5 sessions that happened." in run("sessions", "--source", source, "--text", "nowhere").err


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_each_sort_shows_its_column(sort: Sort, width: int, source: str) -> None:
    rows = json.loads(run("sessions", "--source", source, "--format", "json").out)["sessions"]
    from datetime import datetime

    whole = [{**row, "id": row["session_id"], "start_time": datetime.fromisoformat(row["start_time"])} for row in rows]
    keys = [column.key for column in fitting(whole, width, sort.column)]
    assert (sort.column if sort is not Sort.start else "start_time") in keys
