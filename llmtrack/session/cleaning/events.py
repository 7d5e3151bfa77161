"""The events of a batch while they are cleaned: which are left, in which order, and when they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from llmtrack.session.cleaning.batch import DATA, Batch, Bools, Ints
from llmtrack.session.cleaning.columns import of_kind
from llmtrack.session.schema import ERROR, MODEL_RESPONSE, PROMPT
from llmtrack.session.values import Floats

SERVER: Final = (PROMPT, MODEL_RESPONSE, ERROR)  # a server writes these, the browser all others
SENDING: Final = ("key", "keydown", "keypress", "enter", "submit", "send")  # what a person does to send a prompt
RESPONSES: Final = (MODEL_RESPONSE, ERROR)


@dataclass
class Events:
    """Events of a batch, sorted by session: the `rows` of the batch they are, their `session`, `t` and type `codes`.

    `stored`: numbers in the order in which they were stored, the oldest first.
    """

    batch: Batch
    session: Ints
    rows: Ints
    t: Floats
    codes: Ints
    types: list[str]
    stored: Ints

    @classmethod
    def of(cls, batch: Batch) -> Events:
        """All events, in stored order."""
        session, rows = np.repeat(np.arange(len(batch.counts)), batch.counts), np.arange(len(batch.t))
        return cls(batch, session, rows, batch.t, batch.type_codes, batch.types, rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.batch.counts)

    def kind(self, *names: str) -> Bools:
        """Events of these types."""
        return np.isin(self.codes, [self.types.index(name) for name in names if name in self.types])

    def take(self, which: Bools | Ints) -> None:
        """Keep these events, in this order."""
        self.session, self.rows = self.session[which], self.rows[which]
        self.t, self.codes, self.stored = self.t[which], self.codes[which], self.stored[which]

    def insert(self, like: Ints, rank: Floats, t: Floats, kind: str) -> tuple[Ints, Bools]:
        """Add events of this type at `rank` (between two places), of the sessions of the events `like`.

        For each event the place it had before, for those added that of the event they are like; and which were added.
        """
        if kind not in self.types:
            self.types = [*self.types, kind]
        before = len(self)
        which = np.append(np.arange(before), like)
        order = np.argsort(np.append(np.arange(before, dtype=np.float64), rank), kind="stable")
        self.take(which)
        self.t[before:], self.codes[before:] = t, self.types.index(kind)
        self.take(order)
        return which[order], order >= before

    def field(self, name: str, which: Any = slice(None)) -> Any:
        """A data field of these events; None when it was not read."""
        data, rows = self.batch.data, self.rows[which]
        if name in data:
            return data[name][rows]
        return of_kind(name, [each.get(name) for each in data[DATA][rows]]) if DATA in data else None

    def data(self) -> dict[str, Any]:
        """All data fields; the batch's own columns where nothing was left out or moved."""
        if len(self.rows) == len(self.batch.t) and (self.rows[1:] > self.rows[:-1]).all():
            return dict(self.batch.data)
        return {key: values[self.rows] for key, values in self.batch.data.items()}
