"""What people expect of a command line: names nearly right, closed pipes, other code pages, silence for cron."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmtrack.version import __version__
from tests.cli.running import run


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("sesions", "sessions"), ("repaly", "replay"), ("engagment", "engagement")],
)
def test_a_command_that_is_nearly_right_is_named(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"llmtrack: No such command '{typed}'; there is {meant}. Try: llmtrack --help\n"
    assert run(capsys, typed) == (2, "", said)
    assert run(capsys, "xyzzy")[2] == "llmtrack: No such command 'xyzzy'. Try: llmtrack --help\n"


def test_help_and_version_are_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "help") == run(capsys, "--help")
    assert run(capsys, "help", "funnel") == run(capsys, "funnel", "--help")
    assert run(capsys, "version") == (0, f"llmtrack {__version__}\n", "")


@pytest.mark.parametrize(
    ("option", "typed", "named"),
    [
        ("--group", "deep70b", "deep-70b."),
        ("--group", "zzz", "base-7b, deep-70b, fast-3b."),
        ("--device", "mobil", "mobile"),
    ],
)
def test_names_that_are_there_are_listed(
    option: str, typed: str, named: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "sessions", "--source", source, option, typed)
    assert (code, out) == (0, "")
    assert f"There are: {named}" in err


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        f"{sys.executable} -m llmtrack {command}", shell=True, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">&-", b"llmtrack: Standard output is closed.\n"),
        ("> /dev/full", b"llmtrack: System: No space left on device.\n"),
    ],
)
def test_an_output_that_takes_nothing_is_one_line(where: str, said: bytes, source: str) -> None:
    ran = shell(f"sessions -q --source {source} {where}")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, b"", said)


def test_closed_remarks_lose_no_data(source: str) -> None:
    ran = shell(f"sessions --source {source} --format json 2>&-")
    assert (ran.returncode, bool(json.loads(ran.stdout)["sessions"])) == (0, True)


def test_what_leaves_is_utf8_whatever_the_code_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    event = {"t": 1_730_000_000_000, "type": "prompt", "data": {"text": "漢字 и ü"}}
    document = {"session_id": "s", "start_time": 1_730_000_000_000, "events": [event]}
    (tmp_path / "s.jsonl").write_text(json.dumps(document) + "\n")
    assert "漢字 и ü" in shell(f"replay s --source {tmp_path / 's.jsonl'}").stdout.decode()


def test_cron_hears_of_failures_alone(source: str, mongodb_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "import", source, "--to", mongodb_uri, "-q", "--dry-run") == (0, "", "")
    code, out, err = run(capsys, "health", "--source", source, "-q")
    assert (code, err) == (0, "")
    assert "passed" not in out
    assert out == "", "nothing failed"
