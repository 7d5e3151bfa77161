"""`llmtrack replay`: as a process on a pipe and on a terminal, and its drawing by a clock that does not wait."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from llmtrack.analysis.interaction import timeline
from llmtrack.cli import main
from llmtrack.cli.drawing.text import safe
from llmtrack.cli.replay.facts import facts, numbers
from llmtrack.cli.replay.plain import Screen, play
from llmtrack.cli.replay.sentences import tell
from llmtrack.session.cleaning.clean import one
from llmtrack.store.database.sessions import Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
T = 1_730_000_000_000

SEED = {
    "session_id": "user_abc_1730000000000_xyz",
    "user_id": "abc-123-def-456",
    "model_group": "gpt-4o-mini",
    "start_time": "2024-10-27T10:00:00Z",
    "end_time": "2024-10-27T10:15:30Z",
    "environment": {
        "device": "desktop",
        "browser": "Chrome",
        "os": "macOS",
        "viewport": {"width": 1920, "height": 1080},
    },
    "events": [
        {"t": T, "type": "activity", "data": {"activity_state": "active"}},
        {"t": T + 2_000, "type": "scroll", "data": {"scrollY": 200, "direction": "down"}},
        {"t": T + 10_000, "type": "prompt", "data": {"text": "What is machine learning?"}},
        {
            "t": T + 12_500,
            "type": "model_response",
            "data": {"text": "Machine learning is...", "model": "gpt-4o-mini", "latency_ms": 2500},
        },
        {"t": T + 15_000, "type": "selection", "data": {"selected_text": "supervised learning"}},
        {"t": T + 16_000, "type": "copy", "data": {"selected_text": "supervised learning"}},
    ],
}

SEED_TOLD = """\
 session  user_abc_1730000000000_xyz
    user  abc-123-def-456
   group  gpt-4o-mini
  models  gpt-4o-mini
  device  desktop, Chrome on macOS, 1920 by 1080 px
    when  Sun 27 Oct 2024, 10:00:00 to 10:15:30 UTC
  length  15.5 min
  events  6: 1 prompt, 1 answer, 1 copy, 1 selection, 1 scroll, 1 activity change
repaired  the clock of its events disagreed with its start: all were shifted to begin there

  0:00.0  arrived
  0:02.0  scrolled down to 200 px
          ⋯ paused 8 s

  0:10.0  asked  4 words
          │ What is machine learning?
          ⋯ waited 2.5 s
  0:12.5  gpt-4o-mini answered  in 2.5 s, 3 words
          │ Machine learning is...
          ⋯ read 2.5 s
  0:15.0  selected “supervised learning”
  0:16.0  copied “supervised learning”
          ⋯ away 15.2 min
 15:30.0  the session ended after copying or selecting something
          active 13.5 s, of it reading 3.5 s, waiting 2.5 s, the rest 15.2 min
"""

ATTACK = "\x1b[2J\x1b]8;;https://evil.example\x07\x9b31m\u202e\x00\r"
ANSWER = """\
# Supervised learning

It **learns** from `labelled` examples:

```python
model.fit(X, y)
```

