"""From units to the numbers of a funnel: shares, times, intervals and comparisons by group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import People, people
from llmtrack.analysis.funnel.history import By, Unit
from llmtrack.analysis.funnel.moments import Order
from llmtrack.analysis.funnel.result import FunnelResult, GroupResult, StepResult
from llmtrack.analysis.funnel.steps import Step, parse_steps
from llmtrack.analysis.result import Note, number
from llmtrack.analysis.stats import div, quantile
from llmtrack.session.tally import Tally
from llmtrack.session.values import Floats

DAY_S: Final = 24 * 60 * 60.0


def aggregate(
    units: pd.DataFrame,
    steps: Iterable[str | Step],
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = DAY_S,
    by: By = "model_group",
    control: str | None = None,
    tally: Tally | None = None,
    weights: Mapping[str, float] | None = None,
    one_group: bool = False,
) -> FunnelResult:
    """The funnel of units as `match` returns them.

    Intervals of shares are Wilson's; where users have several units, those of one user are not independent and the
    units count at their effective number. Who is compared, and how, is that of all reports (experiment.users).
    `weights`: configured shares of users; `one_group`: the sessions of one group were asked for. Raises UsageError when
    `control` is no group.
    """
    names = [step.name for step in parse_steps(steps)]
    grouping = {} if by == "none" else {by: units["group"]}
    who = people(units.assign(session_id=units[_id(units)], **grouping), by, control, weights, one_group=one_group)
    counted = ~who.sessions["dropped"].to_numpy(dtype=bool)
    units, row = who.sessions[counted], who.arms.row[counted]
    of_user = who.add(row)
    reached = [who.add(row, (units["reached"] > step).to_numpy()) for step in range(len(names))]
    groups = tuple(
        _group(who, group, units[who.arms.arm[row] == group], reached, of_user, names)
        for group in range(len(who.groups))
        if (who.arms.arm[row] == group).any()
    )
    return FunnelResult(
        unit=unit,
        order=order,
        window_s=window_s,
        units=len(units),
        groups=groups,
        comparisons=tuple(who.compare({name: (each, of_user) for name, each in zip(names, reached, strict=True)})),
        warnings=[*_notes(groups, names), *who.warnings],
        tally=(tally or Tally(len(units))).with_excluded({**who.excluded, "excluded_event": int((~counted).sum())}),
    )


def _id(units: pd.DataFrame) -> str:
    return "session_id" if "session_id" in units else "unit"


def _group(
    who: People, group: int, units: pd.DataFrame, reached: Sequence[Floats], of_user: Floats, names: Sequence[str]
) -> GroupResult:
    mine = who.arms.arm == group
    steps: list[StepResult] = []
    for i, step in enumerate(names):
        count = int(reached[i][mine].sum())
        seconds = units[f"s_{i + 1}"].dropna().to_numpy() if i else np.empty(0)
        steps.append(
            StepResult(
                step=step,
                reached=count,
                of_all=number(div(count, len(units))),
                of_all_ci=who.share(group, reached[i], of_user),
                of_previous=number(div(count, steps[-1].reached or 0)) if i else None,
                median_s=number(quantile(seconds, 0.5)),
                p90_s=number(quantile(seconds, 0.9)),
            )
        )
    return GroupResult(group=who.groups[group], units=len(units), steps=tuple(steps))


def _notes(groups: Sequence[GroupResult], names: Sequence[str]) -> list[Note]:
    if not groups:
        return [Note("no_units", "Nothing is left to count.")]
    never = [name for i, name in enumerate(names) if not any(group.steps[i].reached for group in groups)]
    text = "No unit reached step {!r}. Is its event's name right?"
    return [Note("step_never_reached", text.format(never[0]))] if never else []
