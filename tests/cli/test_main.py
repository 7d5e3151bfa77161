"""The frame of the command line: commands, errors and exit codes."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import llmtrack
from llmtrack import cli
from llmtrack.cli import COMMANDS, Entry, main
from llmtrack.errors import LlmtrackError, UsageError

HEAVY = ("pandas", "numpy", "flask", "pymongo", "pydantic", "openai", "pyarrow")

FAILURES: dict[str, tuple[Callable[[], BaseException], int, str]] = {
    "an error of ours is one line and 1": (
        lambda: LlmtrackError('No session starts with "x".', "Try: llmtrack sessions"),
        1,
        'llmtrack: No session starts with "x". Try: llmtrack sessions\n',
    ),
    "wrong usage is 2": (lambda: UsageError("Not so."), 2, "llmtrack: Not so.\n"),
    "a list stands below its line": (lambda: LlmtrackError("Several:\na\nb"), 1, "llmtrack: Several:\n  a\n  b\n"),
    "control characters stay out": (lambda: LlmtrackError("No \x1b[31m\u202euser."), 1, "llmtrack: No user.\n"),
    "a file that fails is named": (
        lambda: FileNotFoundError(2, "No such file or directory", "a.jsonl"),
        1,
        "llmtrack: a.jsonl: No such file or directory.\n",
    ),
    "a bug is one line, too": (
        lambda: ValueError("odd\nthing"),
        1,
        "llmtrack: ValueError: odd thing. That is a bug in llmtrack; `python -X dev -m llmtrack …` shows where.\n",
    ),
    "Ctrl-C is 130 and silent": (KeyboardInterrupt, 130, ""),
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Makes a function the command `test`."""

    def register(function: Callable[[], None]) -> None:
        monkeypatch.setattr(sys.modules[__name__], "invoked", function, raising=False)
        monkeypatch.setitem(sys.modules, "invoked_module", sys.modules[__name__])
        monkeypatch.setitem(COMMANDS, "test", Entry("invoked_module:invoked", "For a test."))

    return register


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def python(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **settings)


def test_help_lists_the_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    told = capsys.readouterr().out
    listed = told.partition("Commands:\n")[2].splitlines()
    assert [row.split()[0] for row in listed if row.startswith("  ") and row[2] != " "] == list(COMMANDS)
    for entry in COMMANDS.values():
        assert entry.help in told


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert capsys.readouterr().out.startswith("Usage: llmtrack")


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys, llmtrack.cli as c\ntry: c.main(['--help'])\nfinally: print(set({HEAVY}) & set(sys.modules))"
    told = python("-c", script)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: llmtrack {name}")
    assert f"Example: llmtrack {name}" in told or name in ("demo", "doctor")
    module, _, function = COMMANDS[name].function.partition(":")
    explained = getattr(import_module(module), function).__doc__ or ""
    assert explained.strip(), "a command says what it does"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"llmtrack {llmtrack.__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bogus"], "llmtrack: No such command 'bogus'. Try: llmtrack --help\n"),
        (["replay"], "llmtrack: Which session? Here is no terminal to choose one. Try: llmtrack replay last\n"),
        (["replay", "x", "--bogus"], "llmtrack: No such option: --bogus"),
        (
            ["replay", "x", "--speed", "0"],
            "llmtrack: Invalid value for '--speed': '0' should be greater than or equal to ",
        ),
        (
            ["demo", "--port", "eighty"],
            "llmtrack: Invalid value for '--port': 'eighty' should be a valid integer. Try: ",
        ),
        (["sessions", "--last", "soon"], "llmtrack: Invalid value for '--last': 'soon' is not a length of time: "),
        (["sessions", "--since", "1.5.26"], "llmtrack: Invalid value for '--since': '1.5.26' is not a date: "),
    ],
)
def test_wrong_usage_is_one_line_and_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(told)
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(("error", "code", "told"), FAILURES.values(), ids=FAILURES)
def test_failures(
    error: Callable[[], BaseException],
    code: int,
    told: str,
    command: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error()

    command(fail)
    assert run("test") == code
    assert capsys.readouterr() == ("", told)


def test_a_reader_that_has_had_enough_meets_silence() -> None:
    script = (
        "import sys, llmtrack.cli as c\n"
        "def spam():\n"
        "    for _ in range(100000): sys.stdout.write('x' * 100 + '\\n')\n"
        "sys.modules['spam'] = sys.modules['__main__']\n"
        "c.COMMANDS['spam'] = c.Entry('spam:spam', 'For a test.')\n"
        "c.main(['spam'])\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout
    assert writer.stderr
    writer.stdout.read(10)
    writer.stdout.close()
    told = writer.stderr.read()
    writer.stderr.close()
    assert (writer.wait(timeout=60), told) == (1, b"")


def test_developers_see_where_a_bug_is() -> None:
    script = "import sys, llmtrack.cli as c\nc.COMMANDS['test'] = c.Entry('nowhere:x', '')\nc.main(['test'])"
    assert "Traceback" not in python("-c", script).stderr
    assert "Traceback" in python("-X", "dev", "-c", script).stderr


def test_a_terminal_of_another_alphabet_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setitem(COMMANDS, "test", Entry("builtins:print", "漢字"))
    assert run("--help") == 0
    assert b"test" in narrow.buffer.getvalue()  # type: ignore[attr-defined]


def test_the_frame_knows_its_own_exit_codes() -> None:
    assert cli.main.__doc__
    assert "130 interrupted" in cli.main.__doc__
