"""What happened in clean sessions, each found once: pairs of prompt and answer, silences, copies."""

from __future__ import annotations

from functools import cached_property

from llmtrack.analysis.interaction.attention import Gaps, gaps, pending
from llmtrack.analysis.interaction.attribution import Taken, attribute
from llmtrack.analysis.interaction.events import Rows
from llmtrack.analysis.interaction.pairing import Pairs, pairs
from llmtrack.analysis.interaction.ratings import thumbs
from llmtrack.session.cleaning.batch import Ints
from llmtrack.session.cleaning.clean import Cleaned


class Evidence:
    """Clean sessions, the `rows` of their events, and what these are to each other. Found when it is asked for."""

    def __init__(self, cleaned: Cleaned) -> None:
        self.cleaned = cleaned
        self.rows = Rows(cleaned)

    @cached_property
    def pairs(self) -> Pairs:
        """Prompts and the calls that answered them."""
        return pairs(self.rows)

    @property
    def response(self) -> Ints:
        """For each event that is a prompt the row of its response; -1 for all others."""
        return self.pairs.response

    @cached_property
    def waiting_for(self) -> Ints:
        """After each event, how many prompts that will be answered are waiting."""
        return pending(self.rows, self.pairs)

    @cached_property
    def gaps(self) -> Gaps:
        """The silences that a person's events ended."""
        return gaps(self.rows, self.waiting_for, self.cleaned.sessions["start_ms"])

    @cached_property
    def taken(self) -> Taken:
        """Copies and selections, with the answers they belong to."""
        return attribute(self.rows)

    @cached_property
    def thumbs(self) -> Ints:
        """For each answer its thumb: 1, -1, or 0 for none."""
        return thumbs(self.rows)

    @property
    def with_texts(self) -> bool:
        """Whether texts were read."""
        return self.cleaned.has("text") and self.cleaned.has("selected_text")
