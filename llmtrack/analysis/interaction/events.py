"""Rows: which events of a Frames are what, as arrays. What the numbers of a session and of a turn are made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from llmtrack.session.batch import Bools, Ints
from llmtrack.session.schema import ACTIVITY, COPY, MODEL_RESPONSE, PROMPT, SELECTION
from llmtrack.session.values import Floats, Objects

IDLE: Final = "idle"


class Rows:
    """The events of frames, sorted by session and t; every mask and number has one entry an event.

    Which event a person made is decided here: all but answers, and the tracker's remark that nobody did anything.
    """

    def __init__(self, events: pd.DataFrame) -> None:
        self.events = events
        self.session: Ints = events["session"].to_numpy()
        self.t: Floats = events["t"].to_numpy()
        kinds = events["type"].cat
        self._codes, self._names = kinds.codes.to_numpy(), list(kinds.categories)

    def __len__(self) -> int:
        return len(self.t)

    def kind(self, name: str) -> Bools:
        """Events of this type."""
        code = self._names.index(name) if name in self._names else len(self._names)
        return np.asarray(self._codes == code)

    def field(self, name: str) -> Any:
        """A data field: floats, or objects with None where it is missing. KeyError when it was not read."""
        return self.events[name].to_numpy()

    @cached_property
    def prompt(self) -> Bools:
        """Prompts."""
        return self.kind(PROMPT)

    @cached_property
    def response(self) -> Bools:
        """Answers and errors."""
        return self.kind(MODEL_RESPONSE)

    @cached_property
    def error(self) -> Bools:
        """Responses that failed."""
        return self.response & given(self.field("error"))

    @cached_property
    def answer(self) -> Bools:
        """Responses that did not fail."""
        return self.response & ~self.error

    @cached_property
    def idle(self) -> Bools:
        """The tracker's remark that nobody has done anything for a while."""
        found = self.kind(ACTIVITY)
        rows = np.flatnonzero(found)
        found[rows] = self.field("activity_state")[rows] == IDLE
        return found

    @cached_property
    def user(self) -> Bools:
        """What a person did."""
        return ~(self.response | self.idle)

    @cached_property
    def taken(self) -> Bools:
        """Copies and selections."""
        return self.kind(COPY) | self.kind(SELECTION)

    @cached_property
    def chat(self) -> Ints:
        """A number for the chat of each event (equal numbers of different sessions are different chats).

        An event that names no chat belongs to the last one named before it in its session, else to the first one
        named; where no chat is named at all there is one chat, -1.
        """
        codes, _ = pd.factorize(self.field("chat_session_id"))
        named = codes >= 0
        source = self.last(named)
        source = np.where(source >= 0, source, self.next(named))
        return np.where(source >= 0, codes[source], -1)

    def last(self, mask: Bools) -> Ints:
        """For each event the last one in `mask` at or before it in its session; -1 without one."""
        if not len(mask):
            return np.empty(0, dtype=np.int64)
        row = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
        return np.where((row >= 0) & (self.session[row] == self.session), row, -1)

    def next(self, mask: Bools) -> Ints:
        """For each event the first one in `mask` after it in its session; -1 without one."""
        end = len(mask)
        row = np.where(mask, np.arange(end), end)
        row = np.append(np.minimum.accumulate(row[::-1])[::-1], end)[1:]
        inside = np.minimum(row, max(end - 1, 0))
        return np.where((row < end) & (self.session[inside] == self.session), row, -1)


def total(session: Ints, values: Floats, count: int) -> Floats:
    """Sum of the values of each of `count` sessions."""
    return np.bincount(session, values, minlength=count).astype(np.float64)  # of no values bincount makes integers


def at(mask: Bools, row: Ints) -> Bools:
    """The mask at these rows; False for row -1."""
    return np.append(mask, False)[row]


def categories(fits: Sequence[Bools], names: Sequence[str]) -> pd.Categorical[str]:
    """For each entry the name of the first mask that holds; the last name where none does."""
    codes: Ints = np.select(fits, np.arange(len(fits)).tolist(), default=len(fits)).astype(np.int64)
    return pd.Categorical.from_codes(codes, categories=pd.Index(names))


def given(values: Objects) -> Bools:
    """Where an object column has a value."""
    return np.asarray(pd.notna(values), dtype=bool)
