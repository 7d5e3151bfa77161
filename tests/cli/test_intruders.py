"""What people typed and browsers claimed, shown in a terminal: it never commands the terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmtrack.cli import main
from tests.cli.commands.reports.reading import as_jsonl

# clears the screen, sets the title, links, colours (7 bit and 8 bit), turns the text round, rings, goes back a line
ATTACK = "\x1b[2J\x1b]0;owned\x07\x1b]8;;https://evil.example\x1b\\\x9b31m\u202e\x07\x08\r\x1bc"
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
T = 1_763_000_000_000


def hostile(number: int) -> dict[str, Any]:
    def text(word: str) -> str:
        return f"{word}{ATTACK} {word}"

    turn = {"turn_id": text("turn"), "chat_session_id": text("chat")}
    cited = [{"title": text("title"), "url": text("https://")}]
    events = [
        ("prompt", {"text": text("question"), **turn}),
        (
            "model_response",
            {"text": text("answer"), "model": text("m"), "provider": text("p"), "latency_ms": 5, **turn},
        ),
        ("selection", {"selected_text": text("answer"), "page_url": text("url"), **turn}),
        ("copy", {"selected_text": text("answer"), "page_url": text("url"), **turn}),
        ("click", {"target": text("A"), "x": 1, "y": 1, "page_url": text("url")}),
        ("new_chat", {"chat_session_id": text("next")}),
        ("prompt", {"text": text("second question"), **turn}),
        ("model_response", {"error": text("error"), "model": text("m"), "citations": cited, **turn}),
        (text("own"), {text("key"): text("value")}),
        ("activity", {"activity_state": text("idle")}),
    ]
    return {
        "session_id": f"user_{number}_{ATTACK}_x",
        "user_id": text(f"user {number}"),
        "model_group": text(f"group {number % 2}"),
        "experiment_id": text("experiment"),
        "start_time": datetime.fromtimestamp(T / 1000, UTC),
        "end_time": datetime.fromtimestamp(T / 1000 + 60, UTC),
        "ended_by": text("page"),
        "environment": {name: text(name) for name in ("device", "browser", "os", "language", "referrer")},
        "events": [{"n": n, "t": T + n * 1000, "type": kind, "data": data} for n, (kind, data) in enumerate(events, 1)],
    }


COMMANDS = {
    "sessions": ["sessions", "--sort", "copies"],
    "replay": ["replay", "user_1_", "--instant"],
    "queries": ["queries"],
    "chats": ["chats"],
    "funnel": ["funnel"],
    "funnel by browser": ["funnel", "--by", "browser"],
    "engagement": ["engagement"],
    "dropoff": ["dropoff"],
    "health": ["health"],
}


@pytest.mark.parametrize("form", ["table", "json", "markdown"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_text_commands_a_terminal(capsys: pytest.CaptureFixture[str], command: str, form: str) -> None:
    as_jsonl(Path("visits.jsonl"), [hostile(number) for number in range(4)])
    if command == "replay" and form == "markdown":
        form = "json"
    with pytest.raises(SystemExit) as exited:
        main([*COMMANDS[command], "--source", "visits.jsonl", "--format", form])
    out, err = capsys.readouterr()
    assert exited.value.code in (None, 0, 3), err
    assert len(out) > 100
    assert BAD.findall(out + err) == []
