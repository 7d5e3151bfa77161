"""How groups engage: every metric by group, compared with the control, with the user as the unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.comparisons import BENJAMINI_HOCHBERG, HOLM, compared
from llmtrack.analysis.experiment.inference import Options
from llmtrack.analysis.experiment.measured import (
    Found,
    Plan,
    is_told,
    response_metric,
    response_rows,
    session_metric,
    untold,
)
from llmtrack.analysis.experiment.metrics import COLUMNS, METRIC_NAMES, OF_RESPONSES, RATINGS, answerable
from llmtrack.analysis.experiment.population import UNKNOWN, check, left_out, named, verdicts, weights_of
from llmtrack.analysis.experiment.result import EngagementResult, Health, MetricResult
from llmtrack.analysis.experiment.spread import OF_SESSIONS, counts_for, spread
from llmtrack.analysis.experiment.users import People, people
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, models, summary, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.recorded import Kinds, looked_for, note
from llmtrack.analysis.result import Comparison, number
from llmtrack.analysis.stats import div
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings
    from llmtrack.session.cleaning.clean import Cleaned

DEFAULT_PRIMARY: Final = ("prompts_per_session", "copied_response_share", "reask_share")


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What engagement and its A/A keep of sessions: the numbers of each, and of each answer."""

    by: str = "model_group"

    def __post_init__(self) -> None:
        check(self.by)

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that the metrics are made of."""
        return tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.FIELDS, *models.fields(self.by))))

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, by models another for what each of them answered in it, and a row an answer."""
        interaction = Interaction(cleaned)
        found = table(interaction.turns())
        of_sessions = table(interaction.summary())
        numbers = of_sessions[[name for name in dict.fromkeys((*COLUMNS, self.by)) if name in of_sessions]]
        rows, row = spread(interaction, self.by, numbers)
        answers = found.loc[found["answered"], [*OF_RESPONSES]].reset_index(drop=True)
        answers.insert(0, "session", row[found.loc[found["answered"], "event"].to_numpy()])
        return Part(compact(rows), {"responses": compact(answers)}, interaction.tally())


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
            recorded=settings.recorded(whole.tally.recorded, looked_for(COLUMNS)),
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
    responses: pd.DataFrame | None = None,
    tally: Tally | None = None,
    one_group: bool = False,
    recorded: Kinds | None = None,
) -> EngagementResult:
    """The metrics of docs/statistics.md by group, each other group against the control.

    `sessions`: the summary table, a row a session, or its `spread`. `responses`: a row a response with user_id,
    group (the value of `by`), latency_ms, first_action_s and first_action_censored (see responses_of). Metrics whose
    columns are missing are left out and named in a warning. `weights`: configured shares of users, any scale, for the
    SRM check. `permutations`: how often users change arms, 0 for never (Welch's p throughout). `recorded`: the kinds of
    events that the source records (None: all); metrics of others are missing, and no primary ones. The others are those
    of `Engagement`.

    Raises UsageError for an unknown group, column or metric, or more than 3 primary metrics.
    """
    check(by, primary)
    who = people(sessions, by, control, weights, one_group=one_group)
    arms = who.arms
    plan = Plan(arms, who.control, Options(alpha, seed, permutations))
    found = [
        session_metric(metric, who.sessions, plan) if is_told(metric, recorded) else untold(metric, plan)
        for metric in answerable(sessions)
    ]
    for metric, rows in response_rows(responses, arms) if responses is not None else ():
        found.append(response_metric(metric, rows, plan) if is_told(metric, recorded) else untold(metric, plan))
    judged = force or verdicts(who.warnings)
    results = _judged(found, primary, alpha=alpha, margin=margin, verdicts=judged)
    not_recorded = [each.metric for each in results if not each.recorded and each.metric not in RATINGS]
    missing = left_out([name for name in METRIC_NAMES if name not in {result.metric for result in results}])
    return EngagementResult(
        control=who.control_name,
        sessions=int(counts_for(who.sessions, OF_SESSIONS).sum()),
        users=int(who.sessions["user_id"].nunique()),
        health=_health(who),
        metrics=results,
        warnings=[*who.warnings, *missing, *note(not_recorded if len(sessions) else [])],
        tally=(tally or Tally(len(sessions))).with_excluded(who.excluded),
    )


def _health(who: People) -> Health:
    whole = counts_for(who.sessions, OF_SESSIONS)
    sessions, found = who.sessions[whole], who.arms
    ended = (sessions["end_estimated"].to_numpy(dtype=bool) | sessions["duration_s"].isna().to_numpy()).astype(float)
    of_session, groups = found.arm[found.row[whole]], len(found.groups)
    of_group = np.bincount(of_session, minlength=groups)
    endless = np.bincount(of_session, ended, minlength=groups)
    missing = [number(div(each, of)) for each, of in zip(endless.tolist(), of_group.tolist(), strict=True)]
    return Health(
        srm_p=number(who.srm_p),
        users_in_several_groups=who.excluded["users_in_several_groups"],
        open_sessions=int(sessions["open"].sum()),
        end_missing_share=dict(zip(found.groups, missing, strict=True)),
    )


def responses_of(sessions: pd.DataFrame, answers: pd.DataFrame, by: str = "model_group") -> pd.DataFrame:
    """The `responses` of `engagement`: a row an answer, with its session's user and group.

    `answers`: a row an answered turn whose `session` is the index label of its row in `sessions`, with OF_RESPONSES.
    """
    session = named(sessions).loc[answers["session"]]
    group = np.full(len(answers), "all") if by == "none" else session[by].fillna(UNKNOWN).to_numpy()
    return answers[[*OF_RESPONSES]].assign(user_id=session["user_id"].to_numpy(), group=group)


def _judged(
    found: Sequence[Found], primary: Sequence[str], *, alpha: float, margin: float, verdicts: bool
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
            exploratory=metric.name not in primary or not recorded,
            recorded=recorded,
            groups=groups,
            comparisons=of_metric.get(metric.name, []),
            winsorised_at=limit,
        )
        for metric, groups, _, limit, recorded in found
    ]
