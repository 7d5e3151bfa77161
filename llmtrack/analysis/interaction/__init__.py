"""What a person did in a session: pairs of prompt and answer, silence, copies, and the numbers made of them."""

from __future__ import annotations

from typing import Any

from llmtrack.analysis.interaction import summary, turns
from llmtrack.analysis.interaction.evidence import Evidence


class Interaction(Evidence):
    """Clean sessions with their numbers. Pairs, silences and copies are found once, whoever asks."""

    def summary(self) -> dict[str, Any]:
        """The columns of the sessions and the numbers of each: `summary.sessions`."""
        return summary.sessions(self)

    def turns(self) -> dict[str, Any]:
        """A row a turn: `turns.table`."""
        return turns.table(self)
