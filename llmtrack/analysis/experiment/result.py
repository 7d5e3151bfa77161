"""What engagement finds: small records that become JSON or a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from llmtrack.analysis.result import Comparison, Pair, Result, plain
from llmtrack.analysis.stats import Good


class GroupValue(NamedTuple):
    """A metric in one group. No `ci` without inference; `raw_value` (before winsorising) only on heavy tails."""

    group: str
    value: float | None
    ci: Pair
    median: float | None
    users: int
    sessions: int | None
    numerator: float | None
    denominator: float
    n_eff: float | None
    raw_value: float | None = None


class MetricResult(NamedTuple):
    """One metric in all groups; `winsorised_at` (unit of the metric) only on heavy tails.

    Not `recorded`: the source never records what it is made of, and there are no numbers.
    """

    metric: str
    unit: str
    good: Good
    exploratory: bool
    groups: list[GroupValue]
    comparisons: list[Comparison]
    winsorised_at: float | None = None
    recorded: bool = True


class Health(NamedTuple):
    """Whether the comparison can be trusted; shares are 0 to 1."""

    srm_p: float | None
    users_in_several_groups: int
    open_sessions: int
    end_missing_share: dict[str, float | None]


_OF_METRIC = ("metric", "unit", "good", "exploratory", "winsorised_at", "recorded")
_OF_GROUP = (
    "group", "value", "ci_lo", "ci_hi", "median", "users", "sessions", "numerator", "denominator", "n_eff", "raw_value",
)  # fmt: skip
_OF_COMPARISON = (
    "control", "difference", "difference_ci_lo", "difference_ci_hi", "lift", "lift_ci_lo", "lift_ci_hi",
    "p", "p_adjusted", "correction", "method", "mde", "verdict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EngagementResult(Result):
    """The numbers of every metric by group, with what may be concluded from them."""

    title: ClassVar = "Engagement"
    columns: ClassVar = (*_OF_METRIC, *_OF_GROUP, *_OF_COMPARISON)
    last: ClassVar = ("excluded", "health", "metrics", "warnings", "repaired")

    unit: str = "user"
    control: str | None
    sessions: int
    users: int
    health: Health
    metrics: list[MetricResult]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a metric and group, its comparison with the control beside it; an interval is two columns."""
        for metric in self.metrics:
            about = {key: getattr(metric, key) for key in _OF_METRIC}
            contrasts = {each.group: each for each in metric.comparisons}
            for group in metric.groups:
                contrast = contrasts.get(group.group)
                yield {**about, **(_ends(contrast) if contrast else {}), **_ends(group)}

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON (docs/statistics.md); a number that does not exist is None."""
        return {**super().to_dict(), "metrics": [_sparse(metric) for metric in self.metrics]}


def _ends(record: GroupValue | Comparison) -> dict[str, Any]:
    """A record with each interval as two values."""
    found: dict[str, Any] = {}
    for key, value in record._asdict().items():
        if key == "ci" or key.endswith("_ci"):
            found[f"{key}_lo"], found[f"{key}_hi"] = value or (None, None)
        else:
            found[key] = value
    return found


def _sparse(metric: MetricResult) -> dict[str, Any]:
    """Without the keys that only some metrics have."""
    found: dict[str, Any] = plain(metric)
    heavy = metric.winsorised_at is not None or any(group.raw_value is not None for group in metric.groups)
    if not heavy:
        for each in (found, *found["groups"]):
            each.pop("raw_value", None)
            each.pop("winsorised_at", None)
    for each in found["comparisons"]:
        del each["metric"]
    return found
