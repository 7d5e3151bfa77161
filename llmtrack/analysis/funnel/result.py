"""What a funnel answers, as small records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from llmtrack.analysis.result import Comparison, Pair, Result, plain


class StepResult(NamedTuple):
    """One step of one group; seconds are counted from the step before. None: there is no number.

    A step that is never recorded has none at all.
    """

    step: str
    reached: int | None
    of_all: float | None
    of_all_ci: Pair
    of_previous: float | None
    median_s: float | None
    p90_s: float | None


class GroupResult(NamedTuple):
    """The funnel of one group."""

    group: str
    units: int
    steps: tuple[StepResult, ...]


@dataclass(frozen=True, kw_only=True)
class FunnelResult(Result):
    """How many units of each group get how far; `comparisons` are of the share of all units that reached a step."""

    title: ClassVar = "Funnel"
    columns: ClassVar = (
        "group", "units", "step", "reached", "of_all", "of_all_lo", "of_all_hi", "of_previous", "median_s", "p90_s",
    )  # fmt: skip
    last: ClassVar = ("excluded", "repaired", "groups", "comparisons", "warnings")

    unit: str
    order: str
    window_s: float
    units: int
    groups: tuple[GroupResult, ...]
    comparisons: tuple[Comparison, ...]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a group and step."""
        return (
            {"group": group.group, "units": group.units, **step._asdict()}
            for group in self.groups
            for step in group.steps
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {**super().to_dict(), "comparisons": [_step(each) for each in self.comparisons]}


def _step(each: Comparison) -> dict[str, Any]:
    return {
        "group": each.group,
        "control": each.control,
        "step": each.metric,
        "difference": each.difference,
        "ci": plain(each.difference_ci),
        "p": each.p,
        "p_adjusted": each.p_adjusted,
    }
