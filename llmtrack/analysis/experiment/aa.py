"""A/A: how often would these very data show a difference where there is none?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.inference import (
    Options,
    Outcome,
    compare_responses,
    compare_sums,
    response_arm,
    sums_arm,
)
from llmtrack.analysis.experiment.measured import response_rows
from llmtrack.analysis.experiment.metrics import answerable, session_values, user_sums
from llmtrack.analysis.experiment.population import check, select
from llmtrack.analysis.experiment.report import Picked, responses_of
from llmtrack.analysis.parts import Part, merge
from llmtrack.analysis.result import Pair, Result, number, pair
from llmtrack.analysis.stats import div, share_interval
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings


class Rate(NamedTuple):
    """Of `tests` comparisons without a true difference, `significant` had an unadjusted p under alpha.

    `ci` allows for groups of one run that share their control, and for all metrics looked at: of honest tests, one in
    twenty looks finds any metric whose interval leaves out alpha. `why`, where there is no test: "constant" (the metric
    never varies) or "few_users".
    """

    metric: str
    tests: int
    significant: int
    rate: float | None
    ci: Pair
    why: str | None


@dataclass(frozen=True, kw_only=True)
class AA(Result):
    """The false-positive rate of every metric; an honest test has alpha inside its interval."""

    title: ClassVar = "A/A"
    columns: ClassVar = ("metric", "tests", "significant", "rate", "ci_lo", "ci_hi", "why")

    runs: int
    alpha: float
    metrics: list[Rate]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a metric."""
        for row in self.metrics:
            lo, hi = row.ci or (None, None)
            yield {**row._asdict(), "ci_lo": lo, "ci_hi": hi}


@dataclass(frozen=True, kw_only=True)
class FalsePositives(Picked):
    """How often each metric differs when users are given random groups `runs` times. Raises UsageError."""

    runs: int
    seed: int = 0

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> AA:
        """The rates in all parts."""
        whole = merge(parts)
        responses = responses_of(whole.sessions, whole.tables["responses"], self.by)
        return aa(whole.sessions, self.runs, by=self.by, seed=self.seed, responses=responses, tally=whole.tally)


def aa(
    sessions: pd.DataFrame,
    runs: int,
    *,
    by: str = "model_group",
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = 500,
    responses: pd.DataFrame | None = None,
    tally: Tally | None = None,
) -> AA:
    """Users change groups at random `runs` times, sizes kept, and every comparison is made again.

    The arguments are those of `engagement`. A comparison without inference (under 5 users) is no test, nor is one of a
    metric that never varies. Raises UsageError as `engagement` does.
    """
    check(by)
    population = select(sessions, by, None, None)
    arms = population.arms
    sums = {
        metric.name: user_sums(session_values(metric, population.sessions, arms.row), len(arms.arm))
        for metric in answerable(sessions)
    }
    found = response_rows(responses, arms) if responses is not None else []
    options = Options(alpha, seed, permutations, intervals=False)
    groups = [population.control, *(g for g in range(len(arms.groups)) if g != population.control)]
    outcomes: dict[str, list[list[Outcome]]] = {name: [] for name in (*sums, *(metric.name for metric, _ in found))}
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        arm = rng.permutation(arms.arm)
        for name, users in sums.items():
            first, *others = (sums_arm(users, arm, group) for group in groups)
            outcomes[name].append([compare_sums(first, other, options) for other in others])
        for metric, rows in found:
            control, *rest = (response_arm(metric, rows, arm, group, options) for group in groups)
            outcomes[metric.name].append([compare_responses(metric, control, other, options) for other in rest])
    looked_at = sum(any(_tests(run) for run in each) for each in outcomes.values())
    return AA(
        runs=runs,
        alpha=alpha,
        metrics=[_rate(name, each, alpha, max(1, looked_at)) for name, each in outcomes.items()],
        warnings=[],
        tally=(tally or Tally(len(sessions))).with_excluded(population.excluded),
    )


def _tests(run: Sequence[Outcome]) -> list[float]:
    """The p values of a run that a test gave."""
    return [each.difference.p for each in run if each.method not in ("none", "constant")]


def _rate(name: str, runs: Sequence[Sequence[Outcome]], alpha: float, looked_at: int) -> Rate:
    p = [tested for run in runs if (tested := _tests(run))]
    significant, tests = (np.array([count(run) for run in p], dtype=np.float64) for count in (_under(alpha), len))
    methods = {each.method for run in runs for each in run}
    return Rate(
        metric=name,
        tests=int(tests.sum()),
        significant=int(significant.sum()),
        rate=number(div(float(significant.sum()), float(tests.sum()))),
        ci=pair(share_interval(significant, tests, alpha / looked_at)),
        why=None if len(tests) else "constant" if "constant" in methods else "few_users",
    )


def _under(alpha: float) -> Callable[[Sequence[float]], int]:
    return lambda p: sum(each < alpha for each in p)
