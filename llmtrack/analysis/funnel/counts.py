"""From units to the numbers of a funnel: shares, times, intervals and comparisons by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.comparisons import Tested, compared
from llmtrack.analysis.experiment.inference import Outcome
from llmtrack.analysis.funnel.history import UNKNOWN, By, Unit, in_several_groups
from llmtrack.analysis.funnel.moments import Floats, Order
from llmtrack.analysis.funnel.result import FunnelResult, GroupResult, StepResult
from llmtrack.analysis.funnel.steps import Step, parse_steps
from llmtrack.analysis.result import Comparison, Note, number, pair
from llmtrack.analysis.stats import Interval, compare, div, quantile, ratio, share_interval, wilson
from llmtrack.errors import UsageError
from llmtrack.session.tally import Tally

DAY_S: Final = 24 * 60 * 60.0
FEW_USERS: Final = 30  # an arm with fewer users: the normal approximation behind intervals and p is rough


class _Users(NamedTuple):
    """The users of one group: units that reached each step (users, steps), and units (users,)."""

    reached: Floats
    units: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame, n_steps: int) -> _Users:
        user, _ = pd.factorize(rows["user_id"], sort=True)  # sums of floats: the same to a bit from every source
        units = np.bincount(user).astype(np.float64)
        reached = rows["reached"].to_numpy()
        counts = [np.bincount(user, weights=reached > step, minlength=len(units)) for step in range(n_steps)]
        return cls(np.column_stack(counts), units)

    def interval(self, step: int) -> Interval:
        """95 % interval of the share of units that reached a step (from 0)."""
        if self.units.max() == 1:
            return wilson(float(self.reached[:, step].sum()), len(self.units))
        return share_interval(self.reached[:, step], self.units)


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
) -> FunnelResult:
    """The funnel of units as `match` returns them.

    Intervals of shares are Wilson's; where users have several units, those of one user are not independent and the
    units count at their effective number. Differences have Welch's test over users (delta method), Holm-adjusted over
    all groups and steps. `control` is by default the group called "control", else the first by name. Raises UsageError
    when `control` is no group.
    """
    names = [step.name for step in parse_steps(steps)]
    units, excluded = _counted(units, by)
    groups = {str(name): rows for name, rows in units.groupby("group", sort=True)}
    users = {name: _Users.of(rows, len(names)) for name, rows in groups.items()}
    results = tuple(_group(name, rows, users[name], names) for name, rows in groups.items())
    comparisons = _comparisons(users, names, _control([*groups], control))
    return FunnelResult(
        unit=unit,
        order=order,
        window_s=window_s,
        units=len(units),
        groups=results,
        comparisons=comparisons,
        warnings=_notes(results, users, units, names, by),
        tally=(tally or Tally(len(units))).with_excluded(excluded),
    )


def _counted(units: pd.DataFrame, by: By) -> tuple[pd.DataFrame, dict[str, int]]:
    """Without the units that do not count, and how many they are."""
    several = np.zeros(len(units), dtype=np.bool_)
    if by == "model_group":
        several |= in_several_groups(units)
        if "several_groups" in units:
            several |= units["several_groups"].to_numpy(dtype=np.bool_)
    users = int(units.loc[several, "user_id"].nunique())
    units = units[~several]
    dropped = units["dropped"].to_numpy()
    return units[~dropped], {"users_in_several_groups": users, "excluded_event": int(dropped.sum())}


def _group(name: str, rows: pd.DataFrame, users: _Users, names: Sequence[str]) -> GroupResult:
    steps: list[StepResult] = []
    for i, step in enumerate(names):
        count = int(users.reached[:, i].sum())
        seconds = rows[f"s_{i + 1}"].dropna().to_numpy() if i else np.empty(0)
        steps.append(
            StepResult(
                step=step,
                reached=count,
                of_all=number(div(count, len(rows))),
                of_all_ci=pair(users.interval(i)),
                of_previous=number(div(count, steps[-1].reached)) if i else None,
                median_s=number(quantile(seconds, 0.5)),
                p90_s=number(quantile(seconds, 0.9)),
            )
        )
    return GroupResult(group=name, units=len(rows), steps=tuple(steps))


def _control(groups: Sequence[str], control: str | None) -> str | None:
    if control is None:
        named = [group for group in groups if group != UNKNOWN] or groups
        return "control" if "control" in named else next(iter(named), None)
    if groups and control not in groups:
        raise UsageError(f'No unit belongs to the control "{control}".', f"Groups: {', '.join(groups)}.")
    return control


def _comparisons(users: dict[str, _Users], names: Sequence[str], control: str | None) -> tuple[Comparison, ...]:
    ratios = {
        group: [ratio(each.reached[:, i], each.units) for i in range(len(names))] for group, each in users.items()
    }
    tests = [
        Tested(
            metric=names[i],
            good="none",
            group=group,
            control=str(control),
            outcome=Outcome(compare(ratios[str(control)][i], ratios[group][i]), "welch"),
        )
        for group in ratios
        if group != control
        for i in range(len(names))
    ]
    return tuple(compared(tests))


def _notes(
    groups: Sequence[GroupResult], users: dict[str, _Users], units: pd.DataFrame, names: Sequence[str], by: By
) -> list[Note]:
    if not groups:
        return [Note("no_units", "Nothing is left to count.")]
    notes = []
    never = [name for i, name in enumerate(names) if not any(group.steps[i].reached for group in groups)]
    if never:
        notes.append(Note("step_never_reached", f"No unit reached step {never[0]!r}. Is its event's name right?"))
    few = [f"{group} ({len(each.units)})" for group, each in users.items() if len(each.units) < FEW_USERS]
    if few and len(groups) > 1:
        text = f"Under {FEW_USERS} users in {', '.join(few)}: take intervals and p values there as rough."
        notes.append(Note("few_users", text))
    experiments = units["experiment_id"].nunique()
    if by == "model_group" and experiments > 1:
        text = f"{experiments} experiments are pooled; choose one with --experiment."
        notes.append(Note("several_experiments", text))
    return notes
