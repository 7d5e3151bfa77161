"""The turns, exits and idleness of each group, counted."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from llmtrack.analysis.dropoff.result import Exit, Group, Idle, Latency, Turn
from llmtrack.analysis.experiment.spread import OF_SESSIONS, counts_for
from llmtrack.analysis.experiment.users import People
from llmtrack.analysis.interaction import summary
from llmtrack.analysis.parts import Part
from llmtrack.analysis.recorded import Kinds, exit_told, told
from llmtrack.analysis.result import Pair, number
from llmtrack.analysis.stats import div, quantile
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats

BUCKETS_MS: Final = (0, 500, 1000, 2000, 4000, 8000, 16_000)  # a slow answer is felt by its ratio to a quick one
IDLE_S: Final = (0, 35, 45, 60, 90, 120, 300)  # the tracker reports idleness 30 s after the last sign of life


class Counted:
    """Turns, exits and idleness of the sessions that count, with the user row of each."""

    def __init__(self, who: People, whole: Part, recorded: Kinds) -> None:
        self._recorded, self.tells_idle = recorded, told("idle", recorded)
        self.who, self.whole = who, counts_for(who.sessions, OF_SESSIONS)
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
        mine, visits = who.arms.arm == group, (who.arms.arm[who.arms.row] == group) & self.whole
        left, idled, at_risk = (float(sums[mine].sum()) for sums in (self.left[0], self.idled[0], self.left[1]))
        return Group(
            group=who.groups[group],
            sessions=int(visits.sum()),
            users=int(mine.sum()),
            turns=int((who.arms.arm[self._of_turn] == group).sum()),
            left_share=number(div(left, at_risk)),
            left_share_ci=who.share(group, *self.left),
            idle_share=number(div(idled, at_risk)) if self.tells_idle else None,
            idle_share_ci=who.share(group, *self.idled) if self.tells_idle else None,
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
                    idle=int(self._went_idle[here].sum()) if self.tells_idle else None,
                    open=len(here) - count,
                    hazard=number(hazard),
                    hazard_ci=self._share(group, row, left, over),
                    remaining=number(remaining),
                )
            )
        return found

    def exits(self, group: int) -> list[Exit]:
        rows = self.who.arms.row
        mine = (self.who.arms.arm[rows] == group) & self.whole
        reasons = self.who.sessions["exit_reason"].to_numpy()
        found = []
        possible = [each for each in summary.EXIT_REASONS if each != summary.NOT_STORED or each in reasons]
        for reason in possible if mine.any() else ():
            if not exit_told(reason, self._recorded):
                found.append(Exit(self.who.groups[group], reason, None, None, None))
                continue
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
