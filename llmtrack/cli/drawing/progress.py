"""How far a long command is: one line on a terminal's stderr, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(what: str, quiet: bool, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Tell what is given how many are done: a bar when there is a `total`, else their number and `what` they are."""
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    words = TextColumn("{task.description}", markup=False)
    number = TextColumn("{task.completed:,.0f} {task.description}", markup=False)
    columns: tuple[Any, ...] = (
        (SpinnerColumn(), number) if total is None else (words, BarColumn(), TaskProgressColumn())
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
