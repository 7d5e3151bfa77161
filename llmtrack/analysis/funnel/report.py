"""How many units go how far through a sequence of steps, by group.

`match` finds the furthest step of each unit, `aggregate` counts units; the report `Funnel` does both. The rules are
PostHog's for ordered, strict and unordered funnels; where PostHog's result depends on the order in which events of one
time were written, the order that is best for the funnel counts. docs/funnel.md has them all with examples.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, get_args

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.population import named, weights_of
from llmtrack.analysis.frames import Frames, frames
from llmtrack.analysis.funnel.counts import DAY_S, aggregate
from llmtrack.analysis.funnel.history import By, Picked, Question, Unit, history, members_of, pick
from llmtrack.analysis.funnel.missing import never, with_missing
from llmtrack.analysis.funnel.moments import History, Moments, Order, Outcome, Rules, chunks
from llmtrack.analysis.funnel.ordered import match_chains
from llmtrack.analysis.funnel.result import FunnelResult
from llmtrack.analysis.funnel.steps import Alternative, Step, fields, parse_step, parse_steps
from llmtrack.analysis.funnel.unordered import match_windows
from llmtrack.analysis.interaction import models
from llmtrack.analysis.parts import Part, merge
from llmtrack.errors import UsageError
from llmtrack.session.schema import CHAT
from llmtrack.session.tally import Tally
from llmtrack.session.values import several

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings
    from llmtrack.session.cleaning.clean import Cleaned

__all__ = ["DEFAULT_STEPS", "Funnel", "aggregate", "match", "needed_fields"]

DEFAULT_STEPS: Final = ("visit", "prompt", "answer=model_response", "engaged=selection|copy", "again=prompt")
_CHUNK_EVENTS: Final = 1 << 19  # some 50 MB of working memory


def needed_fields(
    steps: Iterable[str | Step] = DEFAULT_STEPS,
    *,
    unit: Unit = "session",
    exclude: Iterable[str] = (),
    among: Iterable[str] = (),
) -> tuple[str, ...]:
    """The data fields that frames must have for such a funnel. Raises StepError, UsageError.

    >>> needed_fields(["prompt", "click[target=BUTTON]"], unit="chat")
    ('chat_session_id', 'target')
    """
    others = [parse_step(text) for text in (*several(exclude), *several(among))]
    return tuple(sorted({*fields([*parse_steps(steps), *others]), *([CHAT] if unit == "chat" else [])}))


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """How many units of each group reach each step.

    `among` is for strict funnels; without it, the steps' own types. A step whose events the source never records has no
    numbers, and the others are matched without it. Of units session a part keeps a row a session; of chats and users,
    who are seen in several sessions, and where a step may never be recorded, the events that fit a step as well. Raises
    StepError, UsageError.
    """

    steps: tuple[str, ...] = DEFAULT_STEPS
    unit: Unit = "session"
    order: Order = "ordered"
    window_s: float = DAY_S
    exclude: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    by: By = "model_group"
    control: str | None = None

    def __post_init__(self) -> None:
        _ = self._question

    @property
    def _question(self) -> Question:
        return _question(self.steps, self.unit, self.order, self.window_s, self.exclude, self.among, self.by)

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that the conditions of the steps name."""
        named = needed_fields(self.steps, unit=self.unit, exclude=self.exclude, among=self.among)
        return tuple(dict.fromkeys((*named, *models.fields(self.by))))

    def pick(self, cleaned: Cleaned) -> Part:
        """How far each session got; of other units, what their history is made of."""
        part = replace(pick(frames(models.labelled(cleaned, self.by)), self._question), tally=Tally.of(cleaned))
        if self.unit != "session":
            return part
        units = _matched(members_of(part, self._question), self._question)
        units = units.rename(columns={"unit": "session_id"}).assign(start_ms=part.sessions["start_ms"])
        if never(self._question.steps, cleaned.recorded):  # to be matched anew, if that is so of all parts
            return Part(units.assign(t=part.sessions["t"]), dict(part.tables), part.tally)
        return Part(units, {"events": part.tables["events"].iloc[:0]}, part.tally)

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> FunnelResult:
        """The funnel of all parts."""
        whole = merge(parts)
        sessions = named(whole.sessions)
        if self.by == "model_group":
            sessions = sessions.assign(group=sessions["model_group"])
        units, steps = sessions, self._question.steps
        types = frozenset(each.type for step in steps for each in step.alternatives if not (each.any or each.visit))
        missing = never(steps, settings.recorded(whole.tally.recorded, types)) if len(sessions) else []
        if self.unit != "session" or missing:
            units = _matched(members_of(replace(whole, sessions=sessions), self._question), self._question, missing)
        found = aggregate(
            units,
            [step for i, step in enumerate(steps) if i not in missing],
            weights=weights_of(sessions, settings.weights),
            one_group=settings.one_group,
            unit=self.unit,
            order=self.order,
            window_s=self.window_s,
            by=self.by,
            control=self.control,
            tally=whole.tally,
        )
        return with_missing(found, steps, missing) if missing else found


