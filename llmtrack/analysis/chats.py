"""How long chats are, over all visits that continue them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import (
    MIN_USERS,
    Comparison,
    Note,
    Pair,
    People,
    Weights,
    number,
    pair,
    people,
    renumbered,
)
from llmtrack.analysis.frames import table as as_table
from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.analysis.stats import div, quantile, ratio, winsorise
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.cleaning import OPEN_MS, Cleaned
from llmtrack.session.values import Floats

FIELDS: Final = ("chat_session_id", "error", "text")
BINS: Final[dict[str, tuple[int, ...]]] = {  # where each bar of a distribution begins; the last one is open
    "turns": (1, 2, 3, 4, 5, 6, 8, 11),
    "messages": (1, 3, 5, 7, 9, 13, 21),
    "duration_s": (0, 10, 30, 60, 120, 300, 600, 1800, 3600),
    "words": (0, 50, 100, 200, 400, 800, 1600),
}
METRICS: Final = tuple(BINS)
_HEAVY: Final = ("duration_s",)  # a chat taken up again after days must not decide a mean


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
    """The chats of a group. `censored` ones were going on and are in none of the other numbers."""

    group: str
    chats: int
    users: int
    censored: int
    sessions_per_chat: float | None
    turns: Length
    messages: Length
    duration_s: Length
    words: Length


class Chats(NamedTuple):
    """The result of `chats`."""

    control: str | None
    chats: int
    users: int
    groups: list[Group]
    comparisons: list[Comparison]
    excluded: dict[str, int]
    repaired: dict[str, int]
    warnings: list[Note]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {
            **self._asdict(),
            "groups": [_plain(group) for group in self.groups],
            "comparisons": [each._asdict() for each in self.comparisons],
            "warnings": [each._asdict() for each in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a group and metric, with its difference from the control; intervals as two columns each."""
        contrasts = {(each.group, each.metric): each for each in self.comparisons}
        rows = []
        for group in self.groups:
            for metric in METRICS:
                length: Length = getattr(group, metric)
                found = contrasts.get((group.group, metric))
                lo, hi = length.ci or (None, None)
                d_lo, d_hi = (found and found.difference_ci) or (None, None)
                rows.append(
                    {
                        "group": group.group,
                        "metric": metric,
                        "chats": length.chats,
                        "users": group.users,
                        "mean": length.mean,
                        "mean_lo": lo,
                        "mean_hi": hi,
                        "median": length.median,
                        "p90": length.p90,
                        "difference": found.difference if found else None,
                        "difference_lo": d_lo,
                        "difference_hi": d_hi,
                        "p_adjusted": found.p_adjusted if found else None,
                    }
                )
        return pd.DataFrame(rows, columns=list(FRAME))


FRAME: Final = (
    "group", "metric", "chats", "users", "mean", "mean_lo", "mean_hi", "median", "p90",
    "difference", "difference_lo", "difference_hi", "p_adjusted",
)  # fmt: skip


def _plain(group: Group) -> dict[str, Any]:
    lengths: dict[str, Any] = {metric: getattr(group, metric)._asdict() for metric in METRICS}
    for length in lengths.values():
        bars = (each._asdict() for each in length["distribution"])
        length["distribution"] = [{"from": bar.pop("from_"), **bar} for bar in bars]
    return {**group._asdict(), **lengths}


def chats(
    batches: Cleaned | Iterable[Cleaned],
    now: datetime,
    *,
    by: str = "model_group",
    control: str | None = None,
    weights: Weights | None = None,
) -> Chats:
    """The chats of clean sessions, or of batches of them, read with FIELDS; those active 30 min before `now` wait.

    A chat is a user's chat_session_id; what a visit without any says is a chat of its own. Its group is that of its
    first visit. `weights`: those of each configured experiment. Raises UsageError for an unknown grouping or control.
    """
    excluded: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    sessions, parts = [], []
    for cleaned in [batches] if isinstance(batches, Cleaned) else batches:
        excluded.update(cleaned.excluded)
        repaired.update(cleaned.repaired)
        sessions.append(as_table(cleaned.sessions))
        parts.append(pick(cleaned))
    table, pieces = renumbered(sessions, parts)
    who = people(table, by, control, weights)
    found = _whole(pieces, who)
    fresh = found["active_t"] > now.timestamp() * 1000 - OPEN_MS
    mute = ~fresh & (found["turns"] == 0)
    excluded.update({"chats_going_on": int(fresh.sum()), "chats_without_prompt": int(mute.sum())})
    kept, going = found[~fresh & ~mute], found.loc[fresh, "row"].to_numpy(dtype=np.int64)
    counted = _Counted(who, kept)
    return Chats(
        who.control_name,
        len(kept),
        int(kept["user_id"].nunique()),
        [counted.group(group, int((who.arms.arm[going] == group).sum())) for group in range(len(who.groups))],
        who.compare({metric: counted.sums(metric) for metric in METRICS}),
        {**excluded, **who.excluded},
        dict(repaired),
        [*who.warnings, *_notes(kept)],
    )


