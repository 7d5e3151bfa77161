"""What engagement() returns: small records that become JSON or a table."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from llmtrack.analysis.stats import Good, Interval


class GroupValue(NamedTuple):
    """A metric in one group. `ci` is NaN without inference; `raw_value` (before winsorising) only on heavy tails."""

    group: str
    value: float
    ci: Interval
    median: float
    users: int
    sessions: int | None
    numerator: float
    denominator: float
    n_eff: float
    raw_value: float | None = None


class Contrast(NamedTuple):
    """A group against the control. `mde` is in the metric's unit, `lift` a share of the control's value."""

    group: str
    control: str
    difference: float
    difference_ci: Interval
    lift: float
    lift_ci: Interval
    p: float
    p_adjusted: float
    correction: str
    method: str
    mde: float
    verdict: str | None


class MetricResult(NamedTuple):
    """One metric in all groups; `winsorised_at` (unit of the metric) only on heavy tails."""

    metric: str
    unit: str
    good: Good
    exploratory: bool
    groups: list[GroupValue]
    comparisons: list[Contrast]
    winsorised_at: float | None = None


class Health(NamedTuple):
    """Whether the comparison can be trusted; shares are 0 to 1."""

    srm_p: float
    users_in_several_groups: int
    open_sessions: int
    end_missing_share: dict[str, float]


class Note(NamedTuple):
    """Something the reader must know before the numbers."""

    code: str
    text: str


class Engagement(NamedTuple):
    """The numbers of every metric by group, with what may be concluded from them."""

    control: str | None
    sessions: int
    users: int
    excluded: dict[str, int]
    health: Health
    metrics: list[MetricResult]
    warnings: list[Note]

    def to_dict(self) -> dict[str, object]:
        """The documented JSON (docs/statistics.md); a number that does not exist is None."""
        return {
            "unit": "user",
            "control": self.control,
            "sessions": self.sessions,
            "users": self.users,
            "excluded": dict(self.excluded),
            "health": _plain(self.health),
            "metrics": [_metric(metric) for metric in self.metrics],
            "warnings": [note._asdict() for note in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a metric and group, its comparison with the control beside it; an interval is two columns."""
        return pd.DataFrame([row for metric in self.metrics for row in _rows(metric)])


_SPARSE = ("raw_value", "winsorised_at")


def _metric(metric: MetricResult) -> dict[str, object]:
    plain = _record(metric)
    plain["groups"] = [_record(group) for group in metric.groups]
    plain["comparisons"] = [_record(contrast) for contrast in metric.comparisons]
    return plain


def _record(record: GroupValue | Contrast | MetricResult) -> dict[str, object]:
    fields = record._asdict()
    return {key: _plain(value) for key, value in fields.items() if not (key in _SPARSE and value is None)}


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Interval):
        return list(value) if math.isfinite(value.lo) and math.isfinite(value.hi) else None
    if isinstance(value, Health):
        return {key: _plain(item) for key, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _rows(metric: MetricResult) -> list[dict[str, object]]:
    contrasts = {contrast.group: contrast for contrast in metric.comparisons}
    about = {key: getattr(metric, key) for key in ("metric", "unit", "good", "exploratory", "winsorised_at")}
    empty = dict.fromkeys(Contrast._fields[1:])
    return [
        {
            **about,
            **_flat(group._asdict()),
            **_flat({**empty, **(contrasts[group.group]._asdict() if group.group in contrasts else {})}),
        }
        for group in metric.groups
    ]


def _flat(fields: dict[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in fields.items():
        if key == "ci" or key.endswith("_ci"):
            lo, hi = value if isinstance(value, Interval) else (math.nan, math.nan)
            flat[f"{key}_lo"], flat[f"{key}_hi"] = lo, hi
        else:
            flat[key] = value
    return flat
