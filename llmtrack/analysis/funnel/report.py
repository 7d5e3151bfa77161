"""How many units go how far through a sequence of steps, by group.

`match` finds the furthest step of each unit, `aggregate` counts units into a `Funnel`, `funnel` does both. The rules
are PostHog's for ordered, strict and unordered funnels; where PostHog's result hangs on the order in which events of
one time were written, the order that is best for the funnel counts. docs/funnel.md has them all with examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, cast, get_args

import numpy as np
import pandas as pd

from llmtrack.analysis.funnel.counts import DAY_S, aggregate
from llmtrack.analysis.funnel.history import By, Picked, Question, Unit, history, join, pick
from llmtrack.analysis.funnel.moments import History, Moments, Order, Outcome, Rules, chunks
from llmtrack.analysis.funnel.ordered import match_chains
from llmtrack.analysis.funnel.result import Funnel
from llmtrack.analysis.funnel.steps import Alternative, Step, fields, parse_step, parse_steps
from llmtrack.analysis.funnel.unordered import match_windows
from llmtrack.errors import UsageError
from llmtrack.session.schema import CHAT

if TYPE_CHECKING:
    from llmtrack.analysis.frames import Frames

__all__ = ["DEFAULT_STEPS", "Funnel", "aggregate", "funnel", "match", "needed_fields"]

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
    others = [parse_step(text) for text in (*exclude, *among)]
    return tuple(sorted({*fields([*parse_steps(steps), *others]), *([CHAT] if unit == "chat" else [])}))


def funnel(
    frames: Frames | Iterable[Frames],
    steps: Iterable[str | Step] = DEFAULT_STEPS,
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = DAY_S,
    exclude: Iterable[str] = (),
    among: Iterable[str] = (),
    by: By = "model_group",
    control: str | None = None,
) -> Funnel:
    """How many units of each group reach each step, from frames or batches of frames.

    Of batches, unit session keeps a row a session; units chat and user keep the events that fit a step as well.
    `among` is for strict funnels; without it, the steps' own types. Raises StepError and UsageError, and UsageError
    when `control` is no group.
    """
    question = _question(steps, unit, order, window_s, exclude, among, by)
    batches = cast("Iterable[Frames]", [frames] if hasattr(frames, "sessions") else frames)
    excluded: Counter[str] = Counter()
    repaired: Counter[str] = Counter()

    def picked() -> Iterator[Picked]:
        for batch in batches:
            excluded.update(batch.excluded)
            repaired.update(batch.repaired)
            yield pick(batch, question)

    if unit == "session":
        parts = [_matched(each, question) for each in picked()] or [_matched(join([]), question)]
        units = pd.concat(parts, ignore_index=True)
    else:
        units = _matched(join(picked()), question)
    result = aggregate(units, question.steps, unit=unit, order=order, window_s=window_s, by=by, control=control)
    return result._replace(excluded={**excluded, **result.excluded}, repaired=dict(repaired))


def match(
    frames: Frames,
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

    For unit session, rows of several frames may be put together before `aggregate`. Raises StepError, UsageError.
    """
    question = _question(steps, unit, order, window_s, exclude, among, by)
    return _matched(pick(frames, question), question)


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
    return tuple(each for text in texts for each in parse_step(text).alternatives)


def _matched(picked: Picked, question: Question) -> pd.DataFrame:
    units, events = history(picked, question)
    outcome = _outcome(events, question.rules)
    units["reached"], units["dropped"] = outcome.reached, outcome.dropped
    for step in range(1, question.rules.n_steps):
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
