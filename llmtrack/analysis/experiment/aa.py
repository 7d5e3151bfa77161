"""A/A: how often would these very data show a difference where there is none?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.inference import Options, compare_responses, compare_sums, response_arm, sums_arm
from llmtrack.analysis.experiment.metrics import answerable, session_values, user_sums
from llmtrack.analysis.experiment.population import check, select
from llmtrack.analysis.experiment.report import response_rows
from llmtrack.analysis.stats import Interval, div, wilson


class FalsePositives(NamedTuple):
    """Of `tests` comparisons without a true difference, `significant` had an unadjusted p under alpha."""

    metric: str
    tests: int
    significant: int
    rate: float
    ci: Interval


class AA(NamedTuple):
    """The false-positive rate of every metric; an honest test has alpha inside its interval."""

    runs: int
    alpha: float
    metrics: list[FalsePositives]

    def to_dict(self) -> dict[str, object]:
        """JSON: runs, alpha and metrics with metric, tests, significant, rate and ci; a missing number is None."""
        rows = [
            {
                **row._asdict(),
                "rate": row.rate if row.tests else None,
                "ci": list(row.ci) if row.tests else None,
            }
            for row in self.metrics
        ]
        return {"runs": self.runs, "alpha": self.alpha, "metrics": rows}

    def to_frame(self) -> pd.DataFrame:
        """One row a metric."""
        columns = ["metric", "tests", "significant", "rate", "ci_lo", "ci_hi"]
        return pd.DataFrame([[*row[:4], *row.ci] for row in self.metrics], columns=columns)


def aa(
    sessions: pd.DataFrame,
    runs: int,
    *,
    by: str = "model_group",
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = 500,
    responses: pd.DataFrame | None = None,
) -> AA:
    """Users change groups at random `runs` times, sizes kept, and every comparison is made again.

    The arguments are those of `engagement`. A comparison that allows no inference (under 30 users) is no test. Raises
    UsageError as `engagement` does.
    """
    check(sessions, by, ())
    population = select(sessions, by, None, None)
    arms = population.arms
    sums = {
        metric.name: user_sums(session_values(metric, population.sessions, arms.row), len(arms.arm))
        for metric in answerable(sessions)
    }
    found = response_rows(responses, arms) if responses is not None else []
    options = Options(alpha, seed, permutations, bootstraps=0)
    groups = [population.control, *(g for g in range(len(arms.groups)) if g != population.control)]
    p: dict[str, list[float]] = {name: [] for name in (*sums, *(metric.name for metric, _ in found))}
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        arm = rng.permutation(arms.arm)
        for name, users in sums.items():
            first, *others = (sums_arm(users, arm, group) for group in groups)
            p[name] += [compare_sums(first, other, options).difference.p for other in others]
        for metric, rows in found:
            control, *rest = (response_arm(metric, rows, arm, group, options) for group in groups)
            p[metric.name] += [compare_responses(metric, control, other, options).difference.p for other in rest]
    return AA(runs, alpha, [_rate(name, np.array(values), alpha) for name, values in p.items()])


def _rate(name: str, p: npt.NDArray[np.float64], alpha: float) -> FalsePositives:
    tests, significant = int((~np.isnan(p)).sum()), int((p < alpha).sum())
    return FalsePositives(name, tests, significant, div(significant, tests), wilson(significant, tests))
