"""What a person did in a session: pairs of prompt and answer, silence, copies, and the numbers made of them."""

from __future__ import annotations

from typing import Any

from llmtrack.analysis.interaction import summary, turns
from llmtrack.analysis.interaction.attribution import lost_copies
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.session.schema import COPY
from llmtrack.session.tally import Tally


class Interaction(Evidence):
    """Clean sessions with their numbers. Pairs, silences and copies are found once, whoever asks."""

    def summary(self) -> dict[str, Any]:
        """The columns of the sessions and the numbers of each: `summary.sessions`."""
        return summary.sessions(self)

    def tally(self) -> Tally:
        """What was counted on the way; with the copies that belong to no answer, where texts were read."""
        tally = Tally.of(self.cleaned)
        if not self.with_texts:
            return tally
        lost = {"copies_without_answer": len(lost_copies(self.rows, self.taken))}
        return tally.with_excluded(lost).with_noticed({"copies": int(self.rows.kind(COPY).sum())})

    def turns(self) -> dict[str, Any]:
        """A row a turn: `turns.table`."""
        return turns.table(self)
