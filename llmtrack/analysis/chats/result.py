"""What the report of chats says: how long those of each group are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from llmtrack.analysis.result import Comparison, Pair, Result

BINS: Final[dict[str, tuple[int, ...]]] = {  # where each bar of a distribution begins; the last one is open
    "turns": (1, 2, 3, 4, 5, 6, 8, 11),
    "messages": (1, 3, 5, 7, 9, 13, 21),
    "duration_s": (0, 10, 30, 60, 120, 300, 600, 1800, 3600),
    "words": (0, 50, 100, 200, 400, 800, 1600),
}
METRICS: Final = tuple(BINS)


class Bin(NamedTuple):
    """One bar of a distribution: chats from `from_` to below `below` (None: and more)."""

    from_: int
    below: int | None
    chats: int


class Length(NamedTuple):
    """One measure of the chats of a group.

    mean: of duration_s with the longest one percent of all chats lowered to where that begins; raw_mean: without that.
    """

    chats: int
    mean: float | None
    ci: Pair
    median: float | None
    p90: float | None
    raw_mean: float | None
    distribution: list[Bin]


class Group(NamedTuple):
    """The chats of a group. `censored` ones were going on and are in none of the other numbers.

    `answers` in the chats, and how many of them are `partial`.
    """

    group: str
    chats: int
    users: int
    censored: int
    sessions_per_chat: float | None
    answers: int
    partial: int
    partial_share: float | None
    partial_share_ci: Pair
    turns: Length
    messages: Length
    duration_s: Length
    words: Length


@dataclass(frozen=True, kw_only=True)
class ChatsResult(Result):
    """How long chats are."""

    title: ClassVar = "Length of chats"
    columns: ClassVar = (
        "group", "metric", "chats", "users", "mean", "mean_lo", "mean_hi", "median", "p90",
        "difference", "difference_lo", "difference_hi", "p_adjusted",
    )  # fmt: skip

    control: str | None
    chats: int
    users: int
    groups: list[Group]
    comparisons: list[Comparison]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a group and metric, with its difference from the control."""
        contrasts = {(each.group, each.metric): each for each in self.comparisons}
        for group in self.groups:
            for metric in METRICS:
                length: Length = getattr(group, metric)
                found = contrasts.get((group.group, metric))
                yield {
                    "group": group.group,
                    "metric": metric,
                    "chats": length.chats,
                    "users": group.users,
                    "mean": length.mean,
                    "mean_ci": length.ci,
                    "median": length.median,
                    "p90": length.p90,
                    "difference": found.difference if found else None,
                    "difference_ci": found.difference_ci if found else None,
                    "p_adjusted": found.p_adjusted if found else None,
                }

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        found = super().to_dict()
        for group in found["groups"]:
            for metric in METRICS:
                bars = group[metric]["distribution"]
                group[metric]["distribution"] = [{"from": bar.pop("from_"), **bar} for bar in bars]
        return found
