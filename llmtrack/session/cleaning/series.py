"""Arrays with one entry an event, sorted by session: what stands before, after, first and last."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats, Objects


def last(mask: Bools, session: Ints) -> Ints:
    """For each event the last one in `mask` at or before it in its session; -1 without one."""
    if not len(mask):
        return np.empty(0, dtype=np.int64)
    row = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    return np.where((row >= 0) & (session[row] == session), row, -1)


def following(mask: Bools, session: Ints) -> Ints:
    """For each event the first one in `mask` after it in its session; -1 without one."""
    end = len(mask)
    row = np.where(mask, np.arange(end), end)
    row = np.append(np.minimum.accumulate(row[::-1])[::-1], end)[1:]
    inside = np.minimum(row, max(end - 1, 0))
    return np.where((row < end) & (session[inside] == session), row, -1)


def first_and_last(t: Floats, session: Ints, sessions: int) -> tuple[Floats, Floats]:
    """First and last value of each session, NaN for one without events."""
    counts = np.bincount(session, minlength=sessions)
    after = np.cumsum(counts)
    some = counts > 0
    first, final = np.full((2, sessions), np.nan)
    first[some] = t[(after - counts)[some]]
    final[some] = t[after[some] - 1]
    return first, final


def chats(codes: Ints, session: Ints) -> Ints:
    """The chat of each event, of the numbers of the chats that events name (-1: none is named).

    An event that names no chat belongs to the last one named before it in its session, else to the first one named;
    where no chat is named at all there is one chat, -1.
    """
    source = last(codes >= 0, session)
    source = np.where(source >= 0, source, following(codes >= 0, session))
    return np.where(source >= 0, codes[source], -1)


def numbered(values: Objects) -> tuple[Ints, Objects]:
    """A number for each different value, -1 for None; and the values of the numbers, last the None of -1."""
    numbers = _Numbers({None: -1})
    codes = np.fromiter(map(numbers.__getitem__, values.tolist()), dtype=np.int64, count=len(values))
    del numbers[None]
    return codes, np.array([*numbers, None], dtype=object)


class _Numbers(dict[Any, int]):
    def __missing__(self, key: Any) -> int:
        self[key] = number = len(self) - 1  # None is one of them
        return number
