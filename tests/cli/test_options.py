"""Options that commands share: declared once, given as two objects, explained under two headings."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from llmtrack.cli import COMMANDS, Entry, main
from llmtrack.cli.options import Output, Scope, shared
from llmtrack.errors import UsageError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WHOLE_SCOPE = ("sessions", "replay", "funnel", "engagement", "queries", "dropoff", "chats", "health", "export")


@shared
def toy(scope: Scope, output: Output, often: int = 1) -> None:
    """Try it."""
    print(scope.group, scope.filters(NOW).since, output.quiet, output.kind.value, often)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "toy", Entry(f"{__name__}:toy", "For a test."))


def told(*words: str) -> str:
    text = io.StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code
    return text.getvalue()


def test_a_command_gets_two_objects(command: None) -> None:
    given = told("toy", "--group", "base", "--last", "24h", "-q", "--format", "csv", "--often", "3")
    assert given == "base 2026-11-21 12:00:00+00:00 True csv 3\n"
    assert told("toy") == "None None False table 1\n"


def sections(help: str) -> dict[str, str]:
    """The options of a help text by their heading."""
    found: dict[str, str] = {}
    heading = ""
    for row in help.splitlines():
        if row.endswith(":") and not row.startswith(" "):
            heading = row.removesuffix(":")
        found[heading] = found.get(heading, "") + row + "\n"
    return found


def named(field: str) -> str:
    """The option that gives a field its value."""
    return "--session" if field == "session_id" else f"--{field.replace('_', '-')}"


def test_shared_options_stand_under_headings_of_their_own(command: None) -> None:
    help = sections(told("toy", "--help"))
    assert "--often" in help["Options"]
    for kind, heading in ((Scope, "Which sessions"), (Output, "Output")):
        for option in fields(kind):
            assert [head for head, text in help.items() if f"{named(option.name)} " in text] == [heading]


@pytest.mark.parametrize("name", WHOLE_SCOPE)
def test_commands_about_sessions_take_the_whole_scope(name: str) -> None:
    which = sections(told(name, "--help"))["Which sessions"]
    assert [each.name for each in fields(Scope) if f"{named(each.name)} " not in which] == []


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("80", 80), ("100", 100), ("200", 100)])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_wide_as_the_terminal_up_to_100(
    name: str, columns: str, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    rows = told(name, "--help").splitlines()
    assert max(map(len, rows)) <= widest
    if len(rows) > 20:
        assert max(map(len, rows)) > widest - 20


def test_contradictions_are_refused() -> None:
    with pytest.raises(UsageError, match="since and last both"):
        Scope(since=NOW, last=timedelta(days=1)).filters(NOW)
    with pytest.raises(UsageError, match="until ends at"):
        Scope(since=NOW, until=NOW - timedelta(days=1)).filters(NOW)


def test_as_of_is_now() -> None:
    assert Scope(as_of=NOW).now == NOW
    assert abs(Scope().now - datetime.now(UTC)) < timedelta(minutes=1)
