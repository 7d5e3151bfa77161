"""Which answer a copy or a selection belongs to."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.schema import COPY, SELECTION
from llmtrack.session.series import numbered

SAME_MS: Final = 5_000  # a selection followed this soon by a copy of its text is that copy


class Taken(NamedTuple):
    """Copies and selections: `row` of the event, whether it is a `copy`, and the row of its `answer` (-1: none)."""

    row: Ints
    copy: Bools
    answer: Ints


def attribute(rows: Rows) -> Taken:
    """The answer of each copy and selection; a selection that was then copied counts once, as a copy.

    It is the answer named by turn_id; else the latest earlier one of that chat whose text contains it (whitespace
    folded); else, where no answer's text is stored, the latest earlier one; else none: people copy their own prompts.
    Needs the fields text and selected_text.
    """
    at = np.flatnonzero(rows.taken & ~_copied_selections(rows))
    answer = np.full(len(at), -1, dtype=np.int64)
    named = given(rows.field("turn_id")[at])
    answer[named] = _named(rows, at[named])
    answer[~named] = _containing(rows, at[~named])
    return Taken(at, rows.kind(COPY)[at], answer)


def counted(taken: Taken, rows: int) -> tuple[Ints, Ints]:
    """For each event that is an answer its copies and its selections."""
    known = taken.answer >= 0
    copies = np.bincount(taken.answer[known & taken.copy], minlength=rows)
    return copies, np.bincount(taken.answer[known & ~taken.copy], minlength=rows)


def _copied_selections(rows: Rows) -> Bools:
    """Selections that a copy of the same text follows soon."""
    found = np.zeros(len(rows), dtype=bool)
    text = rows.field("selected_text")
    at = np.flatnonzero(rows.taken & given(text))
    folded, _ = numbered(np.array([_fold(value) for value in text[at]], dtype=object))
    order = np.lexsort((at, folded, rows.session[at]))
    at, folded = at[order], folded[order]
    copy = rows.kind(COPY)[at]
    end = len(at)
    upcoming = np.minimum.accumulate(np.where(copy, np.arange(end), end)[::-1])[::-1]
    known = np.flatnonzero(upcoming < end)
    then = upcoming[known]
    same = (rows.session[at[then]] == rows.session[at[known]]) & (folded[then] == folded[known])
    soon = rows.t[at[then]] - rows.t[at[known]] <= SAME_MS
    found[at[known[same & soon]]] = True
    return found & rows.kind(SELECTION)


def _named(rows: Rows, at: Ints) -> Ints:
    """The latest response before it of the event's turn_id; -1 where it lies in another visit."""
    turn, session = rows.field("turn_id"), rows.session
    known: dict[tuple[int, str], list[int]] = {}
    for answer in np.flatnonzero(rows.response & given(turn)).tolist():
        known.setdefault((session[answer], turn[answer]), []).append(answer)
    found = []
    for row in at.tolist():
        answers = known.get((session[row], turn[row]), [-1])
        found.append(max((answer for answer in answers if answer < row), default=answers[0]))
    return np.array(found, dtype=np.int64)


def _containing(rows: Rows, at: Ints) -> list[int]:
    answers = np.flatnonzero(rows.answer)
    texts, taken = rows.field("text"), rows.field("selected_text")
    names_chat = given(rows.field("chat_session_id"))
    bounds = np.searchsorted(rows.session[answers], rows.session[at]), np.searchsorted(answers, at)
    folded: dict[int, str] = {}
    found = []
    for row, first, last in zip(at, *bounds, strict=True):
        earlier = [a for a in answers[first:last][::-1] if not names_chat[row] or rows.chat[a] == rows.chat[row]]
        wanted = _fold(taken[row] or "")
        stored = [a for a in earlier if texts[a] is not None]
        if not stored or not wanted:
            found.append(earlier[0] if earlier else -1)
            continue
        for a in stored:
            if a not in folded:
                folded[a] = _fold(texts[a])
        found.append(next((a for a in stored if wanted in folded[a]), -1))
    return [int(a) for a in found]


def _fold(text: str) -> str:
    return " ".join(text.split())