1. first, see [the docs](https://example.org/)
2. second

| a | b |
|---|---|
| 1 | 2 |

&#x202e;&#27;[2J"""


def document(*events: tuple[float, str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
    told = [{"t": T + round(at_s * 1000), "type": kind, "data": data} for at_s, kind, data in events]
    return {"session_id": "visit_1", "user_id": "u", "model_group": "m", "start_time": T, "events": told, **fields}


RICH = document(
    (0, "activity", {"activity_state": "active"}),
    (3, "scroll", {"scrollY": 120, "direction": "down", "page_height": 2000, "view_height": 880, "user": False}),
    (9, "prompt", {"text": "What is it?\n\nIn two lines.", "chat_session_id": "c1", "turn_id": "t1"}),
    (
        15,
        "model_response",
        {
            "text": ANSWER,
            "model": "deep-70b",
            "latency_ms": 6000,
            "citations": [{"url": "x"}],
            "chat_session_id": "c1",
            "turn_id": "t1",
        },
    ),
    (33, "selection", {"selected_text": "It learns from labelled examples", "turn_id": "t1"}),
    (33.5, "copy", {"selected_text": "very long " * 60, "turn_id": "t1"}),
    (34, "copy", {"selected_text": "What is it? In two lines."}),
    (34.5, "copy", {"selected_text": ANSWER, "button": True, "turn_id": "t1"}),
    (35, "feedback", {"rating": "up", "turn_id": "t1"}),
    (65, "activity", {"activity_state": "idle"}),
    (305, "activity", {"activity_state": "active"}),
    (306, "checkout_started", {"plan": "pro", "items": [1, {"a": None}]}),
    (307, "selection", {"selected_text": "", "masked": True, "selected_length": 123}),
    (308, "new_chat", {"chat_session_id": "c2"}),
    (320, "prompt", {"text": "And now?", "chat_session_id": "c2"}),
    (323, "model_response", {"error": "The model's server answered 503.", "model": "deep-70b", "latency_ms": 3000}),
    (324, "prompt", {"text": "And now?", "chat_session_id": "c2", "regenerated": True}),
    (326, "click", {"target": "BUTTON", "x": 10, "y": 20}),
    end_time=T + 330_000,
    ended_by="page",
    experiment_id="production_v1",
)


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    """Writes documents to a file and gives its name."""

    def write(*documents: dict[str, Any]) -> str:
        path = tmp_path / "sessions.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in documents))
        return str(path)

    return write


def replay(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmtrack", "replay", *words]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, without a process."""
    with pytest.raises(SystemExit) as ended:
        main(["replay", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


def _with_ctrl_c() -> None:
    """Ctrl-C reaches the process, also where whoever runs the tests ignores it, as a shell's background jobs do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A process on a terminal of 24 rows and so many columns."""

    def __init__(self, *words: str, columns: int = 80) -> None:
        here, there = pty.openpty()
        ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmtrack", "replay", *words],
            stdin=there,
            stdout=there,
            stderr=there,
            env={**env, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=_with_ctrl_c,
        )
        os.close(there)
        self.here = here
        self.text = ""

    def read(self, until: str = "\0", seconds: float = 60) -> str:
        """What it has written, up to `until` or its end."""
        deadline = time.monotonic() + seconds
        while until not in self.text and time.monotonic() < deadline:
            if select.select([self.here], [], [], 0.2)[0]:
                try:
                    data = os.read(self.here, 65536)
                except OSError:  # that is how a terminal ends
                    break
                if not data:
                    break
                self.text += data.decode(errors="replace")
        return self.text

    def press(self, key: bytes) -> None:
        os.write(self.here, key)

    def end(self) -> int:
        """Its exit code."""
        try:
            self.read()
            return self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
            os.close(self.here)


# As a process


def test_a_file_of_another_writer_replays_as_it_is(jsonl: Callable[..., str]) -> None:
    found = replay("last", "--source", jsonl(SEED))
    assert (found.returncode, found.stdout, found.stderr) == (0, SEED_TOLD, "")


def test_the_same_from_mongodb(store: Store, mongodb_uri: str) -> None:
    store.sessions.insert_many([dict(SEED)])
    found = replay("user_abc", MONGODB_URI=mongodb_uri)
    assert (found.returncode, found.stdout, found.stderr) == (0, SEED_TOLD, "")


def test_a_terminal_gets_colour_and_rendered_markdown(jsonl: Callable[..., str]) -> None:
    terminal = Terminal("visit_1", "--source", jsonl(RICH), "--instant")
    assert terminal.end() == 0
    assert "\x1b[1;36masked" in terminal.text
    assert "**learns**" not in terminal.text
    assert "Ctrl-C" not in terminal.text
    assert all(len(safe(row).rstrip()) <= 80 for row in terminal.text.splitlines())


def test_a_terminal_plays_and_ctrl_c_ends_it_with_a_footer(jsonl: Callable[..., str]) -> None:
    terminal = Terminal("last", "--source", jsonl(SEED), "--plain", "--idle-limit", "30")
    terminal.read(until="Ctrl-C ends")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert "stopped; go on with --from" in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l"), "the cursor is back"


def test_speed_and_idle_limit_shorten_a_play(jsonl: Callable[..., str]) -> None:
    terminal = Terminal("last", "--source", jsonl(SEED), "--plain", "--speed", "100", "--idle-limit", "1")
    assert terminal.end() == 0
    assert "of 15:30.0  100x  Ctrl-C ends" in terminal.text
    assert "the session ended after copying or selecting something" in terminal.text


# Which one


@pytest.mark.parametrize("wanted", ["user_abc_1730000000000_xyz", "user_a", "last"])
def test_an_id_a_prefix_and_last_find_it(
    wanted: str, jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, wanted, "--source", jsonl(SEED, RICH))[:2] == (0, SEED_TOLD)


def test_last_is_the_newest_of_those_asked_for(jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    newer = document(session_id="visit_2", user_id="v", start_time=T + 1000)
    assert "visit_2" in told(capsys, "last", "--source", jsonl(newer, RICH))[1]
    assert "visit_1" in told(capsys, "last", "--source", jsonl(newer, RICH), "--user", "u")[1]
    code, out, err = told(capsys, "last", "--source", jsonl(newer, RICH), "--user", "nobody")
    assert (code, out) == (1, "")
    assert "nobody" in err


def test_an_id_that_another_one_starts_with_is_found(
    jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    longer = document(session_id="visit_12")
    assert "visit_1\n" in told(capsys, "visit_1", "--source", jsonl(longer, RICH))[1]


def test_an_ambiguous_prefix_lists_the_candidates(
    jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    several = [document(session_id=f"visit_{number:02}", start_time=T + number * 60_000) for number in range(20)]
    code, out, err = told(capsys, "visit", "--source", jsonl(*several))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        'llmtrack: Several sessions start with "visit". Give more of the id:',
        *(f"  visit_{number} 2024-10-27 03:{33 + number}" for number in range(19, 11, -1)),
        "  …",
    ]


def test_an_unknown_id_says_what_to_try(jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    message = 'llmtrack: No session starts with "user_x". Try: llmtrack sessions --last 7d\n'
    assert told(capsys, "user_x", "--source", jsonl(SEED)) == (1, "", message)


def test_what_could_not_be_read_is_named_when_nothing_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jsonl").write_text('{"session_id": "visit_1", \n')
    code, _, err = told(capsys, "visit_1", "--source", str(tmp_path / "broken.jsonl"))
    assert code == 1
    assert "broken.jsonl can be read: line 1" in err


# Which part


@pytest.mark.parametrize(
    ("options", "types"),
    [
        (["--from", "12.5"], ["model_response", "selection", "copy"]),
        (["--from", "0:12.5", "--to", "selection"], ["model_response", "selection"]),
        (["--to", "prompt"], ["activity", "scroll", "prompt"]),
        (["--from", "#2", "--to", "#3"], ["scroll", "prompt"]),
        (["--only", "prompt,model_response"], ["prompt", "model_response"]),
        (["--only", "copy", "--from", "15s"], ["copy"]),
        (["--from", "1h"], []),
    ],
)
def test_a_part_of_a_visit(
    options: list[str], types: list[str], jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = told(capsys, "last", "--source", jsonl(SEED), "--format", "json", *options)
    assert [event["type"] for event in json.loads(out)["events"]] == types
    code, out, err = told(capsys, "last", "--source", jsonl(SEED), *options)
    assert code == 0
    assert f"{len(types)} of 6 events shown" in out
    assert ("the session ended" in out) == ("--to" not in options)
    assert ("Nothing of its 6 events" in err) == (not types)


def test_a_type_that_is_not_there_is_remarked(jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "last", "--source", jsonl(SEED), "--only", "prompt,bogus")[2] == "This session has no bogus.\n"
    assert told(capsys, "last", "--source", jsonl(SEED), "--only", "prompt,bogus", "--quiet")[2] == ""
    code, _, err = told(capsys, "last", "--source", jsonl(SEED), "--from", "bogus")
    assert (code, err.partition("this session.")[0]) == (1, "llmtrack: No event 'bogus' in ")


# What it says


def test_json_is_one_object_with_stable_keys(jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    shuffled = {**SEED, "events": SEED["events"][::-1]}  # type: ignore[index]
    found = json.loads(told(capsys, "last", "--source", jsonl(shuffled), "--format", "json")[1])
    assert list(found) == ["session", "events"]
    session = found["session"]
    assert (session["start_time"], session["end_time"]) == ("2024-10-27T10:00:00Z", "2024-10-27T10:15:30Z")
    assert session["repaired"]["clock_shifted"] == 1
    assert [list(event) for event in found["events"]] == [["t", "at_s", "type", "data"]] * 6
    assert [event["at_s"] for event in found["events"]] == [0, 2, 10, 12.5, 15, 16]
    assert found["events"][0]["t"] == 1_730_023_200_000


def test_csv_and_markdown_are_transcripts(jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    table = told(capsys, "last", "--source", jsonl(SEED), "--format", "csv")[1]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[2] == {"at_s": "10.0", "type": "prompt", "sentence": "asked", "text": "What is machine learning?"}
    text = told(capsys, "last", "--source", jsonl(SEED), "--format", "markdown")[1]
    assert "| 0:10.0 | prompt | asked | What is machine learning? |" in text


def test_a_replay_goes_to_a_file(tmp_path: Path, jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "last", "--source", jsonl(SEED), "--out", str(tmp_path / "visit.txt")) == (0, "", "")
    assert (tmp_path / "visit.txt").read_text() == SEED_TOLD


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "no events": (document(), "without having asked anything"),
    "an unknown type": (document((1, "checkout", {"plan": "pro", "n": 2})), "checkout: plan = pro, n = 2"),
    "an unknown type without data": (document((1, "ping", {})), "0:01.0  ping\n"),
    "data that is none": (document((1, "copy", None)), "copied text\n"),  # type: ignore[arg-type]
    "a text that is a number": (document((1, "copy", {"selected_text": 5})), "copied text\n"),
    "a prompt without text": (document((1, "prompt", {})), "asked (no text recorded)\n"),
    "an answer without text": (document((1, "model_response", {})), "the model answered (no text recorded)\n"),
    "an error that is an object": (
        document((1, "model_response", {"error": {"code": 500}, "latency_ms": -1})),
        "the model failed\n          │ {",
    ),
    "citations that are a text": (document((1, "model_response", {"text": "a", "citations": "b"})), "answered  1 word"),
    "a scroll without numbers": (document((1, "scroll", {"scrollY": "x", "direction": 3})), "scrolled\n"),
    "a scroll to nowhere": (document((1, "scroll", {"scrollY": 5, "page_height": 0})), "scrolled to 5 px\n"),
    "a click without a place": (document((1, "click", {"target": 7, "x": None})), "clicked\n"),
    "an answer that was seen": (
        document((9, "view", {"turn_id": "a", "visible_ms": 7250, "seen_share": 0.67})),
        "an answer was on the screen for 7.3 s, 67% of it seen\n",
    ),
    "an answer that nobody saw": (
        document((9, "view", {"turn_id": "a", "visible_ms": 0, "seen_share": 0})),
        "an answer stayed off the screen\n",
    ),
    "a view of an application": (document((9, "view", {"page": "prices"})), "view: page = prices\n"),
    "an odd activity": (document((1, "activity", {"activity_state": ["?"]})), 'activity: activity_state = ["?"]'),
    "a rating of stars": (document((1, "feedback", {"rating": 5})), "feedback: rating = 5"),
    "no environment": (document(environment=None), "session  visit_1"),
    "an odd environment": (document(environment={"device": 5, "viewport": [1]}), "session  visit_1"),
    "a float and a text for a time": (
        {**document(), "events": [{"t": T + 0.5, "type": "click"}, {"t": "2024-10-27T03:33:21Z", "type": "copy"}]},
        "0:00.0  clicked\n  0:01.0  copied",
    ),
    "events that are none": (
        {**document((1, "click", {})), "events": [None, 5, {"type": "click"}, {"t": T, "type": "copy"}]},
        "left out  2 events that are no objects\nleft out  1 event without t\n",
    ),
    "an answer that broke off": (
        document((2, "model_response", {"text": "So far", "error": "It broke off.", "partial": True})),
        "failed in the middle of its answer  2 words\n          │ So far\n          │\n          │ It broke off.\n",
    ),
    "an answer that was stopped": (
        document((2, "model_response", {"text": "So far", "partial": True})),
        "the model answered in part  2 words\n          │ So far\n",
    ),
    "ended by the server": (
        document((1, "click", {}), end_time=T + 2000, ended_by="timeout"),
        "fell silent, and was ended by the server, without having asked anything",
    ),
}


@pytest.mark.parametrize(("odd", "sentence"), ODD.values(), ids=ODD)
def test_any_document_replays(
    odd: dict[str, Any], sentence: str, jsonl: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(capsys, "visit_1", "-q", "--source", jsonl(odd))
    assert (code, err) == (0, "")
    assert sentence in out


def test_nothing_in_a_visit_commands_the_terminal(jsonl: Callable[..., str]) -> None:
    texts = ("text", "selected_text", "error", "model", "target", "direction", "rating", "chat_session_id")
    kinds = ("prompt", "model_response", "copy", "selection", "click", "scroll", "feedback", "activity", "new_chat")
    events = [(k, kind, {**dict.fromkeys(texts, f"a{ATTACK}b"), ATTACK: [ATTACK]}) for k, kind in enumerate(kinds)]
    answer = (20, "model_response", {"text": ANSWER + ATTACK})
    hostile = document(*events, answer, (21, f"type{ATTACK}", {}), user_id=f"u{ATTACK}", model_group=ATTACK)
    hostile["environment"] = {"device": ATTACK, "browser": ATTACK, "os": ATTACK}
    source = jsonl(hostile)
    piped = replay("visit_1", "--source", source)
    assert (piped.returncode, piped.stderr) == (0, "")
    assert safe(piped.stdout) == piped.stdout
    for format in ("json", "csv", "markdown"):
        found = replay("visit_1", "--source", source, "--format", format).stdout.replace("\r\n", "\n")
        assert safe(found) == found
    terminal = Terminal("visit_1", "--source", source, "--instant")
    assert terminal.end() == 0
    assert not [attack for attack in ("\x1b[2J", "\x1b]", "\x9b", "\u202e", "\x00") if attack in terminal.text]


SENTENCES = {
    1: "the page scrolled down to 120 px, 50% of the page seen",
    4: "selected “It learns from labelled examples” in the answer",
    6: "copied “What is it? In two lines.” from the prompt",
    8: "rated the answer good (thumb up)",
    9: "went idle: 30 s without a sign of life",
    10: "came back",
    11: 'checkout_started: plan = pro, items = [1, {"a": null}]',
    12: "selected masked text, 123 characters",
    13: "started a new chat",
    14: "asked",
    15: "deep-70b failed",
    16: "asked for another answer",
    17: "clicked <button> at 10, 20",
}


@pytest.mark.parametrize(("number", "sentence"), SENTENCES.items(), ids=SENTENCES.values())
def test_an_event_is_a_sentence(number: int, sentence: str) -> None:
    assert tell(one(RICH, NOW).events)[number].text == sentence


def test_a_long_selection_is_cut_and_a_long_answer_is_not() -> None:
    sentences = tell(one(RICH, NOW).events)
    assert sentences[5].text.endswith("very long…” (599 characters) from the answer")
    assert sentences[7].text == "copied the whole answer with its button (31 words)"
    long = "word " * 20_000
    events = [{"t": T, "at_s": 0.0, "type": "prompt", "data": {"text": long}}]
    assert tell(events)[0].body == long.strip()


def test_a_copy_from_an_earlier_answer_says_so() -> None:
    said = [
        (1, "model_response", {"text": "first\n words"}),
        (2, "model_response", {"text": "second"}),
        (3, "copy", {"selected_text": "first words"}),
        (4, "copy", {"selected_text": "nowhere"}),
    ]
    sentences = tell(one(document(*said), NOW).events)
    assert [each.text for each in sentences[2:]] == ["copied “first words” from an earlier answer", "copied “nowhere”"]


def test_another_chat_is_told() -> None:
    said = [(at, "prompt", {"text": "a", "chat_session_id": chat}) for at, chat in ((1, "c1"), (2, "c2"), (3, "c2"))]
    sentences = tell(one(document(*said), NOW).events)
    assert [each.text for each in sentences] == ["asked", "asked in another chat", "asked"]


# How it looks and when


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def drawn(columns: int, **settings: Any) -> str:
    """RICH as a terminal of so many columns shows it at once."""
    visit = one(RICH, NOW)
    stream = io.StringIO()
    screen = Screen(Console(file=stream, width=columns, markup=False, highlight=False, emoji=False, **settings), 330.0)
    clock = Clock()
    moments = timeline.cap_idle(timeline.relative(visit), 0)
    play(timeline.schedule(moments), tell(visit.events), screen, clock.time, clock.sleep)
    assert clock.slept == []
    return "".join(f"{row.rstrip()}\n" for row in stream.getvalue().splitlines())


@pytest.mark.parametrize("columns", [80, 120])
def test_it_looks_as_it_should(columns: int, snapshot: SnapshotAssertion) -> None:
    shown = drawn(columns, force_terminal=True, color_system=None)
    assert max(map(len, shown.splitlines())) <= columns
    assert shown == snapshot


def test_a_narrow_terminal_loses_nothing() -> None:
    shown = " ".join(drawn(40, force_terminal=True, color_system=None).replace("│", " ").split())
    for word in ("labelled", "https://example.org/", "checkout_started", "another"):
        assert word in shown


def test_every_event_is_drawn_when_it_is_due() -> None:
    visit = one(SEED, NOW)
    clock = Clock()
    due: list[tuple[str, float]] = []

    class Recorder(Screen):
        def moment(self, moment: Any, sentence: Any) -> None:
            due.append((moment.event["type"], round(clock.now - 100, 3)))

    moments = timeline.speed(timeline.cap_idle(timeline.relative(visit), 2), 2)
    screen = Recorder(Console(file=io.StringIO()), 930.0)
    play(timeline.schedule(moments), tell(visit.events), screen, clock.time, clock.sleep)
    expected = [("activity", 0.0), ("scroll", 1.0), ("prompt", 2.0), ("model_response", 3.0)]
    assert due == [*expected, ("selection", 4.0), ("copy", 4.5)]
    assert max(clock.slept) <= 0.1


def test_the_position_runs_evenly_through_a_shortened_wait() -> None:
    visit = one(SEED, NOW)
    clock, seen = Clock(), []

    class Recorder(Screen):
        def position(self, at_s: float) -> None:
            seen.append(round(at_s, 2))

    moments = timeline.cap_idle(timeline.select(timeline.relative(visit), 2, 10), 0.4)
    screen = Recorder(Console(file=io.StringIO()), 930.0)
    play(timeline.schedule(moments), tell(visit.events), screen, clock.time, clock.sleep)
    assert list(dict.fromkeys(seen)) == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("error", {"error_code": "500", "text": "No model."}, ("the model failed", "No model.")),
        ("error", {"error_code": "500"}, ("the model failed", "500")),
        (
            "click",
            {"target": "A", "text": "Notes", "target_url": "https://example.org"},
            "clicked “Notes” to https://example.org",
        ),
        ("key", {"target": "Enter"}, "pressed Enter"),
        ("feedback", {"rating": "neutral"}, "rated the answer neither good nor bad (neutral)"),
    ],
)
def test_events_of_other_writers_read_as_sentences(
    kind: str, data: dict[str, Any], said: str | tuple[str, str]
) -> None:
    (sentence,) = tell([{"t": T, "at_s": 0.0, "type": kind, "data": data}])
    assert (sentence.text, sentence.body) == (said if isinstance(said, tuple) else (said, ""))


def test_a_copy_that_spans_two_answers_names_both() -> None:
    texts = ("Bread is baked from dough.", "Dough is flour and water.")
    events = [{"t": T, "at_s": 0.0, "type": "model_response", "data": {"text": text}} for text in texts]
    copy = {"t": T, "at_s": 1.0, "type": "copy", "data": {"selected_text": "baked from dough. Dough is flour"}}
    *_, last = tell([*events, copy])
    assert last.text == "copied “baked from dough. Dough is flour” from the answer and the one before it"


def test_the_head_names_experiment_group_models_and_a_moved_clock() -> None:
    answers = [("owl", 0), ("elk", 20), ("owl", 40)]
    events = [
        {"t": T + (at + wait) * 1000 + 4 * 3_600_000, "type": kind, "data": {"text": "So.", "model": model}}
        for model, at in answers
        for wait, kind in ((1, "prompt"), (3, "model_response"))
    ]
    clicks = [{"t": T + at * 1000 + 900, "type": "click", "data": {}} for _, at in answers]
    visit = one({**SEED, "start_time": T, "end_time": None, "experiment_id": "e", "events": [*events, *clicks]}, NOW)
    head = dict(facts(visit, numbers(visit), NOW))
    assert (head["group"], head["experiment"]) == ("gpt-4o-mini", "e")
    assert head["models"] == "owl (2 answers), elk (1 answer)"
    told = [value for label, value in facts(visit, numbers(visit), NOW) if label == "repaired"]
    assert "one writer's clock was 4 h ahead: its events are moved" in told
