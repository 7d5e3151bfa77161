"""Typed silence: what a person did between two events was waiting, reading, being active, or being away."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from llmtrack.analysis.interaction.events import Rows, before, total
from llmtrack.analysis.interaction.pairing import Pairs
from llmtrack.session.cleaning.batch import Ints
from llmtrack.session.schema import VISIBILITY
from llmtrack.session.values import Floats

CAP_MS: Final = 30_000.0  # a longer silence is not counted further: the idea of GA4's and Matomo's engaged time
WORDS_PER_MINUTE: Final = 238  # silent reading of English non-fiction, Brysbaert 2019
SLOW: Final = 1.5  # times the mean reading time a long answer may take


class Gaps(NamedTuple):
    """The silences, outside waiting, that a person's event ended, or the hiding of the page.

    `row`: that event. `ms`: how long, not capped. `answer`: the answer before it, or -1. `reading`: the response that
    was read meanwhile, or -1 (no response yet, or a prompt came after it).
    """

    row: Ints
    ms: Floats
    answer: Ints
    reading: Ints

    def active_ms(self) -> Floats:
        """Each silence up to 30 s."""
        return np.minimum(self.ms, CAP_MS)

    def active_long_ms(self, words: Floats) -> Floats:
        """Each silence up to 30 s, or 1.5 times the reading time of the last answer (`words`: one number an event)."""
        read_ms = SLOW * np.where(self.answer >= 0, words[self.answer], 0) / WORDS_PER_MINUTE * 60_000
        return np.minimum(self.ms, np.maximum(CAP_MS, read_ms))


def pending(rows: Rows, pairs: Pairs) -> Ints:
    """After each event, how many answers that will come are due."""
    change = np.zeros(len(rows), dtype=np.int64)
    np.add.at(change, pairs.begins, 1)
    np.add.at(change, pairs.ends, -1)
    return np.cumsum(change)


def waiting_ms(rows: Rows, waiting_for: Ints, sessions: int) -> Floats:
    """Per session the time in which a response was due; two at once count once. `waiting_for`: as `pending`."""
    waits = np.flatnonzero(waiting_for[:-1] > 0)
    return total(rows.session[waits], rows.t[waits + 1] - rows.t[waits], sessions)


def gaps(rows: Rows, waiting_for: Ints, start_ms: Floats) -> Gaps:
    """The silences from start, from an event or from a response to the next event of a person.

    Those of a hidden page are none: the person was away. `waiting_for`: as `pending`; `start_ms`: of each session.
    """
    bound = np.flatnonzero(rows.user | rows.response | rows.kind(VISIBILITY))
    session, t = rows.session[bound], rows.t[bound]
    first = np.append(True, session[1:] != session[:-1])[: len(bound)]
    previous = np.roll(bound, 1)
    since = np.where(first, start_ms[session], np.roll(t, 1))
    waiting = ~first & (waiting_for[previous] > 0)
    counted = (rows.user | rows.hides)[bound] & ~waiting & ~(~first & rows.hidden[previous])
    previous = np.where(first, -1, previous)[counted]
    spoken = before(rows.last(rows.prompt | rows.response), previous)
    reading = np.where((spoken >= 0) & rows.response[spoken], spoken, -1)
    answer = before(rows.last(rows.answer), previous)
    return Gaps(bound[counted], np.maximum(t - since, 0)[counted], answer, reading)
