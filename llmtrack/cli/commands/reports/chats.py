"""`llmtrack chats`: how long chats are."""

from __future__ import annotations

from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import By, Control, Output, Scope, shared
from llmtrack.cli.reading import grouping, reading


@shared
def chats(scope: Scope, output: Output, by: By = None, control: Control = None) -> None:
    """Measure how long chats are by model group: turns, messages, duration, words, over all sessions of a chat.

    Chats that were active in the last 30 minutes may go on: they are left out and counted. docs/reports.md says how
    each number is made.

    Example: llmtrack chats --last 30d --control base-7b
    """
    from llmtrack.analysis.chats.report import Chats
    from llmtrack.cli.drawing.reports.chats import DRAWING

    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        show("chats", sessions, sessions.run(Chats(by=by, control=control)), output, DRAWING, by=by)
