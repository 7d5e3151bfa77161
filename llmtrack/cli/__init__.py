"""The command line: which commands there are, and the one place where errors become exit codes."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from llmtrack.cli.drawing.text import line, safe
from llmtrack.cli.helping import WIDEST, Explained, checked_when_given
from llmtrack.errors import LlmtrackError
from llmtrack.version import __version__


class Entry(NamedTuple):
    """A command: where its function is ("module:function") and its line in `llmtrack --help`."""

    function: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {  # in the order of use
    "demo": Entry(
        "llmtrack.cli.commands.service.demo:demo", "Try everything now: sample sessions, a replay, the chat page."
    ),
    "serve": Entry("llmtrack.cli.commands.service.serve:serve", "Run the collector and the chat page."),
    "sessions": Entry("llmtrack.cli.commands.data.sessions:sessions", "List sessions, newest first."),
    "replay": Entry("llmtrack.cli.commands.data.replay:replay", "Play one session in the terminal."),
    "funnel": Entry(
        "llmtrack.cli.commands.reports.funnel:funnel", "Count how many sessions get how far, by model group."
    ),
    "engagement": Entry(
        "llmtrack.cli.commands.reports.engagement:engagement", "Compare model groups: what differs, and how surely."
    ),
    "queries": Entry("llmtrack.cli.commands.reports.queries:queries", "Rank prompts by how useful their answers were."),
    "dropoff": Entry(
        "llmtrack.cli.commands.reports.dropoff:dropoff", "Show where people stop: turns, reasons, idleness, latency."
    ),
    "chats": Entry("llmtrack.cli.commands.reports.chats:chats", "Measure how long chats are, by model group."),
    "health": Entry("llmtrack.cli.commands.reports.health:health", "Check whether an experiment can be trusted."),
    "export": Entry(
        "llmtrack.cli.commands.data.export:export", "Write sessions, events or turns as CSV, JSONL or Parquet."
    ),
    "import": Entry(
        "llmtrack.cli.commands.data.import_:import_", "Load session documents (JSONL, JSON, BSON) into the store."
    ),
    "archive": Entry(
        "llmtrack.cli.commands.data.archive:archive", "Move old sessions into Parquet files that stay readable."
    ),
    "restore": Entry("llmtrack.cli.commands.data.restore:restore", "Put archived sessions back into the database."),
    "forget": Entry("llmtrack.cli.commands.data.forget:forget", "Erase a user everywhere, with a receipt."),
    "spool": Entry(
        "llmtrack.cli.commands.data.spool:spool", "See what could never be stored; try it again or drop it."
    ),
    "doctor": Entry("llmtrack.cli.commands.service.doctor:doctor", "Check store, collector and tracking end to end."),
}


class _Lazy(TyperCommand):
    """A command whose module is imported when it is called, not when `llmtrack --help` lists it."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, short_help=entry.help, rich_markup_mode=None)
        self.function = entry.function

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        module, _, function = self.function.partition(":")
        loaded = _plain()
        loaded.command(self.name, cls=Explained)(getattr(import_module(module), function))
        return get_command(loaded).make_context(info_name, args, *rest, **extra)


class _Commands(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return [checked_when_given(param) for param in super().get_params(ctx)]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> _Lazy | None:
        return _Lazy(cmd_name, COMMANDS[cmd_name]) if cmd_name in COMMANDS else None


def _plain(add_completion: bool = False, **settings: Any) -> typer.Typer:
    # help drawn by rich takes 0.2 s to import: three times the start of everything else
    return typer.Typer(add_completion=add_completion, pretty_exceptions_enable=False, rich_markup_mode=None, **settings)


app = _plain(True, cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST})


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"llmtrack {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See how people really use an LLM chat: replay sessions, compare models.

    Commands read MONGODB_URI, or the embedded server when it is not set.

    Start here: llmtrack demo
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 done in part, 130 interrupted.

    Every failure is one line on stderr. A bug is one line, too; `python -X dev -m llmtrack …` shows its traceback.
    """
    _streams()
    try:
        code = app(args=_meant(arguments), prog_name="llmtrack", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):  # Abort: Ctrl-C or Ctrl-D at a question
        code = 130
    except BrokenPipeError:  # the reader (head, less) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the flush at exit complain
        code = 1  # as click has it
    except LlmtrackError as error:
        code = _failed(str(error), error.exit_code)
    except typer.TyperException as error:
        code = _failed(f"{_wrong(error)}. {_try(error)}", error.exit_code)
    except OSError as error:
        code = _failed(f"{error.filename or 'System'}: {error.strerror or error}.", 1)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        again = "That is a bug in llmtrack; `python -X dev -m llmtrack …` shows where."
        code = _failed(f"{type(error).__name__}: {line(error)}. {again}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _streams() -> None:
    """Terminals get the letters they have; what leaves for a file or a program is UTF-8, whatever the code page is."""
    if sys.stderr is None:  # closed: its remarks are for nobody
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process
    if sys.stdout is None:
        sys.exit(_failed("Standard output is closed.", 1))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _meant(arguments: Sequence[str] | None) -> list[str]:
    """`help`, `help COMMAND` and `version` are what other programs call so."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        return [*words[1:2], "--help"]
    return ["--version"] if words == ["version"] else words


def _failed(message: str, code: int) -> int:
    first, *more = safe(message).splitlines() or [""]
    typer.echo("\n  ".join([f"llmtrack: {first}", *more]), err=True)
    return code


def _wrong(error: typer.TyperException) -> str:
    """What is wrong with which value: pydantic checks the options, and does not name it."""
    words = error.format_message().replace("Value error, ", "").rstrip(".")
    if errors := getattr(error.__cause__, "errors", None):
        words = words.replace(": Input should be", f": {errors()[0]['input']!r} should be").partition(", unable to")[0]
    unknown = re.fullmatch(r"No such command '(.+)'", words)
    near = get_close_matches(unknown[1], COMMANDS, 1) if unknown else []
    return f"{words}; there is {near[0]}" if near else words


def _try(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"Try: {context.command_path if context else 'llmtrack'} --help"
