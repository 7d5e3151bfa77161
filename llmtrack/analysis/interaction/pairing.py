"""Which response answers which prompt."""

from __future__ import annotations

import numpy as np

from llmtrack.analysis.interaction.events import Rows, given, numbered
from llmtrack.session.batch import Ints


def answered_by(rows: Rows) -> Ints:
    """For each event that is a prompt the row of its response; -1 for an unanswered one and for any other event.

    By turn_id where both have one; else a response answers the latest prompt of its chat that has no response yet.
    """
    response = np.full(len(rows), -1, dtype=np.int64)
    asked = np.flatnonzero(rows.prompt | rows.response)
    turn = rows.field("turn_id")[asked]
    named = given(turn)
    codes, _ = numbered(turn)
    _pair(rows, asked[named], codes[named], response)
    paired = np.zeros(len(rows), dtype=bool)
    paired[response[response >= 0]] = True
    paired |= response >= 0
    rest = ~paired[asked]
    if not named[rest].all():
        open_ = np.full(len(rows), -1, dtype=np.int64)
        _pair(rows, asked[rest], rows.chat[asked[rest]], open_)
        both = given(rows.field("turn_id")) & given(rows.field("turn_id")[open_])
        open_[both] = -1
        response = np.maximum(response, open_)
    return response


def _pair(rows: Rows, at: Ints, group: Ints, response: Ints) -> None:
    """Match prompts and responses of a session and group like brackets, so that the latest open prompt is answered."""
    if not len(at):
        return
    order = np.lexsort((at, group, rows.session[at]))
    at, group = at[order], group[order]
    session = rows.session[at]
    first = np.append(True, (session[1:] != session[:-1]) | (group[1:] != group[:-1]))
    number = np.cumsum(first) - 1
    begins = np.flatnonzero(first)
    step = np.where(rows.prompt[at], 1, -1)
    sums = np.cumsum(step)
    depth = sums - (sums - step)[begins][number]
    apart = number * (2 * len(at) + 2)  # so far below the group before that its minimum counts no more
    lowest = np.minimum(np.minimum.accumulate(depth - apart) + apart, 0)
    before = np.where(first, 0, np.roll(lowest, 1))
    stray = (step == -1) & (depth == lowest) & (depth < before)
    level = depth - lowest + (step == -1)
    kept = np.flatnonzero(~stray)
    kept = kept[np.lexsort((kept, level[kept], number[kept]))]
    closes = np.flatnonzero(step[kept] == -1)
    response[at[kept[closes - 1]]] = at[kept[closes]]
