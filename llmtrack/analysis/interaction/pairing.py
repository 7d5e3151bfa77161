"""Which response answers which prompt, and how long the person waited for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.session.cleaning.batch import Ints


class Pairs(NamedTuple):
    """`response`: for each event that is a prompt the row of its last response, -1 for an unanswered one and for all
    others. `prompt`: for each call of a model the row of the prompt it belongs to, -1 likewise.

    `begins` and `ends` are the rows between which somebody waited, `ends` a response: once for each turn, and once
    more whenever it was asked anew.
    """

    response: Ints
    prompt: Ints
    begins: Ints
    ends: Ints


def pairs(rows: Rows) -> Pairs:
    """By turn_id where both have one; else a response answers the latest prompt of its chat that has no response yet.

    All calls of a turn that one prompt has belong to it.
    """
    response = np.full(len(rows), -1, dtype=np.int64)
    asked = np.flatnonzero(rows.prompt | rows.response)
    named = given(rows.field("turn_id")[asked])
    _pair(rows, asked[named], rows.turn[asked[named]], response)
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
    return _with_attempts(rows, response)


def _with_attempts(rows: Rows, response: Ints) -> Pairs:
    """The pairs, with the calls of each turn that come before and after its first response."""
    begins = np.flatnonzero(response >= 0)
    ends = response[begins]
    prompt = np.full(len(rows), -1, dtype=np.int64)
    prompt[ends] = begins
    calls, owners = _others(rows, prompt)
    prompt[calls] = owners
    answers = rows.response[calls]
    calls, owners = calls[answers], owners[answers]
    last = response.copy()
    np.maximum.at(last, owners, calls)
    asked = np.array([_asked(rows, call) for call in calls.tolist()], dtype=np.int64)
    return Pairs(last, prompt, np.append(begins, asked), np.append(ends, calls))


def _others(rows: Rows, prompt: Ints) -> tuple[Ints, Ints]:
    """Calls that have no prompt yet and name the turn of an earlier one, which no other prompt names; and that one."""
    calls = np.flatnonzero(rows.call & (rows.turn >= 0) & (prompt < 0))
    prompts = np.flatnonzero(rows.prompt & (rows.turn >= 0))
    turns, first, count = np.unique(rows.turn[prompts], return_index=True, return_counts=True)
    if not len(turns):
        return calls[:0], calls[:0]
    at = np.minimum(np.searchsorted(turns, rows.turn[calls]), len(turns) - 1)
    owners = prompts[first[at]]
    theirs = (turns[at] == rows.turn[calls]) & (count[at] == 1) & (owners < calls)
    return calls[theirs], owners[theirs]


def _asked(rows: Rows, call: int) -> int:
    """The row of the last event before a call began, which ended latency_ms later."""
    latency = rows.field("latency_ms")[call]
    began = rows.t[call] - (0 if np.isnan(latency) else latency)
    row = call - 1
    while row > 0 and rows.t[row] > began and rows.session[row - 1] == rows.session[call]:
        row -= 1
    return row


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
