"""A replay as a file: a page of its own, a recording for asciinema, and both without anybody's words."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from asciinema.asciicast import open_from_url

from llmtrack.cli import main
from llmtrack.cli.drawing.text import safe
from llmtrack.cli.replay.web import rendered

T = 1_730_000_000_000
ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\u202e\"'&"
SECRET = "Zebrafish"


def document() -> dict[str, Any]:
    said = [
        (0, "activity", {"activity_state": "active"}),
        (4, "prompt", {"text": f"{SECRET} {ATTACK}", "chat_session_id": SECRET, "turn_id": SECRET}),
        (9, "model_response", {"text": f"{SECRET} **bold** {ATTACK}\n\n![i](http://x.example/i.png)", "model": "m"}),
        (10, "copy", {"selected_text": SECRET, "page_url": f"https://{SECRET}", "name": SECRET}),
        (11, "navigation", {"page_url": f"https://x/{SECRET}"}),
        (12, "click", {"target": "A", "x": 1, "y": 2, "name": SECRET}),
        (13, "prompt", {"text": "Second"}),
        (14, "model_response", {"error": f"{SECRET} failed", "model": "m"}),
        (15, "own", {"what": SECRET, "n": 5, "deep": {"x": SECRET}}),
        (16, "feedback", {"rating": "down", "comment": SECRET}),
    ]
    events = [{"t": T + at * 1000, "type": kind, "data": data} for at, kind, data in said]
    return {
        "session_id": f"visit_{SECRET}", "user_id": SECRET, "model_group": "m", "start_time": T, "events": events,
        "end_time": T + 20_000, "ended_by": "page",
    }  # fmt: skip


def made(name: str, *options: str) -> str:
    Path("s.jsonl").write_text(json.dumps(document()) + "\n")
    with pytest.raises(SystemExit) as ended:
        main(["replay", "last", "--source", "s.jsonl", "--out", name, "--force", *options])
    assert not ended.value.code
    return Path(name).read_text(encoding="utf-8")


class Tags(HTMLParser):
    """The tags of a page, and what they load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_holds_every_text_and_runs_none() -> None:
    text = made("v.html")
    page = Tags(text)
    assert page.tags.count("script") == 1
    assert not {"img", "iframe", "link", "object", "svg"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "onerror", "onclick", "srcset")]
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert "![i](http://x.example/i.png)" in text
    assert "<strong>bold</strong>" in text
    assert safe(text) == text
    assert "default-src 'none'" in text
    assert re.findall(r'data-due="([\d.]+)"', text)[:3] == ["0.000", "2.000", "4.000"], "waits are shortened"


def test_links_of_answers_lead_nowhere_by_themselves() -> None:
    assert rendered("[x](https://a.example)") == (
        '<p><a rel="noopener noreferrer" href="https://a.example">x</a></p>\n'
    )
    assert "<a" not in rendered("[x](javascript:alert(1))")


def test_the_recording_is_read_by_asciinema() -> None:
    made("v.cast")
    with open_from_url("v.cast") as recording:
        events = list(recording.events())
    assert (recording.version, [at for at, *_ in events] == sorted(at for at, *_ in events)) == (2, True)
    drawn = "".join(data for _, kind, data in events if kind == "o")
    assert "Second" in drawn
    assert "closed the page" in drawn
    assert "\x1b[2J" not in drawn
    marked = [(at, data) for at, kind, data in events if kind == "m"]
    assert [(at, data[:9]) for at, data in marked] == [(2, SECRET), (8, "Second")]


def test_the_newer_form_counts_from_event_to_event() -> None:
    old = [json.loads(row) for row in made("v.cast").splitlines()]
    new = [json.loads(row) for row in made("w.cast", "--format", "cast3").splitlines()]
    assert (new[0]["version"], new[0]["term"]) == (3, {"cols": 100, "rows": 30, "type": "xterm-256color"})
    assert [row[1:] for row in new[1:]] == [row[1:] for row in old[1:]]
    at = 0.0
    for (passed, *_), (when, *_) in zip(new[1:], old[1:], strict=True):
        at += passed
        assert abs(at - when) < 0.01


@pytest.mark.parametrize("name", ["v.html", "v.cast"])
def test_redacted_nobody_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACK_REDACT_KEY", "0123456789abcdef0123")
    text = made(name, "--redact")
    assert SECRET not in text
    assert "alert(1)" not in text
    assert "characters)" in text, "how long texts were"
    assert re.search(r"session_[0-9a-f]{16}", text)
    assert "rated the answer bad" in text


@pytest.mark.parametrize("name", ["v.html", "v.cast"])
def test_a_part_is_a_part(name: str) -> None:
    text = made(name, "--from", "prompt#2", "--to", "14")
    assert "Second" in text
    assert "arrived" not in text
    assert "closed the page" not in text


def test_only_replays_are_recordings_and_redacting_needs_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    made("v.html")
    for words, said in (
        (["sessions", "--format", "cast"], "Only a replay can be a cast."),
        (["replay", "last", "--redact"], "--redact is for --format html and cast."),
        (["replay", "last", "--redact", "--format", "html"], "LLMTRACK_REDACT_KEY is not set."),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--source", "s.jsonl"])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
