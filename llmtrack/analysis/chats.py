"""How long chats are, over all visits that continue them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.inference import MIN_USERS, mean_interval
from llmtrack.analysis.experiment.population import check
from llmtrack.analysis.experiment.users import People, identity, people_of
from llmtrack.analysis.interaction import events as kinds
from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.result import Comparison, Note, Pair, Result, number, pair
from llmtrack.analysis.stats import div, quantile, winsorise
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.cleaning import OPEN_MS, Cleaned
from llmtrack.session.tally import Tally
from llmtrack.session.values import Floats

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings

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


@dataclass(frozen=True, kw_only=True)
class Chats:
    """How long chats are, by group. Those active under 30 min ago wait: they may go on.

    A chat is a user's chat_session_id; what a session without any says is a chat of its own. Its group is that of its
    first session. Raises UsageError for an unknown grouping or control.
    """

    by: str = "model_group"
    control: str | None = None

    fields: ClassVar = (*kinds.FIELDS, "text")

    def __post_init__(self) -> None:
        check(self.by)

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, and a row a chat in it."""
        return Part(identity(cleaned, self.by), {"chats": compact(pieces(cleaned))}, Tally.of(cleaned))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> ChatsResult:
        """The chats of all parts."""
        whole = merge(parts)
        who = people_of(whole, self.by, self.control, settings)
        found = _whole(whole.tables["chats"], who)
        fresh = found["active_t"] > settings.now.timestamp() * 1000 - OPEN_MS
        mute = ~fresh & (found["turns"] == 0)
        kept, going = found[~fresh & ~mute], found.loc[fresh, "row"].to_numpy(dtype=np.int64)
        counted = _Counted(who, kept)
        left_out = {"chats_going_on": int(fresh.sum()), "chats_without_prompt": int(mute.sum())}
        return ChatsResult(
            control=who.control_name,
            chats=len(kept),
            users=int(kept["user_id"].nunique()),
            groups=[
                counted.group(group, int((who.arms.arm[going] == group).sum())) for group in range(len(who.groups))
            ],
            comparisons=who.compare({metric: counted.sums(metric) for metric in METRICS}),
            warnings=[*who.warnings, *_notes(kept)],
            tally=whole.tally.with_excluded({**left_out, **who.excluded}),
        )


def pieces(cleaned: Cleaned) -> pd.DataFrame:
    """A row a chat in a session: session, chat (its name, None without one), and numbers of what was said in it.

    turns (prompts), messages (prompts and answers), answers, partial (answers), words (NaN where a text is not stored),
    first_t and last_t (of the messages and errors), active_t (of any event; epoch ms).
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
            "chat": pd.Series(named, dtype="str"),
            "turns": count(rows.prompt).astype(np.int64),
            "messages": count(message).astype(np.int64),
            "answers": count(rows.answer).astype(np.int64),
            "partial": count(rows.partial).astype(np.int64),
            "words": count(message, _words(rows, message)),
            "first_t": extreme(said, np.minimum, np.inf),
            "last_t": extreme(said, np.maximum, -np.inf),
            "active_t": extreme(np.ones(len(rows), dtype=bool), np.maximum, -np.inf),
        }
    )
    return table[count(said) > 0].reset_index(drop=True)


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
        answers=("answers", "sum"),
        partial=("partial", "sum"),
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
            ci=pair(mean_interval(arm)) if arm.users >= MIN_USERS else None,
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
