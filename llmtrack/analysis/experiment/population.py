"""Whose sessions are compared, and what the reader must know before believing a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.inference import MIN_USERS
from llmtrack.analysis.experiment.metrics import METRIC_NAMES, Arms, arms
from llmtrack.analysis.interaction.models import MIXED, MODELS
from llmtrack.analysis.result import Note
from llmtrack.analysis.stats import srm_p
from llmtrack.errors import UsageError

GROUPINGS = ("model_group", "experiment_id", "device", "browser", "os", *MODELS, "none")
MAX_PRIMARY = 3
# Kohavi, Tang & Xu (2020): a true mismatch shows far below this, chance seldom.
SRM_P = 0.001
MOST = 0.5  # of a group's sessions
# What the readers of documents write where a text is missing.
UNKNOWN = "unknown"


class Population(NamedTuple):
    """The sessions that are compared, their users by group, who was left out, and p of the configured split.

    `unnamed`: how many sessions have no user, no group.
    """

    sessions: pd.DataFrame
    arms: Arms
    control: int
    excluded: dict[str, int]
    unnamed: tuple[int, int]
    srm_p: float


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


def select(
    sessions: pd.DataFrame,
    by: str,
    control: str | None,
    weights: Mapping[str, float] | None,
    *,
    one_group: bool = False,
) -> Population:
    """Users in several groups of one experiment leave; the rest is arranged by group.

    A session without a user is a user of its own. A session that lost its group has that of its user, where all others
    of the user in the experiment agree. Where no experiment is named, nobody was assigned: users of several groups
    stay. `one_group`: the sessions of one group were asked for, so that nothing can be said of the split. Raises
    UsageError when no session belongs to `control`.
    """
    sessions = named(sessions)
    nobody = int(sessions["nameless"].sum())
    several = in_several_groups(sessions) if by == "model_group" else np.zeros(len(sessions), dtype=np.bool_)
    if "several_groups" in sessions and by == "model_group":
        several |= sessions["several_groups"].to_numpy(dtype=np.bool_)
    excluded = {"users_in_several_groups": int(sessions.loc[several, "user_id"].nunique())}
    if several.any():
        sessions = sessions[~several]
    group = pd.Series("all", sessions.index) if by == "none" else sessions[by].mask(_missing(sessions[by]), UNKNOWN)
    found = arms(sessions["user_id"], group)
    lost = int((group == UNKNOWN).sum()) if by == "model_group" else 0
    users = dict(zip(found.groups, np.bincount(found.arm, minlength=len(found.groups)).tolist(), strict=True))
    checked = weights is not None and by == "model_group" and not one_group
    p = srm_p(users, weights or {}) if checked else float("nan")
    return Population(sessions, found, _control(found.groups, control, weights), excluded, (nobody, lost), p)


def named(sessions: pd.DataFrame) -> pd.DataFrame:
    """The sessions with a user each, and with the group that a session lost and its user has.

    `nameless` says which sessions had no user.
    """
    if "nameless" in sessions:
        return sessions
    user, nobody = sessions["user_id"], _missing(sessions["user_id"])
    if nobody.any():  # nobody's sessions are not one person's
        user = user.mask(nobody, "session " + sessions["session_id"])
    group = sessions["model_group"].mask(_missing(sessions["model_group"]), UNKNOWN)
    lost = (group == UNKNOWN) & ~_missing(sessions["experiment_id"])
    if lost.any():
        pair = [user, sessions["experiment_id"]]
        known = group.mask(group == UNKNOWN)
        only = known.groupby(pair).transform("first").where(known.groupby(pair).transform("nunique") == 1)
        group = group.mask(lost & only.notna(), only)
    return sessions.assign(user_id=user, model_group=group, nameless=nobody)


def in_several_groups(sessions: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which sessions are of users with more than one known group within the session's experiment."""
    known = ~(_missing(sessions["model_group"]) | _missing(sessions["experiment_id"]))
    pair = ["user_id", "experiment_id"]
    seen = sessions.loc[known, [*pair, "model_group"]].drop_duplicates()
    twice = seen.loc[seen.duplicated(pair), pair].drop_duplicates()
    if twice.empty:
        return np.zeros(len(sessions), dtype=np.bool_)
    return np.asarray(pd.MultiIndex.from_frame(sessions[pair]).isin(pd.MultiIndex.from_frame(twice)), dtype=np.bool_)


def users_of(population: Population) -> dict[str, int]:
    """How many users each group has."""
    found = population.arms
    return dict(zip(found.groups, np.bincount(found.arm, minlength=len(found.groups)).tolist(), strict=True))


