"""What a funnel answers, as small records."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd


class StepResult(NamedTuple):
    """One step of one group; seconds are counted from the step before. None: there is no number."""

    step: str
    reached: int
    of_all: float | None
    of_all_ci: tuple[float | None, float | None]
    of_previous: float | None
    median_s: float | None
    p90_s: float | None


class GroupResult(NamedTuple):
    """The funnel of one group."""

    group: str
    units: int
    steps: tuple[StepResult, ...]


class Comparison(NamedTuple):
    """The share of all units that reached a step, in a group minus in the control."""

    group: str
    control: str
    step: str
    difference: float | None
    ci: tuple[float | None, float | None]
    p: float | None
    p_adjusted: float | None


class Note(NamedTuple):
    """Something the reader of the numbers should know."""

    code: str
    text: str


class Funnel(NamedTuple):
    """The result of `funnel`. `excluded` and `repaired` count what was left out and mended, by reason."""

    unit: str
    order: str
    window_s: float
    units: int
    excluded: dict[str, int]
    repaired: dict[str, int]
    groups: tuple[GroupResult, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {
            **self._asdict(),
            "groups": [
                {
                    **group._asdict(),
                    "steps": [{**step._asdict(), "of_all_ci": [*step.of_all_ci]} for step in group.steps],
                }
                for group in self.groups
            ],
            "comparisons": [_plain(each) for each in self.comparisons],
            "warnings": [each._asdict() for each in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a group and step; the interval of of_all as of_all_lo and of_all_hi."""
        rows = []
        for group in self.groups:
            for step in group.steps:
                row = {"group": group.group, "units": group.units, **step._asdict()}
                row["of_all_lo"], row["of_all_hi"] = row.pop("of_all_ci")
                rows.append(row)
        columns = ("group", "units", "step", "reached", "of_all", "of_all_lo", "of_all_hi", "of_previous")
        return pd.DataFrame(rows, columns=[*columns, "median_s", "p90_s"])


def _plain(record: StepResult | Comparison) -> dict[str, Any]:
    return {key: [*value] if isinstance(value, tuple) else value for key, value in record._asdict().items()}
