"""Sessions chosen by what happened in them: their texts, their events, how they ended, what was thought of answers."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llmtrack.analysis.interaction import Interaction, summary
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.batch import Bools
from llmtrack.session.ratings import DOWN, UP


@dataclass(frozen=True, kw_only=True)
class Happened:
    """What must have happened in a session, all of it.

    `text`: a regular expression found in a question or an answer. `events`: steps of the funnel's language, each filled
    by an event. `exit`: one of summary.EXIT_REASONS. `rating`: "up" or "down", of an answer. Raises UsageError,
    StepError.
    """

    text: str | None = None
    events: tuple[str, ...] = ()
    min_prompts: int = 0
    exit: str | None = None
    rating: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.text or "")
        except re.error as error:
            raise UsageError(f"The regular expression {self.text!r} has a fault: {error.msg}.") from None
        for name, value, known in (("exit", self.exit, summary.EXIT_REASONS), ("rating", self.rating, (UP, DOWN))):
            if value is not None and value not in known:
                raise UsageError(f"{value!r} is no {name}.", f"Choose one of {', '.join(known)}.")
        _ = self.fields

    def __bool__(self) -> bool:
        return bool(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """What is asked for."""
        return {key: value for key, value in asdict(self).items() if value}

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that tell it."""
        texts = summary.TEXT_FIELDS if self.text else summary.FIELDS
        if not self.events:
            return texts
        from llmtrack.analysis.funnel.steps import fields, parse_steps

        named = fields(parse_steps(self.events))
        # with the text of an event the numbers of texts are made, too
        return tuple(dict.fromkeys((*(summary.TEXT_FIELDS if "text" in named else texts), *named)))

    def which(self, found: Interaction, numbers: dict[str, Any]) -> Bools:
        """A truth for each session, of which `numbers` are those of `summary`."""
        count = len(found.cleaned)
        holds: Bools = numbers["prompts"] >= self.min_prompts
        if self.exit:
            holds &= numbers["exit_reason"] == self.exit
        if self.rating:
            up = numbers["up_responses"]
            holds &= (up if self.rating == UP else numbers["rated_responses"] - up) > 0
        if self.text:
            search, rows = re.compile(self.text).search, found.rows
            said = np.flatnonzero(rows.prompt | rows.response)
            texts = rows.field("text")[said]
            fits = np.array([text is not None and search(text) is not None for text in texts], dtype=bool)
            holds &= np.bincount(rows.session[said[fits]], minlength=count) > 0
        return holds & self._with_events(found, count) if self.events else holds

    def _with_events(self, found: Interaction, count: int) -> Bools:
        from llmtrack.analysis.frames import frames
        from llmtrack.analysis.funnel.history import Question, marks_of
        from llmtrack.analysis.funnel.moments import Rules
        from llmtrack.analysis.funnel.steps import parse_steps

        steps = parse_steps(self.events)
        tables = frames(found.cleaned)
        marked = marks_of(tables.events, Question(Rules(len(steps), "ordered", 0), steps, (), (), "session", "none"))
        holds = np.ones(count, dtype=bool)
        for place, step in enumerate(steps):
            here = found.rows.session[(marked >> place) & 1 == 1]
            holds &= step.visit | (np.bincount(here, minlength=count) > 0)
        return holds
