"""One metric at a time: the value of each group, and its tests against the control."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.comparisons import Tested
from llmtrack.analysis.experiment.inference import (
    MIN_USERS,
    Options,
    Outcome,
    ResponseArm,
    Responses,
    SumsArm,
    compare_responses,
    compare_sums,
    response_arm,
    sums_arm,
)
from llmtrack.analysis.experiment.metrics import (
    RESPONSE_METRICS,
    Arms,
    ResponseMetric,
    SessionMetric,
    SessionValues,
    session_values,
    user_sums,
)
from llmtrack.analysis.experiment.result import GroupValue
from llmtrack.analysis.recorded import Kinds, told
from llmtrack.analysis.result import number, pair
from llmtrack.analysis.stats import div, mean_interval, quantile, share_interval
from llmtrack.analysis.stats.ratio import NO_INTERVAL

Mask = npt.NDArray[np.bool_]
Arm = TypeVar("Arm", SumsArm, ResponseArm)


class Plan(NamedTuple):
    """Who is compared with whom, and how."""

    arms: Arms
    control: int
    options: Options


def response_rows(responses: pd.DataFrame, arms: Arms) -> list[tuple[ResponseMetric, Responses]]:
    """For each response metric the rows that have its number and belong to a compared user."""
    rows = arms.rows_of(responses["user_id"], responses["group"])
    found = []
    for metric in RESPONSE_METRICS:
        values = responses[metric.column].to_numpy(dtype=np.float64, na_value=np.nan)
        keep = (rows >= 0) & ~np.isnan(values)
        censored = np.zeros(int(keep.sum()), dtype=bool)
        if metric.censored:
            censored = responses[metric.censored].to_numpy(dtype=bool)[keep]
        found.append((metric, Responses(values[keep], censored, rows[keep])))
    return found


class Found(NamedTuple):
    """A metric's groups and its tests, not adjusted yet."""

    metric: SessionMetric | ResponseMetric
    groups: list[GroupValue]
    tests: list[Tested]
    winsorised_at: float | None = None
    recorded: bool = True


def is_told(metric: SessionMetric | ResponseMetric, recorded: Kinds | None) -> bool:
    """Whether such a metric has numbers where these kinds of events are recorded (None: all)."""
    columns = (metric.column,) if isinstance(metric, ResponseMetric) else (metric.numerator, metric.denominator)
    return recorded is None or all(told(column, recorded) for column in columns)


def untold(metric: SessionMetric | ResponseMetric, plan: Plan) -> Found:
    """A metric of what was never recorded: no numbers, and nothing to compare."""
    of_session, groups = plan.arms.arm[plan.arms.row], len(plan.arms.groups)
    users, sessions = (np.bincount(each, minlength=groups).tolist() for each in (plan.arms.arm, of_session))
    nothing = [
        GroupValue(name, None, None, None, users[group], sessions[group], None, 0.0, None)
        for group, name in enumerate(plan.arms.groups)
    ]
    return Found(metric, nothing, [], recorded=False)


def session_metric(metric: SessionMetric, sessions: pd.DataFrame, plan: Plan) -> Found:
    values = session_values(metric, sessions, plan.arms.row)
    sums = user_sums(values, len(plan.arms.arm))
    members = [sums_arm(sums, plan.arms.arm, group) for group in range(len(plan.arms.groups))]
    of_session = plan.arms.arm[values.row]
    groups = [
        _group_value(name, metric, member, values, of_session == group, plan.options.alpha)
        for group, (name, member) in enumerate(zip(plan.arms.groups, members, strict=True))
    ]
    if metric.heavy:
        raw = [float(sums.raw[plan.arms.arm[sums.row] == group].sum()) for group in range(len(members))]
        groups = [
            group._replace(raw_value=number(div(total, group.denominator)))
            for group, total in zip(groups, raw, strict=True)
        ]
    tests = _tested(metric, members, partial(compare_sums, options=plan.options), plan)
    return Found(metric, groups, tests, number(values.limit) if metric.heavy else None)


def _group_value(
    name: str, metric: SessionMetric, arm: SumsArm, values: SessionValues, mine: Mask, alpha: float
) -> GroupValue:
    estimate = arm.estimate
    ci = NO_INTERVAL
    if arm.users >= MIN_USERS:
        interval = share_interval if metric.share else mean_interval
        ci = interval(arm.numerator, arm.denominator, alpha)
    return GroupValue(
        group=name,
        value=number(estimate.value),
        ci=pair(ci),
        median=None if metric.share else number(_session_median(values, mine)),
        users=estimate.users,
        sessions=int(mine.sum()),
        numerator=number(estimate.numerator),
        denominator=estimate.denominator,
        n_eff=number(estimate.n_eff),
    )


def _session_median(values: SessionValues, mine: Mask) -> float:
    """The median session's own ratio, before winsorising (which moves no median), where it has a denominator."""
    chosen = mine & (values.denominator > 0)
    return float(np.median(values.raw[chosen] / values.denominator[chosen])) if chosen.any() else math.nan


def response_metric(metric: ResponseMetric, found: Responses, plan: Plan) -> Found:
    members = [
        response_arm(metric, found, plan.arms.arm, group, plan.options) for group in range(len(plan.arms.groups))
    ]
    groups = [
        GroupValue(
            group=name,
            value=number(arm.value),
            ci=pair(arm.interval),
            median=number(arm.value if metric.q == 0.5 else quantile(arm.sample.values, 0.5)),
            users=arm.users,
            sessions=None,
            numerator=None,
            denominator=float(len(arm.sample.values)),
            n_eff=number(arm.n_eff),
        )
        for name, arm in zip(plan.arms.groups, members, strict=True)
    ]
    return Found(
        metric, groups, _tested(metric, members, partial(compare_responses, metric, options=plan.options), plan)
    )


def _tested(
    metric: SessionMetric | ResponseMetric, members: Sequence[Arm], compare: Callable[[Arm, Arm], Outcome], plan: Plan
) -> list[Tested]:
    names, control = plan.arms.groups, plan.control
    return [
        Tested(
            metric=metric.name,
            good=metric.good,
            group=names[group],
            control=names[control],
            outcome=compare(members[control], arm),
        )
        for group, arm in enumerate(members)
        if group != control
    ]
