"""How groups engage: every metric by group, compared with the control, with the user as the unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.inference import (
    MIN_USERS,
    Options,
    Outcome,
    Responses,
    SumsArm,
    compare_responses,
    compare_sums,
    response_arm,
    sums_arm,
)
from llmtrack.analysis.experiment.metrics import (
    METRIC_NAMES,
    RESPONSE_METRICS,
    Arms,
    ResponseMetric,
    SessionMetric,
    SessionValues,
    answerable,
    session_values,
    user_sums,
)
from llmtrack.analysis.experiment.population import UNKNOWN, check, left_out, notes, select
from llmtrack.analysis.experiment.result import Contrast, Engagement, GroupValue, MetricResult
from llmtrack.analysis.stats import (
    benjamini_hochberg,
    div,
    holm,
    mde,
    percentile_interval,
    quantile,
    share_interval,
    verdict,
)
from llmtrack.analysis.stats.ratio import NO_INTERVAL

Mask = npt.NDArray[np.bool_]

DEFAULT_PRIMARY = ("prompts_per_session", "copied_response_share", "reask_share")


class _Plan(NamedTuple):
    """Who is compared with whom, and how."""

    arms: Arms
    control: int
    options: Options


def engagement(
    sessions: pd.DataFrame,
    *,
    by: str = "model_group",
    control: str | None = None,
    primary: Sequence[str] = DEFAULT_PRIMARY,
    weights: Mapping[str, float] | None = None,
    margin: float = 0.05,
    alpha: float = 0.05,
    seed: int = 0,
    force: bool = False,
    permutations: int = 2000,
    bootstraps: int = 500,
    responses: pd.DataFrame | None = None,
) -> Engagement:
    """The metrics of docs/statistics.md by group, each other group against the control.

    `sessions`: the summary table, a row a session. `responses`: a row a response with user_id, group (the value of
    `by`), latency_ms, first_action_s and first_action_censored (see responses_of). Metrics whose columns are missing
    are left out and named in a warning.
    `by`: model_group, experiment_id, device, browser, os or none. `control`: a group; default: the one named
    "control", else the first of `weights`, else the first by name. `primary`: at most 3 metrics, corrected by Holm;
    the others are exploratory (Benjamini-Hochberg). `weights`: configured shares of users, any scale, for the SRM
    check. `margin`: a lift within ± margin is equivalent. `force`: verdicts in spite of SRM. `permutations` and
    `bootstraps`: how often users are resampled, 0 for never (Welch's p throughout, no intervals of quantiles).

    Raises UsageError for an unknown group, column or metric, or more than 3 primary metrics.
    """
    check(sessions, by, primary)
    population = select(sessions, by, control, weights)
    arms = population.arms
    plan = _Plan(arms, population.control, Options(alpha, seed, permutations, bootstraps))
    results = [_session_metric(metric, population.sessions, plan) for metric in answerable(sessions)]
    if responses is not None:
        results += [_response_metric(metric, found, plan) for metric, found in response_rows(responses, arms)]
    results = _corrected(results, primary)
    health, warnings = notes(population, by, weights)
    warnings += left_out([name for name in METRIC_NAMES if name not in {result.metric for result in results}])
    if force or not any(note.code == "srm" for note in warnings):
        results = [_judged(result, alpha, margin) for result in results]
    name = arms.groups[plan.control] if len(arms.groups) > 1 else None
    users = int(population.sessions["user_id"].nunique())
    return Engagement(name, len(population.sessions), users, population.excluded, health, results, warnings)


def responses_of(sessions: pd.DataFrame, turns: pd.DataFrame, by: str = "model_group") -> pd.DataFrame:
    """The `responses` of `engagement`: the answered turns, each with its session's user and group.

    `turns`: a row a turn whose `session` is the index label of its row in `sessions`, with answered, latency_ms,
    first_action_s and first_action_censored.
    """
    answered = turns[turns["answered"]]
    session = sessions.loc[answered["session"]]
    group = np.full(len(answered), "all") if by == "none" else session[by].fillna(UNKNOWN).to_numpy()
    columns = ["latency_ms", "first_action_s", "first_action_censored"]
    return answered[columns].assign(user_id=session["user_id"].to_numpy(), group=group)


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


def _session_metric(metric: SessionMetric, sessions: pd.DataFrame, plan: _Plan) -> MetricResult:
    values = session_values(metric, sessions, plan.arms.row)
    sums = user_sums(values, len(plan.arms.arm))
    members = [sums_arm(sums, plan.arms.arm, group) for group in range(len(plan.arms.groups))]
    raw = [float(sums.raw[plan.arms.arm[sums.row] == group].sum()) for group in range(len(members))]
    of_session = plan.arms.arm[values.row]
    groups = [
        _group_value(name, metric, member, values, of_session == group, plan.options.alpha)
        for group, (name, member) in enumerate(zip(plan.arms.groups, members, strict=True))
    ]
    if metric.heavy:
        groups = [
            group._replace(raw_value=div(total, group.denominator)) for group, total in zip(groups, raw, strict=True)
        ]
    tested = {
        group: compare_sums(members[plan.control], member, plan.options)
        for group, member in enumerate(members)
        if group != plan.control
    }
    limit = values.limit if metric.heavy else None
    return MetricResult(metric.name, metric.unit, metric.good, True, groups, _contrasts(tested, plan), limit)


def _group_value(
    name: str, metric: SessionMetric, arm: SumsArm, values: SessionValues, mine: Mask, alpha: float
) -> GroupValue:
    estimate = arm.estimate
    ci = NO_INTERVAL
    if arm.users >= MIN_USERS:
        ci = share_interval(arm.numerator, arm.denominator, alpha) if metric.share else estimate.interval(alpha)
    median = math.nan if metric.share else _session_median(values, mine)
    return GroupValue(
        name,
        estimate.value,
        ci,
        median,
        estimate.users,
        int(mine.sum()),
        estimate.numerator,
        estimate.denominator,
        estimate.n_eff,
    )


def _session_median(values: SessionValues, mine: Mask) -> float:
    """The median session's own ratio, before winsorising (which moves no median), where it has a denominator."""
    chosen = mine & (values.denominator > 0)
    return float(np.median(values.raw[chosen] / values.denominator[chosen])) if chosen.any() else math.nan


def _response_metric(metric: ResponseMetric, found: Responses, plan: _Plan) -> MetricResult:
    members = [
        response_arm(metric, found, plan.arms.arm, group, plan.options) for group in range(len(plan.arms.groups))
    ]
    groups = []
    for name, arm in zip(plan.arms.groups, members, strict=True):
        median = arm.value
        if metric.q != 0.5:
            median = quantile(arm.values, 0.5)
        ci = percentile_interval(arm.replicates, plan.options.alpha)
        groups.append(
            GroupValue(name, arm.value, ci, median, arm.users, None, math.nan, float(len(arm.values)), arm.n_eff)
        )
    tested = {
        group: compare_responses(metric, members[plan.control], arm, plan.options)
        for group, arm in enumerate(members)
        if group != plan.control
    }
    return MetricResult(metric.name, metric.unit, metric.good, True, groups, _contrasts(tested, plan))


def _contrasts(tested: Mapping[int, Outcome], plan: _Plan) -> list[Contrast]:
    names, alpha = plan.arms.groups, plan.options.alpha
    return [
        Contrast(
            names[group],
            names[plan.control],
            found.difference,
            found.difference_ci,
            found.lift,
            found.lift_ci,
            found.p,
            math.nan,
            "",
            method,
            mde(found.standard_error, found.df, alpha=alpha),
            None,
        )
        for group, (found, method) in tested.items()
    ]


def _corrected(results: list[MetricResult], primary: Sequence[str]) -> list[MetricResult]:
    """Adjusted p values: one family of the primary metrics, one of the rest, each over all groups."""
    out = []
    p = {
        exploratory: iter(
            adjust([c.p for r in results if (r.metric not in primary) == exploratory for c in r.comparisons]).tolist()
        )
        for exploratory, adjust in ((False, holm), (True, benjamini_hochberg))
    }
    for result in results:
        exploratory = result.metric not in primary
        correction = "benjamini-hochberg" if exploratory else "holm"
        comparisons = [c._replace(p_adjusted=next(p[exploratory]), correction=correction) for c in result.comparisons]
        out.append(result._replace(exploratory=exploratory, comparisons=comparisons))
    return out


def _judged(result: MetricResult, alpha: float, margin: float) -> MetricResult:
    return result._replace(
        comparisons=[
            c._replace(
                verdict=verdict(result.good, c.difference_ci, c.lift_ci, c.p_adjusted, alpha=alpha, margin=margin)
            )
            if c.method != "none"
            else c
            for c in result.comparisons
        ]
    )
