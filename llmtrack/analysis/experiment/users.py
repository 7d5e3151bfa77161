"""Whose sessions count, and numbers of theirs whose unit is the user: what the smaller reports share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.comparisons import Tested, compared
from llmtrack.analysis.experiment.inference import Options, SumsArm, compare_sums, sums
from llmtrack.analysis.experiment.metrics import Arms
from llmtrack.analysis.experiment.population import notes, select, verdicts, weights_of
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction.models import labelled
from llmtrack.analysis.result import Comparison, Note, Pair, pair
from llmtrack.analysis.stats import Interval, share_interval, wilson
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats

if TYPE_CHECKING:
    from llmtrack.analysis.parts import Part
    from llmtrack.analysis.report import ReportSettings
    from llmtrack.session.cleaning.clean import Cleaned

OPTIONS: Final = Options(alpha=0.05, seed=0, permutations=2000)


class People(NamedTuple):
    """The sessions that count and their users by group; a user row is a user in a group (see metrics.Arms).

    `weights`: the configured share of users of each group, None where none is known; `srm_p`: p of that split, NaN
    where it was not checked.
    """

    sessions: pd.DataFrame
    arms: Arms
    control: int
    excluded: dict[str, int]
    warnings: list[Note]
    weights: Mapping[str, float] | None
    srm_p: float

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

    def compare(self, of_users: Mapping[str, tuple[Floats, Floats]], permutations: int = 2000) -> list[Comparison]:
        """Each metric's Σ numerator / Σ denominator in each other group against the control.

        Welch's test over users, by permutation where few users carry the weight (docs/statistics.md).
        """
        options = OPTIONS._replace(permutations=permutations)
        others = [group for group in range(len(self.groups)) if group != self.control]
        tests = [
            Tested(
                metric=metric,
                good="none",
                group=self.groups[group],
                control=self.groups[self.control],
                outcome=compare_sums(self.of_group(self.control, *each), self.of_group(group, *each), options),
            )
            for metric, each in of_users.items()
            for group in others
        ]
        return compared(tests, verdicts=verdicts(self.warnings))

    def of_group(self, group: int, numerator: Floats, denominator: Floats) -> SumsArm:
        """The users of a group who have something in the denominator; both are one number a user row."""
        mine = self.arms.arm == group
        return sums(numerator[mine], denominator[mine])


def identity(cleaned: Cleaned, by: str) -> pd.DataFrame:
    """Of each session what `people` needs to know."""
    columns = ["session_id", "start_ms", "user_id", "model_group", "experiment_id"]
    cleaned = labelled(cleaned, by)
    return table({key: cleaned.sessions[key] for key in (*columns, *({by} - {*columns, "none"}))})


def people(
    sessions: pd.DataFrame,
    by: str = "model_group",
    control: str | None = None,
    weights: Mapping[str, float] | None = None,
    *,
    one_group: bool = False,
) -> People:
    """The sessions (columns of `identity`) of the users to compare, with what a reader must be warned of.

    `population.select` has the rules. `weights`: configured shares of users, any scale. Raises UsageError for an
    unknown control.
    """
    found = select(sessions, by, control, weights, one_group=one_group)
    return People(
        sessions=found.sessions,
        arms=found.arms,
        control=found.control,
        excluded=found.excluded,
        warnings=notes(found, by, weights),
        weights=weights,
        srm_p=found.srm_p,
    )


def people_of(part: Part, by: str, control: str | None, settings: ReportSettings) -> People:
    """The people of a report's sessions."""
    weights = weights_of(part.sessions, settings.weights)
    return people(part.sessions, by, control, weights, one_group=settings.one_group)


def share_ci(part: Floats, whole: Floats) -> Interval:
    """95 % interval of Σ part / Σ whole, one number a user, no whole 0: Wilson's; clustered where users have several.

    >>> share_ci(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == wilson(1, 2)
    True
    """
    if len(whole) and whole.max() == 1:
        return wilson(float(part.sum()), len(whole))
    return share_interval(part, whole)
