"""What the drop-off report says: turns, exits, idleness and slow answers of each group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from llmtrack.analysis.result import Comparison, Pair, Result


class Turn(NamedTuple):
    """One turn of the sessions of a group.

    reached = went_on + left + open. idle: went idle before the next prompt or the end. hazard: left as a share of
    those whose turn is over. remaining: share of the sessions with a prompt that go on past this turn (Kaplan-Meier).
    Going idle is None where the source never records it.
    """

    group: str
    turn: int
    reached: int
    went_on: int
    left: int
    idle: int | None
    open: int
    hazard: float | None
    hazard_ci: Pair
    remaining: float | None


class Group(NamedTuple):
    """A group: its sessions, and over all turns that are over the share after which the person left, or was idle.

    `answers` of these turns, `partial` ones of them, and the share of each kind after which the person left.
    """

    group: str
    sessions: int
    users: int
    turns: int
    left_share: float | None
    left_share_ci: Pair
    idle_share: float | None
    idle_share_ci: Pair
    answers: int
    partial: int
    partial_share: float | None
    partial_share_ci: Pair
    left_after_partial: float | None
    left_after_partial_ci: Pair
    left_after_whole: float | None
    left_after_whole_ci: Pair


class Exit(NamedTuple):
    """How many sessions of a group ended for this reason, the first that fits (docs/numbers.md).

    None for a reason that the source cannot tell from others, as it never records what tells it.
    """

    group: str
    exit_reason: str
    sessions: int | None
    share: float | None
    share_ci: Pair


class Idle(NamedTuple):
    """Seconds from an answer to going idle, of the answers that were followed by it; counts by IDLE_S."""

    group: str
    answers: int
    p25_s: float | None
    median_s: float | None
    p75_s: float | None
    from_s: tuple[int, ...]
    counts: tuple[int, ...]


class Latency(NamedTuple):
    """After answers this slow ([from, below) in ms; below None: any slower), the share of people who left."""

    group: str
    bucket_ms: tuple[int, int | None]
    responses: int
    left: int
    left_share: float
    left_share_ci: Pair


@dataclass(frozen=True, kw_only=True)
class DropoffResult(Result):
    """Where people stop."""

    title: ClassVar = "Drop-off"
    columns: ClassVar = (
        "group", "turn", "reached", "went_on", "left", "idle", "open", "hazard", "remaining", "hazard_lo", "hazard_hi",
    )  # fmt: skip

    control: str | None
    sessions: int
    users: int
    groups: list[Group]
    turns: list[Turn]
    exits: list[Exit]
    idle: list[Idle]
    latency: list[Latency]
    comparisons: list[Comparison]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a group and turn."""
        return (turn._asdict() for turn in self.turns)