def notes(population: Population, by: str, weights: Mapping[str, float] | None) -> list[Note]:
    """A warning with a stable code for each thing that a reader must know before believing a comparison."""
    sessions, found, users = population.sessions, population.arms, users_of(population)
    several = population.excluded["users_in_several_groups"]
    if not len(sessions):
        text = f"All {several} users were seen in more than one group of an experiment: there is nobody to compare."
        return [Note("nobody_left", text)] if several else []
    warnings = _srm_notes(population, weights) if by == "model_group" else []
    pooled = _pooled_notes(sessions) if by == "model_group" else []
    if len(users) > 1:
        unchecked = Note("srm_unchecked", "No configured weights: whether users were split as meant is not checked.")
        warnings += [unchecked] if by == "model_group" and weights is None else []
        warnings += _design_notes(sessions, by) or pooled
        if several:
            text = f"{several} users were seen in more than one group of an experiment and are left out."
            warnings.append(Note("users_in_several_groups", text))
    else:
        warnings += pooled
    nobody, lost = population.unnamed
    if nobody:
        text = f"{nobody} sessions have no user_id: each counts as a user of its own."
        warnings.append(Note("sessions_without_user", text))
    if lost and len(users) > 1:
        text = f'{lost} sessions have no model_group, nor has their user one: they stand as the group "{UNKNOWN}".'
        warnings.append(Note("sessions_without_group", text))
    shared = len(found.arm) - int(sessions["user_id"].nunique())
    if shared:
        text = f"{shared} users count in more than one group; the intervals take the groups as independent."
        warnings.append(Note("overlapping_users", text))
    warnings += _dominated_notes(population)
    small = [f"{name} ({count})" for name, count in users.items() if count < MIN_USERS]
    if small and len(users) > 1:
        text = f"Under {MIN_USERS} users in {', '.join(small)}: numbers, but no inference."
        warnings.append(Note("small_group", text))
    return warnings


def verdicts(warnings: Sequence[Note]) -> bool:
    """Whether anything may be concluded from differences, given what a reader is warned of."""
    return not any(note.code in ("srm", "several_experiments", "observational") for note in warnings)


def weights_of(sessions: pd.DataFrame, weights: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """The configured shares of users of the one experiment that these sessions belong to."""
    named = [name for name in sessions["experiment_id"].unique() if name != UNKNOWN]
    return weights.get(named[0]) if len(named) == 1 else None


def left_out(names: Sequence[str]) -> list[Note]:
    """A warning that names the metrics whose columns are missing; none when all are there."""
    text = f"Left out for lack of their columns: {', '.join(names)}."
    return [Note("metrics_left_out", text)] if names else []


def _srm_notes(population: Population, weights: Mapping[str, float] | None) -> list[Note]:
    users, p, warnings = users_of(population), population.srm_p, []
    if p < SRM_P:
        counts = ", ".join(f"{name} {users.get(name, 0)}" for name in dict.fromkeys([*users, *(weights or ())]))
        text = (
            f"Users were not split as configured ({counts}; p = {p:.1g}): something loses or doubles users of one"
            " group. Find it before reading differences; there are no verdicts unless forced."
        )
        warnings.append(Note("srm", text))
    strangers = [name for name in users if not weights.get(name, 0) > 0] if weights is not None else []
    if strangers:
        warnings.append(Note("unweighted_group", f"No configured weight for {', '.join(strangers)}."))
    return warnings


def _design_notes(sessions: pd.DataFrame, by: str) -> list[Note]:
    if by != "model_group":
        text = (
            f"Nobody assigned {by} at random: differences may come from who the users are, and there are no verdicts"
            " unless forced."
        )
        return [Note("observational", text)]
    experiments = sessions["experiment_id"]
    missing = int(_missing(experiments).sum())
    if missing:
        text = (
            f"{missing} sessions have no experiment_id, so nothing says that users were assigned at random:"
            " differences may come from who the users are, and there are no verdicts unless forced."
        )
        return [Note("observational", text)]
    return []


def _pooled_notes(sessions: pd.DataFrame) -> list[Note]:
    experiments = sessions["experiment_id"].nunique()
    text = f"{experiments} experiments are pooled: no verdicts; choose one with --experiment."
    return [Note("several_experiments", text)] if experiments > 1 else []


def _dominated_notes(population: Population) -> list[Note]:
    """Groups of which one user has most of the sessions."""
    found = population.arms
    sessions = np.bincount(found.row, minlength=len(found.arm))
    told = []
    for number, name in enumerate(found.groups):
        mine = sessions[found.arm == number]
        share = mine.max() / mine.sum()
        if len(mine) >= MIN_USERS and share >= MOST:
            told.append(f"one user has {share:.0%} of the sessions of {name}")
    text = "; ".join(told)
    return [Note("dominated", f"{text[0].upper()}{text[1:]}: its numbers hang on that user.")] if told else []


def _missing(column: pd.Series) -> pd.Series:
    return column.isna() | column.isin(["", UNKNOWN])


def _control(groups: tuple[str, ...], control: str | None, weights: Mapping[str, float] | None) -> int:
    if control is not None and control not in groups:
        raise UsageError(f'No session belongs to the control "{control}".', f"Groups: {', '.join(groups) or 'none'}.")
    known = [name for name in groups if name not in (UNKNOWN, MIXED)]
    candidates = ["control", *(weights or ()), *known] if control is None else [control]
    return next((groups.index(name) for name in candidates if name in groups), 0)
