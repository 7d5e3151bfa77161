"""Whose sessions count, and numbers of theirs whose unit is the user: what the smaller reports share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.inference import MIN_USERS, Options, SumsArm, compare_sums
from llmtrack.analysis.experiment.metrics import Arms
from llmtrack.analysis.experiment.population import check, notes, select
from llmtrack.analysis.experiment.result import Note
from llmtrack.analysis.stats import Interval, holm, ratio, share_interval, wilson
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.document import UNKNOWN
from llmtrack.session.values import Floats

OPTIONS: Final = Options(alpha=0.05, seed=0, permutations=2000, bootstraps=0)
Pair = tuple[float, float] | None
Weights = Mapping[str, Mapping[str, float]]  # experiment → group → configured share of users, any scale


class Comparison(NamedTuple):
    """A group minus the control. No p and no intervals under 30 users in either; p is adjusted after Holm."""

    metric: str
    group: str
    control: str
    difference: float | None
    difference_ci: Pair
    lift: float | None
    lift_ci: Pair
    p: float | None
    p_adjusted: float | None
    method: str


class People(NamedTuple):
    """The sessions that count and their users by group; a user row is a user in a group (see metrics.Arms).

    `weights`: the configured share of users of each group, None where none is known.
    """

    sessions: pd.DataFrame
    arms: Arms
    control: int
    excluded: dict[str, int]
    warnings: list[Note]
    weights: Mapping[str, float] | None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups' names, in alphabetical order."""
        return self.arms.groups

    @property
    def control_name(self) -> str | None:
        """The control, None where there is nothing to compare."""
        return self.groups[self.control] if len(self.groups) > 1 else None

    def rows_of(self, session: Ints) -> Ints:
        """The user row of each session, given by its index label; -1 where the session does not count."""
        at = self.sessions.index.get_indexer(pd.Index(session))
        return np.where(at >= 0, self.arms.row[at], -1) if len(self.arms.row) else at

    def add(self, row: Ints, values: Floats | Bools | Ints | None = None) -> Floats:
        """The sum of the values (without any: the count) of each user row."""
        return np.bincount(row, values, minlength=len(self.arms.arm)).astype(np.float64)

    def share(self, group: int, part: Floats, whole: Floats) -> Pair:
        """95 % interval of Σ part / Σ whole in a group; both are one number a user row."""
        mine = (self.arms.arm == group) & (whole > 0)
        return pair(share_ci(part[mine], whole[mine]))

    def compare(self, sums: Mapping[str, tuple[Floats, Floats]], permutations: int = 2000) -> list[Comparison]:
        """Each metric's Σ numerator / Σ denominator in each other group against the control.

        Welch's test over users, by permutation where few users carry the weight (docs/statistics.md).
        """
        options = OPTIONS._replace(permutations=permutations)
        others = [group for group in range(len(self.groups)) if group != self.control]
        asked = [(metric, group) for metric in sums for group in others]
        found = [
            compare_sums(self._arm(*sums[metric], self.control), self._arm(*sums[metric], group), options)
            for metric, group in asked
        ]
        adjusted = holm([each.difference.p for each in found])
        return [
            Comparison(
                metric,
                self.groups[group],
                self.groups[self.control],
                number(each.difference.difference),
                pair(each.difference.difference_ci),
                number(each.difference.lift),
                pair(each.difference.lift_ci),
                number(each.difference.p),
                number(p),
                each.method,
            )
            for (metric, group), each, p in zip(asked, found, adjusted, strict=True)
        ]

    def _arm(self, numerator: Floats, denominator: Floats, group: int) -> SumsArm:
        mine = self.arms.arm == group
        num, den = numerator[mine], denominator[mine]
        return SumsArm(num, den, ratio(num, den), int(np.count_nonzero(den)))


def people(
    sessions: pd.DataFrame,
    by: str = "model_group",
    control: str | None = None,
    weights: Weights | None = None,
) -> People:
    """The sessions (columns of frames.sessions) of the users to compare, with what a reader must be warned of.

    By model_group, users in several groups of an experiment are left out. A session without a user is a user of its
    own. `weights` are those of each configured experiment, for the SRM check. Raises UsageError for an unknown grouping
    or control.
    """
    check(sessions, by, ())
    sessions = sessions.assign(
        user_id=known_users(sessions), duration_s=(sessions["end_ms"] - sessions["start_ms"]) / 1000
    )
    named = [name for name in sessions["experiment_id"].unique() if name != UNKNOWN]
    shares = (weights or {}).get(named[0]) if len(named) == 1 else None
    population = select(sessions, by, control, shares)
    _, warnings = notes(population, by, shares)
    warnings = [_rough(note) if note.code == "small_group" else note for note in warnings]
    excluded = {"users_in_several_groups": population.excluded["users_in_several_groups"]}
    return People(population.sessions, population.arms, population.control, excluded, warnings, shares)


def _rough(note: Note) -> Note:
    text = note.text.removesuffix(": numbers, but no inference.")
    return Note(note.code, f"{text}: take intervals there as rough; they are not compared.")


def known_users(sessions: pd.DataFrame) -> pd.Series:
    """Who each session is of: nobody's sessions are not one person's, each counts as a user of its own."""
    users = sessions["user_id"]
    nobody = users == UNKNOWN
    return users.mask(nobody, "session " + sessions["session_id"]) if nobody.any() else users


def in_order(sessions: pd.DataFrame) -> Ints:
    """The rows by start and id: sums do not hang on the order in which a source delivers."""
    return sessions.sort_values(["start_ms", "session_id"]).index.to_numpy()


def renumbered(parts: Sequence[pd.DataFrame], tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Batches of sessions and of rows that refer to them by `session`, each as one table in an order of their own."""
    first = np.cumsum([0, *map(len, parts)])
    sessions = pd.concat(parts, ignore_index=True)
    order = in_order(sessions)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    moved = [table.assign(session=table["session"] + n) for table, n in zip(tables, first, strict=False)]
    rows = pd.concat(moved, ignore_index=True)
    rows["session"] = place[rows["session"].to_numpy(dtype=np.int64)]
    return sessions.iloc[order].reset_index(drop=True), rows.sort_values("session", kind="stable", ignore_index=True)


def share_ci(part: Floats, whole: Floats) -> Interval:
    """95 % interval of Σ part / Σ whole, one number a user, no whole 0: Wilson's; clustered where users have several.

    >>> share_ci(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == wilson(1, 2)
    True
    """
    if len(whole) and whole.max() == 1:
        return wilson(float(part.sum()), len(whole))
    return share_interval(part, whole)


def number(value: float) -> float | None:
    """A number as JSON has it: None where there is none."""
    return float(value) if math.isfinite(value) else None


def pair(interval: Interval) -> Pair:
    """An interval as JSON has it: None where there is none."""
    known = math.isfinite(interval.lo) and math.isfinite(interval.hi)
    return (float(interval.lo), float(interval.hi)) if known else None


__all__ = [
    "MIN_USERS",
    "Comparison",
    "Note",
    "People",
    "Weights",
    "in_order",
    "known_users",
    "number",
    "pair",
    "people",
    "renumbered",
    "share_ci",
]
