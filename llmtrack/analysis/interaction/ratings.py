"""Which answers a person gave a thumb."""

from __future__ import annotations

import numpy as np

from llmtrack.analysis.interaction.attribution import of_turn
from llmtrack.analysis.interaction.events import Rows, before, given
from llmtrack.session.cleaning.batch import Ints
from llmtrack.session.ratings import DOWN, UP, thumb
from llmtrack.session.schema import FEEDBACK


def thumbs(rows: Rows) -> Ints:
    """For each event that is an answer 1 (up), -1 (down), or 0: the last thumb counts, what is neither takes it back.

    It belongs to the answer of its turn_id, else to the latest answer before it in its chat.
    """
    found = np.zeros(len(rows), dtype=np.int64)
    rated = np.flatnonzero(rows.kind(FEEDBACK))
    if not len(rated):
        return found
    rating, feedback = (rows.field(key)[rated] for key in ("rating", "feedback"))
    said = [thumb(one) or thumb(other) for one, other in zip(rating, feedback, strict=True)]
    for row, word in zip(_answers(rows, rated).tolist(), said, strict=True):
        if row >= 0:
            found[row] = {UP: 1, DOWN: -1}.get(word or "", 0)
    return found


def _answers(rows: Rows, rated: Ints) -> Ints:
    """The answer that each of these events rates; -1 for none."""
    order = np.lexsort((np.arange(len(rows)), rows.chat, rows.session))
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.arange(len(rows))
    answered = np.maximum.accumulate(np.where(rows.answer[order], np.arange(len(rows)), -1))
    latest = before(order, answered[place[rated]])
    mine = (rows.session[latest] == rows.session[rated]) & (rows.chat[latest] == rows.chat[rated]) & (latest >= 0)
    latest = np.where(mine, latest, -1)
    return np.where(given(rows.field("turn_id")[rated]), of_turn(rows, rated), latest)
