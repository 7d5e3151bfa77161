"""Sessions written by hand, for the tests of the smaller reports: an event is (seconds, type, data)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from llmtrack.sample import plan
from llmtrack.sample import visits as sample
from llmtrack.session.cleaning.clean import Cleaned, clean
from llmtrack.session.cleaning.columns import Columns

NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
START_MS = 1_793_000_000_000  # three weeks before
WEIGHTS = {plan.EXPERIMENT: {group.name: 1.0 for group in plan.GROUPS}}

Document = dict[str, Any]


def visit(
    session_id: str,
    *events: tuple[float, str, dict[str, Any]],
    user: str | None = None,
    group: str = "a",
    start_s: float = 0,
    end_s: float | None = 600,
) -> Document:
    """A session that starts `start_s` after START_MS; its events and its end count from there."""
    start = START_MS + start_s * 1000
    return {
        "session_id": session_id,
        "user_id": user or f"of {session_id}",
        "model_group": group,
        "experiment_id": "e",
        "start_time": start,
        "end_time": None if end_s is None else start + end_s * 1000,
        "events": [{"t": start + at * 1000, "type": kind, "data": data} for at, kind, data in events],
    }


def turn(at: float, prompt: str = "Why?", answer: str = "Because it is so.", **data: Any) -> list[Any]:
    """A prompt and, two seconds later, its answer."""
    chat = {"chat_session_id": data.pop("chat", "c")}
    return [(at, "prompt", {"text": prompt, **chat}), (at + 2, "model_response", {"text": answer, **chat, **data})]


def cleaned(documents: Iterable[Document], fields: Iterable[str], now: datetime = NOW) -> Cleaned:
    columns = Columns(fields)
    for document in documents:
        columns.add(document)
    return clean(columns.batch(), now)


@cache
def samples() -> tuple[Document, ...]:
    """The demo's sessions."""
    return tuple(sample.sessions(now=NOW))


def in_batches(documents: Iterable[Document], fields: Iterable[str], size: int = 100) -> Iterable[Cleaned]:
    """The same sessions in batches, and the other way round: no number hangs on that."""
    backwards = list(documents)[::-1]
    return [cleaned(backwards[i : i + size], fields) for i in range(0, len(backwards), size)]
