"""Histories of units as arrays: what a funnel's matching works on.

A *moment* is all events of one unit at one time. Events of a moment have no order among themselves, so the matching
sees moments, not events; that is how ties are read in the order that is best for the funnel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Order = Literal["ordered", "strict", "unordered"]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.uint16]


class Rules(NamedTuple):
    """How a funnel is matched. Bit j of a mark: the event fits step j + 1; then come two bits more."""

    n_steps: int
    order: Order
    window_ms: float

    @property
    def steps(self) -> int:
        return (1 << self.n_steps) - 1

    @property
    def excluded(self) -> int:
        return 1 << self.n_steps

    @property
    def among(self) -> int:
        return 2 << self.n_steps


class History(NamedTuple):
    """Events that matter to a funnel, sorted by unit and t: `unit` from 0, `t` epoch ms, `marks` bits as in Rules."""

    unit: npt.NDArray[np.int32]
    t: Floats
    marks: Marks
    n_units: int


class Outcome(NamedTuple):
    """What became of each unit: steps done, whether an excluded event drops it, and when each step was done (ms)."""

    reached: npt.NDArray[np.int8]
    dropped: Bools
    at: Floats  # (units, steps), NaN for a step not done


@dataclass(frozen=True)
class Moments:
    """Rows of a history grouped by unit and t."""

    unit: Ints
    t: Floats
    marks: Marks  # of all events of the moment together
    first: Ints  # the first moment of the same unit
    row: Ints  # where its rows begin; one more at the end
    rows: Marks  # the mark of each row

    @classmethod
    def of(cls, unit: npt.NDArray[np.int32], t: Floats, marks: Marks) -> Moments:
        """Moments of rows sorted by unit and t (at least one row)."""
        new_unit = np.concatenate(([True], unit[1:] != unit[:-1]))
        begins = np.flatnonzero(new_unit | np.concatenate(([True], t[1:] != t[:-1])))
        opens = new_unit[begins]
        first = np.flatnonzero(opens)[np.cumsum(opens) - 1]
        together = marks[begins] if len(begins) == len(marks) else np.bitwise_or.reduceat(marks, begins)
        return cls(unit[begins].astype(np.int64), t[begins], together, first, np.append(begins, len(marks)), marks)

    def __len__(self) -> int:
        return len(self.unit)

    def clean(self, start: Ints, end: Ints, complete: Bools, rules: Rules) -> Bools:
        """Which attempts from moment `start` to `end` have no excluded event between their steps.

        Between is strictly inside. An attempt that is not complete still waits for its next step, so that everything
        up to the end of its window lies between.
        """
        excluded = np.flatnonzero(self.marks & rules.excluded)
        if not len(excluded):
            return np.ones(len(start), dtype=np.bool_)
        at = np.searchsorted(excluded, start, side="right")
        following = excluded[np.minimum(at, len(excluded) - 1)]
        none = (at == len(excluded)) | (self.unit[following] != self.unit[start])
        over = self.t[following] - self.t[start] > rules.window_ms
        kept: Bools = none | np.where(complete, following >= end, over)
        return kept


def first_of_each(unit: npt.NDArray[Any]) -> Bools:
    """Which entries of a sorted array are the first of their value."""
    first = np.ones(len(unit), dtype=np.bool_)
    np.not_equal(unit[1:], unit[:-1], out=first[1:])
    return first


def chunks(history: History, size: int) -> Iterator[tuple[int, History]]:
    """The history in pieces of about `size` rows, each with the number of its first unit, which it calls 0.

    No unit is cut; a unit without rows may be in no piece.
    """
    begin, n = 0, len(history.unit)
    while begin < n:
        end = n
        if begin + size < n:
            end = int(np.searchsorted(history.unit, history.unit[begin + size]))
            if end <= begin:  # one unit longer than a chunk
                end = int(np.searchsorted(history.unit, history.unit[begin], side="right"))
        piece = slice(begin, end)
        low = int(history.unit[begin])
        n_units = int(history.unit[end - 1]) - low + 1
        yield low, History(history.unit[piece] - low, history.t[piece], history.marks[piece], n_units)
        begin = end
