"""Where people stop: turn by turn, for which reason, after how many seconds, and after how slow an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.population import check
from llmtrack.analysis.experiment.users import People, identity, people_of
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.result import Comparison, Note, Pair, Result, number
from llmtrack.analysis.stats import div, quantile
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.cleaning import Cleaned
from llmtrack.session.tally import Tally
from llmtrack.session.values import Floats

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings

BUCKETS_MS: Final = (0, 500, 1000, 2000, 4000, 8000, 16_000)  # a slow answer is felt by its ratio to a quick one
IDLE_S: Final = (0, 35, 45, 60, 90, 120, 300)  # the tracker reports idleness 30 s after the last sign of life


class Turn(NamedTuple):
    """One turn of the visits of a group.

    reached = went_on + left + open. idle: went idle before the next prompt or the end. hazard: left as a share of
    those whose turn is over. remaining: share of the visits with a prompt that go on past this turn (Kaplan-Meier).
    """

    group: str
    turn: int
    reached: int
    went_on: int
    left: int
    idle: int
    open: int
    hazard: float | None
    hazard_ci: Pair
    remaining: float | None


class Group(NamedTuple):
    """A group: its visits, and over all turns that are over the share after which the person left, or was idle.

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
    """How many visits of a group ended for this reason, the first that fits (docs/numbers.md)."""

    group: str
    exit_reason: str
    sessions: int
    share: float
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


