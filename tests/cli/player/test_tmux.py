"""The player in a real terminal: tmux draws what the program writes, and types."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.player.session import document


class Tmux:
    """A terminal of its own server, with a shell that keeps what the program leaves behind."""

    def __init__(self, folder: Path) -> None:
        self.tmux = [shutil.which("tmux") or "tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def __call__(self, *words: str) -> str:
        return subprocess.run([*self.tmux, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    def start(self, command: str, columns: int = 80) -> None:
        self("new-session", "-d", "-x", str(columns), "-y", "24", f"{command}; echo code $?; exec cat")

    def until(self, wanted: str | Callable[[str], bool], *how: str) -> str:
        """The screen, once it shows what is wanted."""
        shown, deadline = "", time.monotonic() + 60
        while time.monotonic() < deadline:
            shown = self("capture-pane", "-p", *how)
            if wanted in shown if isinstance(wanted, str) else wanted(shown):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{wanted!r} never came:\n{shown}")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    yield terminal
    terminal("kill-server")


@pytest.fixture
def replay(tmp_path: Path) -> str:
    """The command that plays two sessions."""
    lines = [json.dumps(document(name)) + "\n" for name in ("visit_1", "visit_2")]
    (tmp_path / "s.jsonl").write_text("".join(lines))
    return f"cd {shlex.quote(str(tmp_path))}; {shlex.quote(sys.executable)} -m llmtrack replay --source s.jsonl"


def test_it_is_steered_resized_and_left(tmux: Tmux, replay: str) -> None:
    tmux.start(f"{replay} visit_1 --idle-limit 1000")
    tmux.until("playing")
    tmux("send-keys", " ", "]", ".")
    tmux.until("event 3 of 11")
    tmux("resize-window", "-x", "60", "-y", "20")
    last = "paused  0:10.0 of 10:20.0  event 3 of 11"
    shown = tmux.until(lambda shown: shown.splitlines()[19:20] == [f"{last:44}? keys  q leaves"])
    assert "Flour, water & List<salt>." in shown
    tmux("send-keys", "q")
    left = tmux.until("code 0")
    assert "Left at 10.0 s. Go on: llmtrack replay visit_1 --from 10.0 --source s.jsonl" in left.replace("\n", "")
    assert "playing" not in left, "the screen is as it was before"


def test_without_colour_nothing_is_coloured_and_the_list_opens(tmux: Tmux, replay: str) -> None:
    tmux.start(f"export NO_COLOR=1; {replay}")
    tmux.until("2 of 2 sessions")
    tmux("send-keys", "visit_2")
    tmux.until("1 of 2 sessions")
    tmux("send-keys", "Enter")
    tmux.until("visit_2")
    tmux("send-keys", " ", "]", ".")
    shown = tmux.until("List<salt>", "-e")
    assert not [code for code in ("\x1b[3", "\x1b[9", "\x1b[4") if any(f"{code}{n}m" in shown for n in "12345678")], (
        shown
    )
    tmux("send-keys", "C-c")
    tmux.until("code 130")


def test_plain_is_not_spoiled_by_what_is_typed(tmux: Tmux, replay: str) -> None:
    tmux.start(f"{replay} visit_1 --plain --speed 2 --idle-limit 2")
    tmux.until("Ctrl-C ends")
    tmux("send-keys", "qqq", "Enter", "zzz")
    shown = tmux.until("code 0")
    assert "qqq" not in shown
    assert "zzz" not in shown
