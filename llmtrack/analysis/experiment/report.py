"""How groups engage: every metric by group, compared with the control, with the user as the unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.comparisons import BENJAMINI_HOCHBERG, HOLM, Tested, compared
from llmtrack.analysis.experiment.inference import (
    MIN_USERS,
    Options,
    Outcome,
    ResponseArm,
    Responses,
    SumsArm,
    compare_responses,
    compare_sums,
    mean_interval,
    response_arm,
    sums_arm,
)
from llmtrack.analysis.experiment.metrics import (
    METRIC_NAMES,
    OF_RESPONSES,
    OF_SESSIONS,
    RESPONSE_METRICS,
    Arms,
    ResponseMetric,
    SessionMetric,
    SessionValues,
    answerable,
    session_values,
    user_sums,
)
from llmtrack.analysis.experiment.population import UNKNOWN, check, left_out, named, verdicts, weights_of
from llmtrack.analysis.experiment.result import EngagementResult, GroupValue, Health, MetricResult
from llmtrack.analysis.experiment.users import People, people
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.result import Comparison, number, pair
from llmtrack.analysis.stats import div, percentile_interval, quantile, share_interval
from llmtrack.analysis.stats.ratio import NO_INTERVAL
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings
    from llmtrack.session.cleaning import Cleaned

Mask = npt.NDArray[np.bool_]
Arm = TypeVar("Arm", SumsArm, ResponseArm)

DEFAULT_PRIMARY: Final = ("prompts_per_session", "copied_response_share", "reask_share")


class _Plan(NamedTuple):
    """Who is compared with whom, and how."""

    arms: Arms
    control: int
    options: Options


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What engagement and its A/A keep of sessions: the numbers of each, and of each answer."""

    by: str = "model_group"

    fields: ClassVar = tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.FIELDS)))

    def __post_init__(self) -> None:
        check(self.by)

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, and a row an answer."""
        interaction = Interaction(cleaned)
        found = table(interaction.turns())
        answers = found.loc[found["answered"], ["session", *OF_RESPONSES]].reset_index(drop=True)
        numbers = table(interaction.summary())[[*OF_SESSIONS, *({self.by} - {*OF_SESSIONS, "none"})]]
        return Part(compact(numbers), {"responses": compact(answers)}, Tally.of(cleaned))


@dataclass(frozen=True, kw_only=True)
class Engagement(Picked):
    """Every metric by group, each other group against the control; docs/statistics.md says how it is made.

    `control`: a group; default: the one named "control", else the first of the configured weights, else the first by
    name. `primary`: at most 3 metrics, corrected by Holm; the others are exploratory (Benjamini-Hochberg). `margin`: a
    lift within ± margin is equivalent. `force`: verdicts although the groups may not be comparable. `weights`: shares
    of users in place of the configured ones. Raises UsageError.
    """

    control: str | None = None
    primary: tuple[str, ...] = DEFAULT_PRIMARY
    margin: float = 0.05
    force: bool = False
    seed: int = 0
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        check(self.by, self.primary)

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> EngagementResult:
        """The metrics of all parts."""
        whole = merge(parts)
        return engagement(
            whole.sessions,
            one_group=settings.one_group,
            by=self.by,
            control=self.control,
            primary=self.primary,
            weights=self.weights or weights_of(whole.sessions, settings.weights),
            margin=self.margin,
            seed=self.seed,
            force=self.force,
            responses=responses_of(whole.sessions, whole.tables["responses"], self.by),
            tally=whole.tally,
        )


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
    tally: Tally | None = None,
    one_group: bool = False,
) -> EngagementResult:
    """The metrics of docs/statistics.md by group, each other group against the control.

    `sessions`: the summary table, a row a session. `responses`: a row a response with user_id, group (the value of
    `by`), latency_ms, first_action_s and first_action_censored (see responses_of). Metrics whose columns are missing
    are left out and named in a warning. `weights`: configured shares of users, any scale, for the SRM check.
    `permutations` and `bootstraps`: how often users are resampled, 0 for never (Welch's p throughout, no intervals of
    quantiles). The others are those of `Engagement`.

    Raises UsageError for an unknown group, column or metric, or more than 3 primary metrics.
    """
    check(by, primary)
    who = people(sessions, by, control, weights, one_group=one_group)
    arms = who.arms
    plan = _Plan(arms, who.control, Options(alpha, seed, permutations, bootstraps))
    found = [_session_metric(metric, who.sessions, plan) for metric in answerable(sessions)]
    if responses is not None:
        found += [_response_metric(metric, rows, plan) for metric, rows in response_rows(responses, arms)]
    judged = force or verdicts(who.warnings)
    results = _judged(found, primary, alpha=alpha, margin=margin, verdicts=judged)
    missing = left_out([name for name in METRIC_NAMES if name not in {result.metric for result in results}])
    return EngagementResult(
        control=who.control_name,
        sessions=len(who.sessions),
        users=int(who.sessions["user_id"].nunique()),
        health=_health(who),
        metrics=results,
        warnings=[*who.warnings, *missing],
        tally=(tally or Tally(len(sessions))).with_excluded(who.excluded),
    )


def _health(who: People) -> Health:
    sessions, found = who.sessions, who.arms
    ended = (sessions["end_estimated"].to_numpy(dtype=bool) | sessions["duration_s"].isna().to_numpy()).astype(float)
    of_session, groups = found.arm[found.row], len(found.groups)
    missing = np.bincount(of_session, ended, minlength=groups) / np.bincount(of_session, minlength=groups)
    return Health(
        srm_p=number(who.srm_p),
        users_in_several_groups=who.excluded["users_in_several_groups"],
        open_sessions=int(sessions["open"].sum()),
        end_missing_share=dict(zip(found.groups, missing.tolist(), strict=True)),
    )


def responses_of(sessions: pd.DataFrame, answers: pd.DataFrame, by: str = "model_group") -> pd.DataFrame:
    """The `responses` of `engagement`: a row an answer, with its session's user and group.

    `answers`: a row an answered turn whose `session` is the index label of its row in `sessions`, with OF_RESPONSES.
    """
    session = named(sessions).loc[answers["session"]]
    group = np.full(len(answers), "all") if by == "none" else session[by].fillna(UNKNOWN).to_numpy()
    return answers[[*OF_RESPONSES]].assign(user_id=session["user_id"].to_numpy(), group=group)


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


class _Found(NamedTuple):
    """A metric's groups and its tests, not adjusted yet."""

    metric: SessionMetric | ResponseMetric
    groups: list[GroupValue]
    tests: list[Tested]
    winsorised_at: float | None = None


