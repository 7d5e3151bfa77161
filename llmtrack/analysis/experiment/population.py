"""Whose sessions are compared, and what the reader must know before believing a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.inference import MIN_USERS
from llmtrack.analysis.experiment.metrics import METRIC_NAMES, Arms, arms
from llmtrack.analysis.result import Note
from llmtrack.analysis.stats import srm_p
from llmtrack.errors import UsageError

GROUPINGS = ("model_group", "experiment_id", "device", "browser", "os", "none")
MAX_PRIMARY = 3
# Kohavi, Tang & Xu (2020): a true mismatch shows far below this, chance seldom.
SRM_P = 0.001
# What the readers of documents write where a text is missing.
UNKNOWN = "unknown"


class Population(NamedTuple):
    """The sessions that are compared, their users by group, and who was left out."""

    sessions: pd.DataFrame
    arms: Arms
    control: int
    excluded: dict[str, int]


def check(by: str, primary: Sequence[str] = ()) -> None:
    """Raises UsageError for a grouping, or primary metrics, that cannot be answered."""
    if by not in GROUPINGS:
        raise UsageError(f'Sessions cannot be grouped by "{by}".', f"Choose one of {', '.join(GROUPINGS)}.")
    unknown = [name for name in primary if name not in METRIC_NAMES]
    if unknown:
        raise UsageError(f'There is no metric "{unknown[0]}".', f"Choose from {', '.join(METRIC_NAMES)}.")
    if len(primary) > MAX_PRIMARY:
        hint = f"Name at most {MAX_PRIMARY}; every other metric is shown as exploratory."
        raise UsageError(f"{len(primary)} primary metrics were named.", hint)


def select(sessions: pd.DataFrame, by: str, control: str | None, weights: Mapping[str, float] | None) -> Population:
    """Sessions without a user, and users in several groups of one experiment, leave; the rest is arranged by group.

    Raises UsageError when no session belongs to `control`.
    """
    nobody = _missing(sessions["user_id"])
    several = _in_several_groups(sessions) & ~nobody if by == "model_group" else pd.Series(False, sessions.index)
    excluded = {
        "sessions_without_user": int(nobody.sum()),
        "users_in_several_groups": int(sessions.loc[several, "user_id"].nunique()),
    }
    if nobody.any() or several.any():
        sessions = sessions[~(nobody | several)]
    group = pd.Series("all", sessions.index) if by == "none" else sessions[by].fillna(UNKNOWN)
    found = arms(sessions["user_id"], group)
    return Population(sessions, found, _control(found.groups, control, weights), excluded)


def users_of(population: Population) -> dict[str, int]:
    """How many users each group has."""
    found = population.arms
    return dict(zip(found.groups, np.bincount(found.arm, minlength=len(found.groups)).tolist(), strict=True))


def split_p(population: Population, by: str, weights: Mapping[str, float] | None) -> float:
    """p of the configured split of users; NaN where none is configured."""
    return srm_p(users_of(population), weights) if weights is not None and by == "model_group" else float("nan")


def notes(population: Population, by: str, weights: Mapping[str, float] | None) -> list[Note]:
    """A warning with a stable code for each thing that a reader must know before believing a comparison."""
    sessions, found, users = population.sessions, population.arms, users_of(population)
    several = population.excluded["users_in_several_groups"]
    if len(users) < 2:
        return []
    p = split_p(population, by, weights)
    warnings = [*_srm_notes(users, p, weights, by), *_design_notes(sessions, by)]
    if several:
        text = f"{several} users were seen in more than one group of an experiment and are left out."
        warnings.append(Note("users_in_several_groups", text))
    shared = len(found.arm) - int(sessions["user_id"].nunique())
    if shared:
        text = f"{shared} users count in more than one group; the intervals take the groups as independent."
        warnings.append(Note("overlapping_users", text))
    small = [f"{name} ({count})" for name, count in users.items() if count < MIN_USERS]
    if small:
        text = f"Under {MIN_USERS} users in {', '.join(small)}: numbers, but no inference."
        warnings.append(Note("small_group", text))
    return warnings


def weights_of(sessions: pd.DataFrame, weights: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """The configured shares of users of the one experiment that these sessions belong to."""
    named = [name for name in sessions["experiment_id"].unique() if name != UNKNOWN]
    return weights.get(named[0]) if len(named) == 1 else None


def left_out(names: Sequence[str]) -> list[Note]:
    """A warning that names the metrics whose columns are missing; none when all are there."""
    text = f"Left out for lack of their columns: {', '.join(names)}."
    return [Note("metrics_left_out", text)] if names else []


def _srm_notes(users: Mapping[str, int], p: float, weights: Mapping[str, float] | None, by: str) -> list[Note]:
    if by != "model_group":
        return []
    if weights is None:
        return [Note("srm_unchecked", "No configured weights: whether users were split as meant is not checked.")]
    warnings = []
    if p < SRM_P:
        counts = ", ".join(f"{name} {count}" for name, count in users.items())
        text = (
            f"Users were not split as configured ({counts}; p = {p:.1g}): something loses or doubles users of one"
            " group. Find it before reading differences; there are no verdicts unless forced."
        )
        warnings.append(Note("srm", text))
    strangers = [name for name in users if not weights.get(name, 0) > 0]
    if strangers:
        warnings.append(Note("unweighted_group", f"No configured weight for {', '.join(strangers)}."))
    return warnings


def _design_notes(sessions: pd.DataFrame, by: str) -> list[Note]:
    if by != "model_group":
        text = f"Nobody assigned {by} at random: differences may come from who the users are."
        return [Note("observational", text)]
    experiments = sessions["experiment_id"]
    missing = int(_missing(experiments).sum())
    if missing:
        text = (
            f"{missing} sessions have no experiment_id, so nothing says that users were assigned at random:"
            " differences may come from who the users are."
        )
        return [Note("observational", text)]
    if experiments.nunique() > 1:
        text = f"{experiments.nunique()} experiments are pooled; choose one with --experiment."
        return [Note("several_experiments", text)]
    return []


def _missing(column: pd.Series) -> pd.Series:
    return column.isna() | column.isin(["", UNKNOWN])


def _in_several_groups(sessions: pd.DataFrame) -> pd.Series:
    """Sessions of users that have more than one model group within the session's experiment."""
    user, _ = pd.factorize(sessions["user_id"])
    experiment, experiments = pd.factorize(sessions["experiment_id"].fillna(UNKNOWN))
    group, groups = pd.factorize(sessions["model_group"].fillna(UNKNOWN))
    pair = user.astype(np.int64) * max(1, len(experiments)) + experiment
    triple = pair * max(1, len(groups)) + group
    pairs, row = np.unique(pair, return_inverse=True)
    held = np.bincount(np.searchsorted(pairs, np.unique(triple) // max(1, len(groups))), minlength=len(pairs))
    return pd.Series(held[row] > 1, sessions.index)


def _control(groups: tuple[str, ...], control: str | None, weights: Mapping[str, float] | None) -> int:
    if control is not None and control not in groups:
        raise UsageError(f'No session belongs to the control "{control}".', f"Groups: {', '.join(groups) or 'none'}.")
    known = [name for name in groups if name != UNKNOWN]
    candidates = ["control", *(weights or ()), *known] if control is None else [control]
    return next((groups.index(name) for name in candidates if name in groups), 0)
