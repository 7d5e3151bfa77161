"""Rows: which events are what, as arrays. What the numbers of a session and of a turn are made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from llmtrack.analysis.interaction.attempts import passed_over
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.cleaning.series import chats, following, last, numbered
from llmtrack.session.schema import (
    ACTIVITY,
    BROWSE,
    COPY,
    ERROR,
    IDLE_AFTER_S,
    MODEL_RESPONSE,
    PROMPT,
    SELECTION,
    VIEW,
    VISIBILITY,
)
from llmtrack.session.values import Floats, Objects

IDLE: Final = "idle"
HIDDEN: Final = "hidden"
AWAY_FIELDS: Final = ("activity_state", "visibility_state")
FIELDS: Final = (  # what tells the kinds of events apart
    *AWAY_FIELDS, "chat_session_id", "turn_id", "error", "latency_ms", "step", "tool_calls", "partial",
    "rating", "feedback", "unfinished",
)  # fmt: skip
_NOTHING: Final[Any] = None  # numpy compares with it, whatever its types say


class Rows:
    """The events of clean sessions, sorted by session and t; every mask and number has one entry an event.

    Which event a person made is decided here: all but answers and the tracker's remarks: that nobody did anything, that
    the page was hidden or shown, what was on the screen, where it is. Where a person was away is decided here, too.
    """

    def __init__(self, cleaned: Cleaned) -> None:
        self.session: Ints = cleaned.session
        self.t: Floats = cleaned.t
        self._cleaned = cleaned
        self._fields: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.t)

    def kind(self, name: str) -> Bools:
        """Events of this type."""
        types = self._cleaned.types
        code = types.index(name) if name in types else len(types)
        return np.asarray(self._cleaned.type_codes == code)

    def field(self, name: str) -> Any:
        """A data field: floats, or objects with None where it is missing. KeyError when it was not read."""
        if name not in self._fields:
            self._fields[name] = self._cleaned.field(name)
        return self._fields[name]

    @cached_property
    def prompt(self) -> Bools:
        """Prompts."""
        return self.kind(PROMPT)

    @cached_property
    def call(self) -> Bools:
        """Whatever models answered: responses, steps to tools, attempts that were repeated, events `error`."""
        return self.kind(MODEL_RESPONSE) | self.kind(ERROR)

    @cached_property
    def response(self) -> Bools:
        """Answers and errors as a person saw them. Of a turn with several calls one, unless it was asked anew."""
        found = self.call.copy()
        calls = np.flatnonzero(found & given(self.field("turn_id")))
        found[calls] = ~passed_over(
            calls,
            self.turn[calls],
            self.t[calls],
            self.field("latency_ms")[calls],
            step=np.equal(self.field("step")[calls], True),
            calls=given(self.field("tool_calls")[calls]),
            error=self.failed[calls],
        )
        return found

    @cached_property
    def turn(self) -> Ints:
        """A number for the session and turn_id of each event; -1 where it names no turn."""
        codes, names = numbered(self.field("turn_id"))
        return np.where(codes >= 0, self.session * len(names) + codes, -1)

    @cached_property
    def failed(self) -> Bools:
        """Calls that failed, also those that were repeated."""
        found = self.call.copy()
        found[found] = given(self.field("error")[found])
        return found | self.kind(ERROR)

    @cached_property
    def error(self) -> Bools:
        """Responses that failed."""
        return self.response & self.failed

    @cached_property
    def partial(self) -> Bools:
        """Answers that are not whole."""
        found = self.answer.copy()
        cut, unfinished = (np.equal(self.field(key)[found], True) for key in ("partial", "unfinished"))
        found[found] = cut | unfinished
        return found

    @cached_property
    def answer(self) -> Bools:
        """Responses that did not fail."""
        return self.response & ~self.error

    @cached_property
    def idle(self) -> Bools:
        """The tracker's remark that nobody has done anything for a while."""
        return self._says(ACTIVITY, "activity_state", IDLE)

    @cached_property
    def hides(self) -> Bools:
        """The page was hidden: another tab, a minimised window."""
        return self._says(VISIBILITY, "visibility_state", HIDDEN)

    @cached_property
    def hidden(self) -> Bools:
        """Whether the page is hidden after each event."""
        return at(self.hides, self.last(self.kind(VISIBILITY)))

    @cached_property
    def goes(self) -> Bools:
        """Going away: idle, or the page hidden for 30 s or more, to the end at most."""
        shown = self.next(self.kind(VISIBILITY))
        until = np.where(shown >= 0, self.t[shown], self._cleaned.sessions["end_ms"][self.session])
        return self.idle | (self.hides & (until - self.t >= IDLE_AFTER_S * 1000))

    @cached_property
    def user(self) -> Bools:
        """What a person did."""
        return ~(self.call | self.idle | self.kind(VISIBILITY) | self.kind(VIEW) | self.kind(BROWSE))

    def _says(self, kind: str, field: str, value: str) -> Bools:
        found = self.kind(kind)
        found[found] = np.equal(self.field(field)[found], value)
        return found

    @cached_property
    def taken(self) -> Bools:
        """Copies and selections."""
        return self.kind(COPY) | self.kind(SELECTION)

    @cached_property
    def chat(self) -> Ints:
        """A number for the chat of each event, by the rule of `series.chats`; `chats` has the names.

        Equal numbers of different sessions are different chats.
        """
        return chats(self._named_chats[0], self.session)

    @cached_property
    def chats(self) -> Objects:
        """The name of each number of `chat`; None for the last, which is -1."""
        return self._named_chats[1]

    @cached_property
    def _named_chats(self) -> tuple[Ints, Objects]:
        return numbered(self.field("chat_session_id"))

    def last(self, mask: Bools) -> Ints:
        """For each event the last one in `mask` at or before it in its session; -1 without one."""
        return last(mask, self.session)

    def next(self, mask: Bools) -> Ints:
        """For each event the first one in `mask` after it in its session; -1 without one."""
        return following(mask, self.session)


def total(session: Ints, values: Floats, count: int) -> Floats:
    """Sum of the values of each of `count` sessions."""
    return np.bincount(session, values, minlength=count).astype(np.float64)  # of no values bincount makes integers


def at(mask: Bools, row: Ints) -> Bools:
    """The mask at these rows; False for row -1."""
    return np.append(mask, False)[row]


def before(row_of: Ints, row: Ints) -> Ints:
    """The number of each of these rows; -1 for row -1."""
    return np.where(row >= 0, row_of[row], -1)


def first_fitting(fits: Sequence[Bools], names: Sequence[str]) -> Objects:
    """For each entry the name of the first mask that holds; the last name where none does."""
    codes: Ints = np.select(fits, np.arange(len(fits)).tolist(), default=len(fits)).astype(np.int64)
    return np.array(names, dtype=object)[codes]


def given(values: Objects) -> Bools:
    """Where an object column has a value."""
    return np.asarray(np.not_equal(values, _NOTHING), dtype=bool)
