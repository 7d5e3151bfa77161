"""The terminal: its width, its colours, notes beside the data."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from llmtrack.cli.drawing.text import safe
from llmtrack.errors import LlmtrackError

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10  # sessions or files named on stderr; JSON names all
PIPED_WIDTH = 10_000  # columns: what reads a pipe wants whole cells


def note(text: str, quiet: bool = False) -> None:
    """A remark beside the data: one line on stderr."""
    if not quiet:
        print(safe(text), file=sys.stderr)


def on_a_terminal() -> bool:
    """Whether somebody sits at a terminal that can be drawn on, and nothing is piped."""
    return os.environ.get("TERM") != "dumb" and all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))


@contextmanager
def unheard() -> Iterator[None]:
    """While it lasts, keys are neither shown nor kept for the shell; Ctrl-C works."""
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except Exception:  # Windows, which shows no keys here; no terminal; a test
        yield
        return
    after = [*before]
    after[3] &= ~termios.ECHO
    termios.tcsetattr(keyboard, termios.TCSADRAIN, after)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


def console(stream: io.StringIO | None = None) -> Console:
    """A rich console on stdout, or on `stream` for a file; without markup, guesses and links in people's texts.

    Off a terminal it is wide enough never to break a line, unless COLUMNS says how wide to be. NO_COLOR and TERM are
    rich's to honour.
    """
    from rich.console import Console

    settings: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}
    if stream is not None:
        return Console(file=stream, width=PIPED_WIDTH, force_terminal=False, color_system=None, **settings)
    screen = Console(**settings)
    if not screen.is_terminal:
        screen.width = shutil.get_terminal_size((PIPED_WIDTH, 0)).columns  # COLUMNS, when it is set
    return screen


def asked(question: str, yes: bool) -> None:
    """Ask on a terminal, unless `yes`. Raises LlmtrackError when the answer is no."""
    if not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        raise LlmtrackError("Nothing was changed.")
