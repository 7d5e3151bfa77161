"""Where people stop: turn by turn, for which reason, after how many seconds, and after how slow an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import Comparison, Note, Pair, People, Weights, number, people, renumbered
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.analysis.stats import div, quantile
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.cleaning import Cleaned
from llmtrack.session.values import Floats

FIELDS: Final = tuple(dict.fromkeys((*summary.FIELDS, *turns.FIELDS)))
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
    """A group: its visits, and over all turns that are over the share after which the person left, or was idle."""

    group: str
    sessions: int
    users: int
    turns: int
    left_share: float | None
    left_share_ci: Pair
    idle_share: float | None
    idle_share_ci: Pair


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


class Dropoff(NamedTuple):
    """The result of `dropoff`."""

    control: str | None
    sessions: int
    users: int
    groups: list[Group]
    turns: list[Turn]
    exits: list[Exit]
    idle: list[Idle]
    latency: list[Latency]
    comparisons: list[Comparison]
    excluded: dict[str, int]
    repaired: dict[str, int]
    warnings: list[Note]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {
            key: [each._asdict() for each in value] if isinstance(value, list) else value
            for key, value in self._asdict().items()
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a group and turn; the interval of the hazard as hazard_lo and hazard_hi."""
        frame = pd.DataFrame(self.turns, columns=list(Turn._fields))
        ends = [each.hazard_ci or (None, None) for each in self.turns]
        frame["hazard_lo"], frame["hazard_hi"] = [lo for lo, _ in ends], [hi for _, hi in ends]
        return frame.drop(columns="hazard_ci")


class Picked(NamedTuple):
    """What is kept of a batch: a row a session, a row a prompt, a row an answer that was followed by idleness."""

    sessions: pd.DataFrame
    turns: pd.DataFrame
    idle: pd.DataFrame


def dropoff(
    batches: Cleaned | Iterable[Cleaned],
    *,
    by: str = "model_group",
    control: str | None = None,
    weights: Weights | None = None,
) -> Dropoff:
    """Where people stop in clean sessions, or batches of them, read with FIELDS.

    `weights`: those of each configured experiment, for the SRM check. Raises UsageError for an unknown grouping or
    control.
    """
    excluded: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    parts = []
    for cleaned in [batches] if isinstance(batches, Cleaned) else batches:
        excluded.update(cleaned.excluded)
        repaired.update(cleaned.repaired)
        parts.append(pick(cleaned))
    found = join(parts)
    who = people(found.sessions, by, control, weights)
    counted = _Counted(who, found)
    return Dropoff(
        who.control_name,
        len(who.sessions),
        int(who.sessions["user_id"].nunique()),
        [counted.group(group) for group in range(len(who.groups))],
        [turn for group in range(len(who.groups)) for turn in counted.turns(group)],
        [reason for group in range(len(who.groups)) for reason in counted.exits(group)],
        [counted.idle(group) for group in range(len(who.groups))],
        [bucket for group in range(len(who.groups)) for bucket in counted.latency(group)],
        who.compare({"left_share": counted.left, "idle_share": counted.idled}),
        {**excluded, **who.excluded},
        dict(repaired),
        [*who.warnings, *_notes(found)],
    )


def pick(cleaned: Cleaned) -> Picked:
    """The rows of a batch that dropoff needs."""
    interaction = Interaction(cleaned)
    sessions = table(interaction.summary())
    columns = [*cleaned.sessions, "exit_reason", "idle"]
    found = table(interaction.turns())
    found = found.loc[found["turn"] > 0, ["session", "turn", "next", "idle_first", "answered", "latency_ms"]]
    return Picked(sessions[columns], found, idle_after(interaction))


def idle_after(interaction: Interaction) -> pd.DataFrame:
    """A row an answer after which nobody asked on before going idle: session, seconds from the answer to that."""
    rows = interaction.rows
    idle = np.flatnonzero(rows.idle)
    answer = rows.last(rows.prompt | rows.response)[idle]
    fits = (answer >= 0) & rows.answer[answer]
    answer, idle = answer[fits], idle[fits]
    answer, first = np.unique(answer, return_index=True)
    return pd.DataFrame({"session": rows.session[answer], "seconds": (rows.t[idle[first]] - rows.t[answer]) / 1000})


def join(parts: list[Picked]) -> Picked:
    """Batches as one, in an order that does not hang on the source. At least one."""
    sessions = [part.sessions for part in parts]
    whole, turned = renumbered(sessions, [part.turns for part in parts])
    return Picked(whole, turned, renumbered(sessions, [part.idle for part in parts])[1])


class _Counted:
    """Turns, exits and idleness of the sessions that count, with the user row of each."""

    def __init__(self, who: People, found: Picked) -> None:
        self.who = who
        self._turns, self._of_turn = self._known(found.turns)
        self._idle, self._of_idle = self._known(found.idle)
        over = (self._turns["next"] != "open").to_numpy()
        self._over, self._left = over, (self._turns["next"] == "left").to_numpy()
        self._went_idle = self._turns["idle_first"].to_numpy(dtype=bool)
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
            who.groups[group],
            int(visits.sum()),
            int(mine.sum()),
            int((who.arms.arm[self._of_turn] == group).sum()),
            number(div(left, at_risk)),
            who.share(group, *self.left),
            number(div(idled, at_risk)),
            who.share(group, *self.idled),
        )

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
                    self.who.groups[group],
                    turn,
                    len(here),
                    count - gone,
                    gone,
                    int(self._went_idle[here].sum()),
                    len(here) - count,
                    number(hazard),
                    self._share(group, row, left, over),
                    number(remaining),
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
            share = self._share(group, rows, fits, mine)
            found.append(Exit(self.who.groups[group], reason, count, count / int(mine.sum()), share))
        return found

    def idle(self, group: int) -> Idle:
        seconds = self._idle["seconds"].to_numpy()[self.who.arms.arm[self._of_idle] == group]
        p25, median, p75 = (number(quantile(seconds, q)) for q in (0.25, 0.5, 0.75))
        counts = tuple(_histogram(seconds, IDLE_S).tolist())
        return Idle(self.who.groups[group], len(seconds), p25, median, p75, IDLE_S, counts)

    def latency(self, group: int) -> list[Latency]:
        ms = self._turns["latency_ms"].to_numpy()
        mine = (self.who.arms.arm[self._of_turn] == group) & self._turns["answered"].to_numpy(dtype=bool) & self._over
        bucket = np.where(np.isnan(ms), -1, np.searchsorted(BUCKETS_MS, ms, side="right") - 1)
        found = []
        for i, (start, end) in enumerate(zip(BUCKETS_MS, (*BUCKETS_MS[1:], None), strict=True)):
            here = mine & (bucket == i)
            count, left = int(here.sum()), int((here & self._left).sum())
            if count:
                share = self._share(group, self._of_turn, self._left, here)
                found.append(Latency(self.who.groups[group], (start, end), count, left, left / count, share))
        return found


def _histogram(values: Floats, edges: tuple[int, ...]) -> Ints:
    """How many values lie from each edge to the next, the last one open."""
    return np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges))


def _notes(found: Picked) -> list[Note]:
    if len(found.turns) and not found.sessions["idle"].any():
        return [Note("no_idle_events", "No session has activity events that say idle: nobody can be seen going idle.")]
    return []