@dataclass(frozen=True, kw_only=True)
class Dropoff:
    """Where people stop, by group. Raises UsageError for an unknown grouping or control."""

    by: str = "model_group"
    control: str | None = None

    fields: ClassVar = tuple(dict.fromkeys((*summary.FIELDS, *turns.FIELDS)))

    def __post_init__(self) -> None:
        check(self.by)

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, a row a prompt, a row an answer that was followed by idleness."""
        interaction = Interaction(cleaned)
        numbers = table(interaction.summary())[["exit_reason", "idle"]]
        found = table(interaction.turns())
        found = found.loc[
            found["turn"] > 0, ["session", "turn", "next", "idle_first", "answered", "partial", "latency_ms"]
        ]
        tables = {"turns": compact(found.reset_index(drop=True)), "idle": compact(idle_after(interaction))}
        return Part(identity(cleaned, self.by).join(numbers), tables, Tally.of(cleaned))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> DropoffResult:
        """What the sessions of all parts say."""
        whole = merge(parts)
        who = people_of(whole, self.by, self.control, settings)
        counted = _Counted(who, whole)
        groups = range(len(who.groups))
        return DropoffResult(
            control=who.control_name,
            sessions=len(who.sessions),
            users=int(who.sessions["user_id"].nunique()),
            groups=[counted.group(group) for group in groups],
            turns=[turn for group in groups for turn in counted.turns(group)],
            exits=[reason for group in groups for reason in counted.exits(group)],
            idle=[counted.idle(group) for group in groups],
            latency=[bucket for group in groups for bucket in counted.latency(group)],
            comparisons=who.compare({"left_share": counted.left, "idle_share": counted.idled}),
            warnings=[*who.warnings, *_notes(whole)],
            tally=whole.tally.with_excluded(who.excluded),
        )


def idle_after(interaction: Interaction) -> pd.DataFrame:
    """A row an answer after which nobody asked on before going idle: session, seconds from the answer to that."""
    rows = interaction.rows
    idle = np.flatnonzero(rows.goes)
    answer = rows.last(rows.prompt | rows.response)[idle]
    fits = (answer >= 0) & rows.answer[answer]
    answer, idle = answer[fits], idle[fits]
    answer, first = np.unique(answer, return_index=True)
    return pd.DataFrame({"session": rows.session[answer], "seconds": (rows.t[idle[first]] - rows.t[answer]) / 1000})


class _Counted:
    """Turns, exits and idleness of the sessions that count, with the user row of each."""

    def __init__(self, who: People, whole: Part) -> None:
        self.who = who
        self._turns, self._of_turn = self._known(whole.tables["turns"])
        self._idle, self._of_idle = self._known(whole.tables["idle"])
        over = (self._turns["next"] != "open").to_numpy()
        self._over, self._left = over, (self._turns["next"] == "left").to_numpy()
        self._went_idle = self._turns["idle_first"].to_numpy(dtype=bool)
        self._answered = self._turns["answered"].to_numpy(dtype=bool) & over
        self._partial = self._turns["partial"].to_numpy(dtype=bool) & over
        at_risk = who.add(self._of_turn, over)
        self.left = who.add(self._of_turn, self._left), at_risk
        self.idled = who.add(self._of_turn, self._went_idle & over), at_risk

    def _known(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, Ints]:
        row = self.who.rows_of(rows["session"].to_numpy(dtype=np.int64))
        return rows[row >= 0], row[row >= 0]

    def _share(self, group: int, row: Ints, part: Bools, whole: Bools) -> Pair:
        return self.who.share(group, self.who.add(row, part & whole), self.who.add(row, whole))

    def group(self, group: int) -> Group:
        who = self.who
        mine, visits = who.arms.arm == group, who.arms.arm[who.arms.row] == group
        left, idled, at_risk = (float(sums[mine].sum()) for sums in (self.left[0], self.idled[0], self.left[1]))
        return Group(
            group=who.groups[group],
            sessions=int(visits.sum()),
            users=int(mine.sum()),
            turns=int((who.arms.arm[self._of_turn] == group).sum()),
            left_share=number(div(left, at_risk)),
            left_share_ci=who.share(group, *self.left),
            idle_share=number(div(idled, at_risk)),
            idle_share_ci=who.share(group, *self.idled),
            **self._wholeness(group),
        )

    def _wholeness(self, group: int) -> dict[str, Any]:
        mine, row = self.who.arms.arm[self._of_turn] == group, self._of_turn
        answered, partial = self._answered & mine, self._partial & mine
        found: dict[str, Any] = {"answers": int(answered.sum()), "partial": int(partial.sum())}
        shares = {
            "partial_share": (partial, answered),
            "left_after_partial": (self._left, partial),
            "left_after_whole": (self._left, answered & ~partial),
        }
        for key, (part, whole) in shares.items():
            found[key] = number(div(int((part & whole).sum()), int(whole.sum())))
            found[f"{key}_ci"] = self._share(group, row, part, whole)
        return found

    def turns(self, group: int) -> list[Turn]:
        mine = np.flatnonzero(self.who.arms.arm[self._of_turn] == group)
        at = self._turns["turn"].to_numpy()[mine]
        order = np.argsort(at, kind="stable")
        mine, at = mine[order], at[order]
        found, remaining = [], 1.0
        for turn in range(1, int(at.max(initial=0)) + 1):
            here = mine[slice(*np.searchsorted(at, [turn, turn + 1]))]
            row, over, left = self._of_turn[here], self._over[here], self._left[here]
            count, gone = int(over.sum()), int(left.sum())
            hazard = div(gone, count)
            remaining *= 1 - hazard
            found.append(
                Turn(
                    group=self.who.groups[group],
                    turn=turn,
                    reached=len(here),
                    went_on=count - gone,
                    left=gone,
                    idle=int(self._went_idle[here].sum()),
                    open=len(here) - count,
                    hazard=number(hazard),
                    hazard_ci=self._share(group, row, left, over),
                    remaining=number(remaining),
                )
            )
        return found

    def exits(self, group: int) -> list[Exit]:
        rows = self.who.arms.row
        mine = self.who.arms.arm[rows] == group
        reasons = self.who.sessions["exit_reason"].to_numpy()
        found = []
        for reason in summary.EXIT_REASONS:
            fits = mine & (reasons == reason)
            count = int(fits.sum())
            found.append(
                Exit(
                    group=self.who.groups[group],
                    exit_reason=reason,
                    sessions=count,
                    share=count / int(mine.sum()),
                    share_ci=self._share(group, rows, fits, mine),
                )
            )
        return found

    def idle(self, group: int) -> Idle:
        seconds = self._idle["seconds"].to_numpy()[self.who.arms.arm[self._of_idle] == group]
        p25, median, p75 = (number(quantile(seconds, q)) for q in (0.25, 0.5, 0.75))
        counts = tuple(_histogram(seconds, IDLE_S).tolist())
        return Idle(
            group=self.who.groups[group],
            answers=len(seconds),
            p25_s=p25,
            median_s=median,
            p75_s=p75,
            from_s=IDLE_S,
            counts=counts,
        )

    def latency(self, group: int) -> list[Latency]:
        ms = self._turns["latency_ms"].to_numpy()
        mine = (self.who.arms.arm[self._of_turn] == group) & self._answered
        bucket = np.where(np.isnan(ms), -1, np.searchsorted(BUCKETS_MS, ms, side="right") - 1)
        found = []
        for i, (start, end) in enumerate(zip(BUCKETS_MS, (*BUCKETS_MS[1:], None), strict=True)):
            here = mine & (bucket == i)
            count, left = int(here.sum()), int((here & self._left).sum())
            if count:
                found.append(
                    Latency(
                        group=self.who.groups[group],
                        bucket_ms=(start, end),
                        responses=count,
                        left=left,
                        left_share=left / count,
                        left_share_ci=self._share(group, self._of_turn, self._left, here),
                    )
                )
        return found


def _histogram(values: Floats, edges: tuple[int, ...]) -> Ints:
    """How many values lie from each edge to the next, the last one open."""
    return np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges))


def _notes(whole: Part) -> list[Note]:
    if len(whole.tables["turns"]) and not whole.sessions["idle"].any():
        return [Note("no_idle_events", "No session has activity events that say idle: nobody can be seen going idle.")]
    return []