def match(
    sessions: Frames,
    steps: Iterable[str | Step] = DEFAULT_STEPS,
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = DAY_S,
    exclude: Iterable[str] = (),
    among: Iterable[str] = (),
    by: By = "model_group",
) -> pd.DataFrame:
    """A row a unit: unit, user_id, experiment_id, model_group, group, reached (0 to the number of steps), dropped (an
    excluded event lies between its steps) and s_2, s_3, … (seconds from the step before); for chats and users also
    several_groups (the user was seen in more than one model_group of an experiment).

    For unit session, rows of several batches may be put together before `aggregate`. Raises StepError, UsageError.
    """
    question = _question(steps, unit, order, window_s, exclude, among, by)
    part = pick(sessions, question)
    return _matched(members_of(replace(part, sessions=named(part.sessions)), question), question)


def _question(
    steps: Iterable[str | Step],
    unit: Unit,
    order: Order,
    window_s: float,
    exclude: Iterable[str],
    among: Iterable[str],
    by: By,
) -> Question:
    for name, value, allowed in (("unit", unit, Unit), ("order", order, Order), ("by", by, By)):
        if value not in get_args(allowed):
            raise UsageError(f'The {name} "{value}" is not known.', f"Choose one of {', '.join(get_args(allowed))}.")
    if not 0 < window_s < math.inf:
        raise UsageError(f"The window is {window_s} s.", "Give a length above 0, as 30m or 24h.")
    parsed = parse_steps(steps)
    declared = _alternatives(among) or tuple(
        Alternative(each.type, any=each.any, visit=each.visit) for step in parsed for each in step.alternatives
    )
    rules = Rules(len(parsed), order, round(window_s * 1000, 6))
    return Question(rules, parsed, _alternatives(exclude), declared if order == "strict" else (), unit, by)


def _alternatives(texts: Iterable[str]) -> tuple[Alternative, ...]:
    return tuple(each for text in several(texts) for each in parse_step(text).alternatives)


def _matched(found: Picked, question: Question, missing: Collection[int] = ()) -> pd.DataFrame:
    """How far each unit gets; `missing` steps are passed over."""
    units, events = history(found, question)
    rules, marks = question.rules, events.marks
    if missing:
        kept = [bit for bit in range(rules.n_steps + 2) if bit not in missing]
        rules = rules._replace(n_steps=rules.n_steps - len(missing))
        marks = np.zeros_like(marks)
        for place, bit in enumerate(kept):
            marks |= ((events.marks >> bit) & 1) << place
    outcome = _outcome(events._replace(marks=marks), rules)
    units["reached"], units["dropped"] = outcome.reached, outcome.dropped
    for step in range(1, rules.n_steps):
        units[f"s_{step + 1}"] = (outcome.at[:, step] - outcome.at[:, step - 1]) / 1000
    return units


def _outcome(events: History, rules: Rules) -> Outcome:
    matcher = match_windows if rules.order == "unordered" else match_chains
    # Unordered matching keeps running counts of sets of steps: fewer events at a time where the sets are many.
    size = _CHUNK_EVENTS >> max(0, rules.n_steps - 5) if rules.order == "unordered" else _CHUNK_EVENTS
    result = Outcome(
        np.zeros(events.n_units, dtype=np.int8),
        np.zeros(events.n_units, dtype=np.bool_),
        np.full((events.n_units, rules.n_steps), np.nan),
    )
    for first, chunk in chunks(events, size):
        found = matcher(Moments.of(chunk.unit, chunk.t, chunk.marks), chunk.n_units, rules)
        units = slice(first, first + chunk.n_units)
        result.reached[units], result.dropped[units], result.at[units] = found.reached, found.dropped, found.at
    return result
