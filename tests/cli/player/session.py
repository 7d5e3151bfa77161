"""A session to play: two questions, an answer that failed, a copy, a long absence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from llmtrack.cli.player.film import Film, Manner
from llmtrack.cli.replay.facts import length_s
from llmtrack.cli.replay.sentences import tell
from llmtrack.errors import UnknownSession
from llmtrack.session.cleaning.clean import Visit, one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
T = 1_730_000_000_000
LONG = "\n\n".join(f"Paragraph {number} of a long answer." for number in range(40))
EVENTS = [
    (0, "activity", {"activity_state": "active"}),
    (4, "prompt", {"text": "What is bread?", "turn_id": "t1"}),
    (10, "model_response", {"text": "Flour, water & List<salt>.", "model": "m", "turn_id": "t1"}),
    (11, "copy", {"selected_text": "Flour, water", "turn_id": "t1"}),
    (12, "activity", {"activity_state": "idle"}),
    (612, "activity", {"activity_state": "active"}),
    (613, "prompt", {"text": "And rye? [bold]\x1b[31m", "turn_id": "t2"}),
    (614, "model_response", {"error": "503", "model": "m", "turn_id": "t2"}),
    (615, "prompt", {"text": "Rye, please", "turn_id": "t3"}),
    (616, "model_response", {"text": LONG, "model": "m", "turn_id": "t3"}),
    (617, "[odd] kind", {"x": "\x1b[2J"}),
]


def document(session_id: str = "visit_1", **fields: Any) -> dict[str, Any]:
    events = [{"t": T + at_s * 1000, "type": kind, "data": data} for at_s, kind, data in EVENTS]
    return {
        "session_id": session_id, "user_id": "u", "model_group": "m", "start_time": T, "end_time": T + 620_000,
        "ended_by": "page", "events": events, **fields,
    }  # fmt: skip


def film(**manner: Any) -> Film:
    """The session as a film that stands at its beginning."""
    visit = one(document(), NOW)
    return Film(visit, tell(visit.events), length_s(visit), Manner(**manner))


class Shelf:
    """Three sessions."""

    def __init__(self) -> None:
        self.documents = {name: document(name) for name in ("visit_1", "visit_2", "other_3")}

    def rows(self) -> Iterable[tuple[str, str]]:
        return [(name, f"10-27  m  {name}") for name in self.documents]

    def load(self, session_id: str) -> tuple[Visit, dict[str, Any]]:
        if session_id == "other_3":
            raise UnknownSession("It is gone.")
        return one(self.documents[session_id], NOW), self.documents[session_id]