def pick(cleaned: Cleaned) -> pd.DataFrame:
    """A row a chat in a visit: session, chat (its name, None without one), and numbers of what was said in it.

    turns (prompts), messages (prompts and answers), words (NaN where a text is not stored), first_t and last_t (of the
    messages and errors), active_t (of any event; epoch ms).
    """
    rows = Rows(cleaned)
    said = rows.prompt | rows.response
    names = rows.chats
    pair_of = rows.session * len(names) + rows.chat + 1
    chat, at = np.unique(pair_of, return_inverse=True)
    named = names[chat % len(names) - 1]

    def count(mask: Bools, values: Floats | None = None) -> Floats:
        return np.bincount(at[mask], None if values is None else values[mask], minlength=len(chat)).astype(np.float64)

    def extreme(mask: Bools, which: np.ufunc, start: float) -> Floats:
        found = np.full(len(chat), start)
        which.at(found, at[mask], rows.t[mask])
        return found

    message = rows.prompt | rows.answer
    table = pd.DataFrame(
        {
            "session": chat // len(names),
            "chat": pd.Series(named, dtype=object),
            "turns": count(rows.prompt),
            "messages": count(message),
            "words": count(message, _words(rows, message)),
            "first_t": extreme(said, np.minimum, np.inf),
            "last_t": extreme(said, np.maximum, -np.inf),
            "active_t": extreme(np.ones(len(rows), dtype=bool), np.maximum, -np.inf),
        }
    )
    return table[count(said) > 0]


def _words(rows: Rows, message: Bools) -> Floats:
    text = rows.field("text")
    words = np.full(len(rows), np.nan)
    known = np.flatnonzero(message & given(text))
    words[known] = [len(value.split()) for value in text[known]]
    return words


def _whole(pieces: pd.DataFrame, who: People) -> pd.DataFrame:
    """A row a chat of the people who count: user_id, row (the user row of its first visit), visits, and its numbers."""
    row = who.rows_of(pieces["session"].to_numpy(dtype=np.int64))
    pieces, row = pieces[row >= 0], row[row >= 0]
    users = who.sessions["user_id"].reindex(pieces["session"]).to_numpy()
    nameless = pieces["chat"].isna()
    chat = pieces["chat"].where(~nameless, "")
    alone = pieces["session"].where(nameless, -1)  # what no chat is named for is a chat of its visit
    pieces = pieces.assign(user_id=users, row=row, chat=chat, alone=alone, wordless=pieces["words"].isna())
    pieces = pieces.sort_values(["first_t", "session"])
    found = pieces.groupby(["user_id", "chat", "alone"], sort=True).agg(
        row=("row", "first"),
        visits=("session", "nunique"),
        turns=("turns", "sum"),
        messages=("messages", "sum"),
        words=("words", "sum"),
        wordless=("wordless", "any"),
        first_t=("first_t", "min"),
        last_t=("last_t", "max"),
        active_t=("active_t", "max"),
    )
    words, seconds = found["words"].mask(found["wordless"]), (found["last_t"] - found["first_t"]) / 1000
    return found.reset_index().assign(words=words.to_numpy(), duration_s=seconds.to_numpy())


class _Counted:
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
        return Group(self.who.groups[group], int(mine.sum()), users, censored, number(visits), **lengths)

    def _length(self, metric: str, group: int, mine: Bools) -> Length:
        numerator, denominator = (sums[self.who.arms.arm == group] for sums in self.sums(metric))
        some = denominator > 0
        estimate = ratio(numerator[some], denominator[some])
        values = self._raw[metric][mine]
        values = values[~np.isnan(values)]
        return Length(
            len(values),
            number(estimate.value),
            pair(estimate.interval()) if estimate.users >= MIN_USERS else None,
            number(quantile(values, 0.5)),
            number(quantile(values, 0.9)),
            number(float(values.mean())) if len(values) else None,
            _distribution(values, BINS[metric]),
        )


def _distribution(values: Floats, edges: tuple[int, ...]) -> list[Bin]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)[1:]
    return [Bin(*bar) for bar in zip(edges, (*edges[1:], None), counts.tolist(), strict=True)]


def _notes(kept: pd.DataFrame) -> list[Note]:
    if not len(kept):
        return [Note("no_chats", "No chat with a prompt has come to rest.")]
    unknown = int(kept["words"].isna().sum())
    if unknown:
        share = math.ceil(100 * unknown / len(kept))
        return [
            Note("words_unknown", f"{share} % of the chats have messages whose text is not stored: no words there.")
        ]
    return []
