"""The chats of each group, counted."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from llmtrack.analysis.chats.result import BINS, METRICS, Bin, Group, Length
from llmtrack.analysis.experiment.inference import MIN_USERS
from llmtrack.analysis.experiment.users import People
from llmtrack.analysis.result import number, pair
from llmtrack.analysis.stats import div, mean_interval, quantile, winsorise
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats

_HEAVY: Final = ("duration_s",)  # a chat taken up again after days must not decide a mean


class Counted:
    """The chats that count, and the user row of each."""

    def __init__(self, who: People, chats: pd.DataFrame) -> None:
        self.who, self._chats = who, chats
        self._row: Ints = chats["row"].to_numpy(dtype=np.int64)
        self._raw = {metric: chats[metric].to_numpy(dtype=np.float64) for metric in METRICS}
        self._tamed = {
            metric: winsorise(values).values if metric in _HEAVY else values for metric, values in self._raw.items()
        }

    def sums(self, metric: str) -> tuple[Floats, Floats]:
        """Σ of the measure and number of the chats that have it, of each user row."""
        values = self._tamed[metric]
        known = ~np.isnan(values)
        return self.who.add(self._row[known], values[known]), self.who.add(self._row[known])

    def group(self, group: int, censored: int) -> Group:
        mine = self.who.arms.arm[self._row] == group
        users = len(np.unique(self._row[mine]))
        visits = div(float(self._chats["visits"].to_numpy()[mine].sum()), int(mine.sum()))
        lengths = {metric: self._length(metric, group, mine) for metric in METRICS}
        answers, partial = (self._chats[key].to_numpy(dtype=np.float64) for key in ("answers", "partial"))
        cut, of = int(partial[mine].sum()), int(answers[mine].sum())
        return Group(
            group=self.who.groups[group],
            chats=int(mine.sum()),
            users=users,
            censored=censored,
            sessions_per_chat=number(visits),
            answers=of,
            partial=cut,
            partial_share=number(div(cut, of)),
            partial_share_ci=self.who.share(group, self.who.add(self._row, partial), self.who.add(self._row, answers)),
            **lengths,
        )

    def _length(self, metric: str, group: int, mine: Bools) -> Length:
        arm = self.who.of_group(group, *self.sums(metric))
        values = self._raw[metric][mine]
        values = values[~np.isnan(values)]
        return Length(
            chats=len(values),
            mean=number(arm.estimate.value),
            ci=pair(mean_interval(arm.numerator, arm.denominator)) if arm.users >= MIN_USERS else None,
            median=number(quantile(values, 0.5)),
            p90=number(quantile(values, 0.9)),
            raw_mean=number(float(values.mean())) if len(values) else None,
            distribution=_distribution(values, BINS[metric]),
        )


def _distribution(values: Floats, edges: tuple[int, ...]) -> list[Bin]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)[1:]
    return [
        Bin(from_=start, below=end, chats=count)
        for start, end, count in zip(edges, (*edges[1:], None), counts.tolist(), strict=True)
    ]