def _session_metric(metric: SessionMetric, sessions: pd.DataFrame, plan: _Plan) -> _Found:
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
    return _Found(metric, groups, tests, number(values.limit) if metric.heavy else None)


def _group_value(
    name: str, metric: SessionMetric, arm: SumsArm, values: SessionValues, mine: Mask, alpha: float
) -> GroupValue:
    estimate = arm.estimate
    ci = NO_INTERVAL
    if arm.users >= MIN_USERS:
        ci = share_interval(arm.numerator, arm.denominator, alpha) if metric.share else mean_interval(arm, alpha)
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


def _response_metric(metric: ResponseMetric, found: Responses, plan: _Plan) -> _Found:
    members = [
        response_arm(metric, found, plan.arms.arm, group, plan.options) for group in range(len(plan.arms.groups))
    ]
    groups = [
        GroupValue(
            group=name,
            value=number(arm.value),
            ci=pair(percentile_interval(arm.replicates, plan.options.alpha)),
            median=number(arm.value if metric.q == 0.5 else quantile(arm.values, 0.5)),
            users=arm.users,
            sessions=None,
            numerator=None,
            denominator=float(len(arm.values)),
            n_eff=number(arm.n_eff),
        )
        for name, arm in zip(plan.arms.groups, members, strict=True)
    ]
    return _Found(
        metric, groups, _tested(metric, members, partial(compare_responses, metric, options=plan.options), plan)
    )


def _tested(
    metric: SessionMetric | ResponseMetric, members: Sequence[Arm], compare: Callable[[Arm, Arm], Outcome], plan: _Plan
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


def _judged(
    found: Sequence[_Found], primary: Sequence[str], *, alpha: float, margin: float, verdicts: bool
) -> list[MetricResult]:
    """Adjusted p values: one family of the primary metrics, one of the rest, each over all groups."""
    of_metric: dict[str, list[Comparison]] = {}
    for exploratory, correction in ((False, HOLM), (True, BENJAMINI_HOCHBERG)):
        family = [test for each in found if (each.metric.name not in primary) == exploratory for test in each.tests]
        judge = partial(compared, correction=correction, alpha=alpha, margin=margin, verdicts=verdicts)
        for comparison in judge(family):
            of_metric.setdefault(comparison.metric, []).append(comparison)
    return [
        MetricResult(
            metric=metric.name,
            unit=metric.unit,
            good=metric.good,
            exploratory=metric.name not in primary,
            groups=groups,
            comparisons=of_metric.get(metric.name, []),
            winsorised_at=limit,
        )
        for metric, groups, _, limit in found
    ]
